//! Bodies: JSON in, with errors that name the field; and the envelopes that go out.

mod decode;

use std::marker::PhantomData;

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use futures_util::future::Ready;
use serde::de::DeserializeOwned;

pub use super::answer::{accepted, created, list, success, success_with};
use super::{problem::Problem, state::AppState};
pub use decode::decode;

/// A JSON body of type `T` that has not been read yet.
///
/// The extractors of a handler run at the same time, so that one that read the body would answer 400 or 415
/// to somebody who must get 403. Decide about access first, then call [`JsonBody::read`].
pub struct JsonBody<T> {
    request: HttpRequest,
    payload: Payload,
    _type: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for JsonBody<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonBody").finish_non_exhaustive()
    }
}

impl<T: DeserializeOwned> JsonBody<T> {
    /// Reads and parses the body.
    ///
    /// # Errors
    /// Those of [`super::intake::Intake::read`]; `MALFORMED_JSON` when it is no JSON or has a field twice,
    /// `VALIDATION_FAILED` when a field is missing or has the wrong type.
    pub async fn read(self) -> Result<T, Problem> {
        let state = self
            .request
            .app_data::<web::Data<AppState>>()
            .ok_or_else(|| Problem::internal("no AppState in this App"))?;
        let body = state.intake.read(&self.request, self.payload).await?;
        decode(&body)
    }
}

impl<T: 'static> FromRequest for JsonBody<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        futures_util::future::ok(Self {
            request: request.clone(),
            payload: payload.take(),
            _type: PhantomData,
        })
    }
}

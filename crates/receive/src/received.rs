//! Deliveries that a receiver got.

use actix_http::header::HeaderMap;
use bytes::Bytes;

use pointsman_domain::{
    signing::{SignatureError, SignatureHeaders, SigningKeys},
    timestamp::Timestamp,
};

/// One delivery, exactly as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its number among the deliveries of this receiver, from 1.
    pub number: u64,
    /// All headers of the request.
    pub headers: HeaderMap,
    /// The raw body.
    pub body: Bytes,
    /// The result of the check of the signature.
    pub signature: SignatureCheck,
}

/// The result of the check of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureCheck {
    /// The receiver has no secret.
    NotChecked,
    /// One of the three `webhook-` headers is missing, or is repeated.
    Missing,
    Valid,
    Invalid(SignatureError),
}

impl Received {
    /// The value of a header; `None` when it is missing or not visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The `webhook-id`: the event's id, the same for every attempt.
    pub fn event_id(&self) -> Option<&str> {
        self.header("webhook-id")
    }

    /// # Errors
    /// When the body is not JSON.
    pub fn json(&self) -> serde_json::Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
    }
}

/// Checks the signature in the headers over the body.
pub(super) fn check_signature(
    keys: Option<&SigningKeys>,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> SignatureCheck {
    let Some(keys) = keys else {
        return SignatureCheck::NotChecked;
    };
    let header = |name| {
        let mut values = headers.get_all(name);
        let only = values.next().filter(|_| values.next().is_none());
        only.and_then(|value| value.to_str().ok())
    };
    let (Some(id), Some(timestamp), Some(signature)) = (
        header("webhook-id"),
        header("webhook-timestamp"),
        header("webhook-signature"),
    ) else {
        return SignatureCheck::Missing;
    };
    match keys.verify(
        SignatureHeaders {
            id,
            timestamp,
            signature,
        },
        body,
        now,
    ) {
        Ok(()) => SignatureCheck::Valid,
        Err(error) => SignatureCheck::Invalid(error),
    }
}

//! Query parameters.

use std::marker::PhantomData;

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use futures_util::future::{Ready, ok};
use serde::de::DeserializeOwned;

use super::{
    field_path::{message_of, path_of},
    problem::Problem,
};

/// Query parameters that have not been parsed yet: like a [`super::json::JsonBody`], they are looked at
/// after the decision about access. Unknown parameters are ignored.
///
/// `T` must not use `#[serde(flatten)]`, which loses the types of the parameters.
pub struct Query<T> {
    text: String,
    _type: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for Query<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Query").field(&self.text).finish()
    }
}

impl<T> Query<T> {
    /// The parameters whose names begin with `prefix`, by the rest of their names, as often as they are given.
    pub fn below(&self, prefix: &str) -> Vec<(String, String)> {
        let pairs = url::form_urlencoded::parse(self.text.as_bytes());
        pairs
            .filter_map(|(name, value)| {
                let rest = name.strip_prefix(prefix)?;
                Some((rest.to_owned(), value.into_owned()))
            })
            .collect()
    }
}

impl<T: DeserializeOwned> Query<T> {
    /// # Errors
    /// `VALIDATION_FAILED` under the name of the first parameter that is missing, given twice or wrong.
    pub fn read(self) -> Result<T, Problem> {
        let pairs = url::form_urlencoded::parse(self.text.as_bytes());
        serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs)).map_err(|error| {
            let text = error.inner().to_string();
            let name = path_of(error.path(), &text).unwrap_or_else(|| "query".to_owned());
            Problem::validation(name, message_of(&text))
        })
    }
}

impl<T> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ok(Self {
            text: request.query_string().to_owned(),
            _type: PhantomData,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::http::page::{Cursor, Limit};

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[expect(dead_code, reason = "only parsed")]
    struct Parameters {
        event_key: Option<String>,
        from: Option<pointsman_domain::timestamp::Timestamp>,
        cursor: Option<Cursor<i64>>,
        #[serde(default)]
        limit: Limit,
    }

    fn outcome(text: &str) -> String {
        let query = Query::<Parameters> {
            text: text.to_owned(),
            _type: PhantomData,
        };
        match query.read() {
            Ok(_) => "ok".to_owned(),
            Err(Problem::ValidationFailed(errors)) => format!("{}: {}", errors[0].field, errors[0].message),
            Err(problem) => problem.code().to_owned(),
        }
    }

    #[test]
    fn good_parameters_are_taken_and_unknown_ones_ignored() {
        assert_eq!(outcome(""), "ok");
        let all = format!(
            "eventKey=a.b&from=2026-01-31T12%3A00%3A00Z&limit=200&x=1&cursor={}",
            Cursor(5_i64)
        );
        assert_eq!(outcome(&all), "ok");
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        for (text, expected) in [
            ("limit=0", "limit: must be a whole number from 1 to 200"),
            ("limit=201", "limit: must be a whole number from 1 to 200"),
            ("limit=x", "limit: must be a whole number from 1 to 200"),
            ("limit=", "limit: must be a whole number from 1 to 200"),
            ("limit=99999", "limit: must be a whole number from 1 to 200"),
            ("cursor=x", "cursor: is no cursor of this list"),
            ("from=today", "from: must be an RFC 3339 time"),
            ("eventKey=a.b&eventKey=c.d", "eventKey: given twice"),
        ] {
            assert_eq!(outcome(text), expected, "{text}");
        }
    }
}

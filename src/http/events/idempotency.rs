//! `Idempotency-Key`: repeating a publish under the same key creates nothing.

use actix_web::http::header::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};

use crate::http::problem::Problem;
use pointsman_domain::idempotency::Idempotency;

/// Says that the answer is that of an earlier publish under the same key.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// As it is named in `errors`.
const NAME: &str = "Idempotency-Key";
const MAX_KEY_BYTES: usize = 255;

/// The publisher's key; `None` without one.
///
/// # Errors
/// `VALIDATION_FAILED` for `Idempotency-Key` unless it is given once and has 1 to 255 visible ASCII
/// characters.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<Box<str>>, Problem> {
    let mut given = headers.get_all(HeaderName::from_static("idempotency-key"));
    let Some(value) = given.next() else {
        return Ok(None);
    };
    if given.next().is_some() {
        return Err(Problem::validation(NAME, "must be given once"));
    }
    let good_length = (1..=MAX_KEY_BYTES).contains(&value.len());
    match value.to_str() {
        Ok(key) if good_length && key.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Some(key.into())),
        _ => Err(Problem::validation(
            NAME,
            "must be 1 to 255 visible ASCII characters",
        )),
    }
}

/// The key with a digest of the body: "the same body" means the same bytes.
pub(super) fn of(key: Box<str>, body: &[u8]) -> Idempotency {
    Idempotency {
        key,
        body_sha256: Sha256::digest(body).into(),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn with(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                HeaderName::from_static("idempotency-key"),
                HeaderValue::from_bytes(value).unwrap(),
            );
        }
        headers
    }

    #[test]
    fn a_key_is_one_to_255_visible_ascii_characters() {
        assert_eq!(key(&HeaderMap::new()).unwrap(), None);
        let long = [b'x'; 255];
        for good in [&b"a"[..], b"\"8e03978e-40d5-43dd-bc93\"", b"!~", &long] {
            let read = key(&with(&[good])).unwrap().unwrap();
            assert_eq!(read.as_bytes(), good);
        }
    }

    #[test]
    fn every_other_key_is_refused_under_the_name_of_the_header() {
        let long = [b'x'; 256];
        let cases: [&[&[u8]]; 6] = [
            &[b""],
            &[b"two words"],
            &["ä".as_bytes()],
            &[b"tab\there"],
            &[&long],
            &[b"a", b"a"],
        ];
        for values in cases {
            let Err(Problem::ValidationFailed(errors)) = key(&with(values)) else {
                panic!("{values:?} is refused");
            };
            assert_eq!(errors[0].field, "Idempotency-Key");
        }
    }

    #[test]
    fn only_the_same_bytes_are_the_same_body() {
        let hash = |body: &[u8]| of("k".into(), body).body_sha256;
        assert_eq!(hash(b"{}"), hash(b"{}"));
        assert_ne!(hash(b"{}"), hash(b"{ }"));
    }
}

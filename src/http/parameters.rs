//! Filters of lists, as query parameters: each is checked, and named when it is wrong.

use serde::{Deserialize, Deserializer, de};

use pointsman_domain::{event_key::EventKey, timestamp::Timestamp};

/// An exact event key.
///
/// # Errors
/// The rule of [`EventKey`] that the text breaks.
pub(super) fn event_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<EventKey>, D::Error> {
    let text = String::deserialize(deserializer)?;
    EventKey::parse(&text).map(Some).map_err(de::Error::custom)
}

/// The end of a span of time, which is not part of it.
///
/// # Errors
/// When the text is no RFC 3339 time.
pub(super) fn end<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let time = Timestamp::parse_rfc3339_end(&text);
    time.map(Some)
        .map_err(|_| de::Error::custom("must be an RFC 3339 time"))
}

/// Text to compare with. Control characters are refused: no stored text has any, and PostgreSQL refuses some of them in
/// a query.
///
/// # Errors
/// When there is one.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.contains(char::is_control) {
        return Err(de::Error::custom("must not contain control characters"));
    }
    Ok(Some(text))
}

//! Filters of lists, as query parameters: each is checked, and named when it is wrong.

use serde::{Deserialize, Deserializer, de};

use pointsman_domain::{event_pattern::EventPattern, seq::Seq, timestamp::Timestamp};
use pointsman_store::dead_letters::HttpStatuses;

/// An event key, or a pattern as a subscription has it.
///
/// # Errors
/// The rule of [`EventPattern`] that the text breaks.
pub(super) fn event_pattern<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<EventPattern>, D::Error> {
    let text = String::deserialize(deserializer)?;
    EventPattern::parse(&text).map(Some).map_err(de::Error::custom)
}

/// An HTTP status, or a class of them.
///
/// # Errors
/// When the text is neither.
pub(super) fn http_statuses<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<HttpStatuses>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let statuses = HttpStatuses::parse(&text);
    statuses
        .map(Some)
        .ok_or_else(|| de::Error::custom("must be an HTTP status such as 503, or a class such as 5xx"))
}

/// A position in a log, or 0, which is before the first.
///
/// # Errors
/// When the text is no such number.
pub(super) fn seq<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Seq>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.parse() {
        Ok(seq @ 0..) => Ok(Some(Seq::new(seq))),
        _ => Err(de::Error::custom("must be the seq of an event, or 0")),
    }
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

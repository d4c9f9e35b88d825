//! The body of a publish: read once, the payload kept as it was sent.

use std::{borrow::Cow, collections::HashSet, fmt, sync::Arc};

use serde::{
    Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use pointsman_domain::event_key::EventKey;

/// The longest schema version, in bytes.
const MAX_SCHEMA_VERSION_BYTES: usize = 32;
/// The longest actor, in bytes.
const MAX_ACTOR_BYTES: usize = 255;

/// What a publisher sends: `PublishEventDTO`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublishEvent {
    pub(super) event_key: EventKey,
    pub(super) schema_version: Option<Arc<str>>,
    pub(super) actor: Option<Arc<str>>,
    /// The JSON text of the payload object exactly as it was sent; `{}` where there was none.
    pub(super) payload: Arc<str>,
}

/// Why a body is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PublishBodyError {
    /// Not JSON, or a top-level field came twice. The text says what and where.
    Malformed(String),
    /// JSON, but not what an event must be: every broken rule, as (field, what it must be).
    Invalid(Vec<(&'static str, String)>),
}

impl PublishEvent {
    /// Reads a body in one pass. Unknown fields are ignored, however deep they go: values that are not kept
    /// are skipped without recursion, and so is the payload.
    ///
    /// # Errors
    /// [`PublishBodyError::Malformed`] before [`PublishBodyError::Invalid`], and the latter with all broken
    /// rules at once.
    pub(super) fn parse(body: &[u8]) -> Result<Self, PublishBodyError> {
        let text = std::str::from_utf8(body)
            .map_err(|error| PublishBodyError::Malformed(format!("the body is not UTF-8: {error}")))?;
        read_fields(text)?.check()
    }
}

/// The fields as they stand in the body.
#[derive(Default)]
struct Fields<'a> {
    event_key: Option<&'a RawValue>,
    schema_version: Option<&'a RawValue>,
    actor: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
}

fn read_fields(text: &str) -> Result<Fields<'_>, PublishBodyError> {
    let malformed = |error: serde_json::Error| PublishBodyError::Malformed(error.to_string());
    let is_object = text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{');
    if !is_object {
        serde_json::from_str::<IgnoredAny>(text).map_err(malformed)?;
        return Err(PublishBodyError::Invalid(vec![(
            "body",
            "must be a JSON object".into(),
        )]));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let fields = json.deserialize_map(FieldsVisitor).map_err(malformed)?;
    json.end().map_err(malformed)?;
    Ok(fields)
}

impl Fields<'_> {
    fn check(self) -> Result<PublishEvent, PublishBodyError> {
        let mut broken = Vec::new();
        let event_key = check_event_key(self.event_key, &mut broken)?;
        let schema_version = check_text(
            "schemaVersion",
            self.schema_version,
            MAX_SCHEMA_VERSION_BYTES,
            &mut broken,
        )?;
        let actor = check_text("actor", self.actor, MAX_ACTOR_BYTES, &mut broken)?;
        let payload = match self.payload.map(RawValue::get) {
            Some(text) if !text.starts_with('{') => {
                broken.push(("payload", "must be an object".into()));
                None
            }
            sent => sent,
        };
        match event_key {
            Some(event_key) if broken.is_empty() => Ok(PublishEvent {
                event_key,
                schema_version,
                actor,
                payload: payload.unwrap_or("{}").into(),
            }),
            _ => Err(PublishBodyError::Invalid(broken)),
        }
    }
}

type Broken = Vec<(&'static str, String)>;

fn check_event_key(
    raw: Option<&RawValue>,
    broken: &mut Broken,
) -> Result<Option<EventKey>, PublishBodyError> {
    let text = match raw.map(decode_text).transpose()? {
        Some(Decoded::Text(text)) => text,
        Some(Decoded::Other) => {
            broken.push(("eventKey", "must be a string".into()));
            return Ok(None);
        }
        Some(Decoded::Null) | None => {
            broken.push(("eventKey", "is required".into()));
            return Ok(None);
        }
    };
    match EventKey::parse(&text) {
        Ok(key) => Ok(Some(key)),
        Err(rule) => {
            broken.push(("eventKey", rule.to_string()));
            Ok(None)
        }
    }
}

fn check_text(
    field: &'static str,
    raw: Option<&RawValue>,
    max_bytes: usize,
    broken: &mut Broken,
) -> Result<Option<Arc<str>>, PublishBodyError> {
    let text = match raw.map(decode_text).transpose()? {
        Some(Decoded::Text(text)) => text,
        Some(Decoded::Other) => {
            broken.push((field, "must be a string".into()));
            return Ok(None);
        }
        Some(Decoded::Null) | None => return Ok(None),
    };
    if text.len() > max_bytes {
        broken.push((field, format!("must be at most {max_bytes} bytes long")));
    }
    if text.chars().any(char::is_control) {
        broken.push((field, "must not contain control characters".into()));
    }
    Ok(Some(text.as_ref().into()))
}

enum Decoded<'a> {
    Text(Cow<'a, str>),
    Null,
    Other,
}

/// Decodes a string, and recognises other values by their first byte: the text is known to be valid JSON. The only
/// error left is half of a surrogate pair.
fn decode_text(raw: &RawValue) -> Result<Decoded<'_>, PublishBodyError> {
    match raw.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(raw.get())
            .map(|text| Decoded::Text(Cow::Owned(text)))
            .map_err(|error| PublishBodyError::Malformed(error.to_string())),
        Some(b'n') => Ok(Decoded::Null),
        _ => Ok(Decoded::Other),
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        let mut unknown = HashSet::new();
        while let Some(name) = map.next_key_seed(NameSeed)? {
            let slot = match name.as_ref() {
                "eventKey" => &mut fields.event_key,
                "schemaVersion" => &mut fields.schema_version,
                "actor" => &mut fields.actor,
                "payload" => &mut fields.payload,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    if !unknown.insert(name) {
                        return Err(de::Error::custom("a top-level field comes twice"));
                    }
                    continue;
                }
            };
            if slot.is_some() {
                return Err(de::Error::custom(format_args!(
                    "the top-level field {name} comes twice"
                )));
            }
            *slot = Some(map.next_value()?);
        }
        Ok(fields)
    }
}

/// Reads a field's name, borrowed where it has no escapes.
struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests;

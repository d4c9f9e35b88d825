//! What a payload is asked for: a text in it, or a member of it. Compared here and not by the database, so that both
//! engines agree.

#![warn(missing_docs)]

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use pointsman_domain::event::ERASED_PAYLOAD;

/// The longest text, path or value that is looked for, in bytes.
pub(super) const MAX_WANTED_BYTES: usize = 255;
/// The most names in the path of a member.
pub(super) const MAX_PATH_NAMES: usize = 8;

/// A text that a payload has somewhere: as it was sent, or once the escapes of its JSON strings are resolved. Case
/// matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadText(String);

/// A member of a payload, and the value that it has.
#[derive(Clone, Debug, PartialEq)]
pub struct PayloadMember {
    path: Vec<String>,
    wanted: Scalar,
}

/// Why a payload cannot be asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WantedError {
    /// The text, the path or the value has more than 255 bytes.
    #[error("must be at most {MAX_WANTED_BYTES} bytes long")]
    TooLong,
    /// Every payload has the empty text.
    #[error("must not be empty")]
    Empty,
    /// The path has more than 8 names.
    #[error("must be at most {MAX_PATH_NAMES} names joined by dots")]
    TooDeep,
    /// A name of the path is empty.
    #[error("must be names joined by single dots, for example payload.deal.id")]
    NoName,
}

impl PayloadText {
    /// # Errors
    /// When the text is empty or too long.
    pub fn parse(text: &str) -> Result<Self, WantedError> {
        match text.len() {
            0 => Err(WantedError::Empty),
            1..=MAX_WANTED_BYTES => Ok(Self(text.to_owned())),
            _ => Err(WantedError::TooLong),
        }
    }

    /// Whether the payload has it.
    pub fn is_in(&self, payload: &str) -> bool {
        // What stands in place of an erased payload has no text.
        payload != ERASED_PAYLOAD && self.is_somewhere_in(payload)
    }

    fn is_somewhere_in(&self, payload: &str) -> bool {
        payload.contains(&self.0) || payload.contains('\\') && unescaped(payload).contains(&self.0)
    }
}

impl PayloadMember {
    /// The member at this path, names joined by dots.
    ///
    /// # Errors
    /// When the path or the value is too long, the path too deep, or one of its names empty.
    pub fn parse(path: &str, value: &str) -> Result<Self, WantedError> {
        if path.len() > MAX_WANTED_BYTES || value.len() > MAX_WANTED_BYTES {
            return Err(WantedError::TooLong);
        }
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        if path.len() > MAX_PATH_NAMES {
            return Err(WantedError::TooDeep);
        }
        if path.iter().any(String::is_empty) {
            return Err(WantedError::NoName);
        }
        let wanted = Scalar {
            number: serde_json::from_str(value).ok(),
            text: value.to_owned(),
        };
        Ok(Self { path, wanted })
    }

    /// Whether the payload has the member with this value. A payload that is damaged has none.
    pub fn is_in(&self, payload: &str) -> bool {
        let mut json = serde_json::Deserializer::from_str(payload);
        let step = Step {
            path: &self.path,
            wanted: &self.wanted,
            is_element: false,
        };
        step.deserialize(&mut json).unwrap_or(false) && json.end().is_ok()
    }
}

/// A string, number, boolean or `null`, as it is written in a query.
#[derive(Clone, Debug, PartialEq)]
struct Scalar {
    text: String,
    /// Where the text is a number of JSON.
    number: Option<Number>,
}

impl Scalar {
    fn is_integer(&self, stored: i128) -> bool {
        let Some(number) = &self.number else { return false };
        match number.as_i128() {
            Some(wanted) => wanted == stored,
            None => number.as_f64() == Some(stored as f64),
        }
    }

    fn is_float(&self, stored: f64) -> bool {
        self.number.as_ref().and_then(Number::as_f64) == Some(stored)
    }
}

/// The rest of the way to a member.
#[derive(Clone, Copy, Debug)]
struct Step<'a> {
    path: &'a [String],
    wanted: &'a Scalar,
    /// Of the array at the end of the path: its elements are compared, those of an array in it are not.
    is_element: bool,
}

impl<'de> DeserializeSeed<'de> for Step<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Step<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_bool<E>(self, stored: bool) -> Result<bool, E> {
        Ok(self.path.is_empty() && self.wanted.text == if stored { "true" } else { "false" })
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(self.path.is_empty() && self.wanted.text == "null")
    }

    fn visit_str<E>(self, stored: &str) -> Result<bool, E> {
        Ok(self.path.is_empty() && self.wanted.text == stored)
    }

    fn visit_i64<E>(self, stored: i64) -> Result<bool, E> {
        Ok(self.path.is_empty() && self.wanted.is_integer(stored.into()))
    }

    fn visit_u64<E>(self, stored: u64) -> Result<bool, E> {
        Ok(self.path.is_empty() && self.wanted.is_integer(stored.into()))
    }

    fn visit_f64<E>(self, stored: f64) -> Result<bool, E> {
        Ok(self.path.is_empty() && self.wanted.is_float(stored))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        let next = self.path.split_first();
        let mut found = false;
        while let Some(is_next) = members.next_key_seed(Name(next.map(|(name, _)| name)))? {
            match next {
                Some((_, path)) if is_next => found |= members.next_value_seed(Self { path, ..self })?,
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<bool, A::Error> {
        let mut found = false;
        if let Some((name, path)) = self.path.split_first() {
            let wanted: Option<usize> = name.parse().ok();
            for position in 0_usize.. {
                if Some(position) == wanted {
                    match elements.next_element_seed(Self { path, ..self })? {
                        Some(is_it) => found = is_it,
                        None => break,
                    }
                } else if elements.next_element::<IgnoredAny>()?.is_none() {
                    break;
                }
            }
        } else if self.is_element {
            while elements.next_element::<IgnoredAny>()?.is_some() {}
        } else {
            let element = Self {
                is_element: true,
                ..self
            };
            while let Some(is_it) = elements.next_element_seed(element)? {
                found |= is_it;
            }
        }
        Ok(found)
    }
}

/// Whether the name of a member is this one.
struct Name<'a>(Option<&'a String>);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(self.0.is_some_and(|wanted| wanted == name))
    }
}

/// The text with the escapes of JSON strings resolved. What is no escape stays as it is.
fn unescaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let (resolved, length) = escape(&rest[at..]);
        text.push(resolved);
        rest = &rest[at + length..];
    }
    text.push_str(rest);
    text
}

/// What the escape at the beginning of the text stands for, and its length.
fn escape(text: &str) -> (char, usize) {
    let resolved = match text.as_bytes().get(1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode_escape(text),
        _ => return ('\\', 1),
    };
    (resolved, 2)
}

fn unicode_escape(text: &str) -> (char, usize) {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let Some(first) = unit(0) else { return ('\\', 1) };
    let units = [Some(first), unit(6)];
    match char::decode_utf16(units.into_iter().flatten()).next() {
        Some(Ok(resolved)) => (resolved, 6 * resolved.len_utf16()),
        _ => (char::REPLACEMENT_CHARACTER, 6),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn has(payload: &str, path: &str, value: &str) -> bool {
        PayloadMember::parse(path, value).unwrap().is_in(payload)
    }

    fn has_text(payload: &str, text: &str) -> bool {
        PayloadText::parse(text).unwrap().is_in(payload)
    }

    #[test]
    fn a_member_is_found_by_its_path_and_its_value() {
        let payload = r#"{"dealId": 42, "deal": {"name": "Bolt \u0026 Co", "open": true, "note": null, "": 1},
            "amount": 5000.00, "lines": [{"sku": "x"}, {"sku": "y"}], "tags": ["vip", 7, ["deep"]],
            "big": 9007199254740993}"#;
        for (path, value, expected) in [
            ("dealId", "42", true),
            ("dealId", "42.0", true),
            ("dealId", "4.2e1", true),
            ("dealId", "43", false),
            ("dealId", "042", false),
            ("dealid", "42", false),
            ("deal.name", "Bolt & Co", true),
            ("deal.name", "Bolt", false),
            ("deal", "Bolt & Co", false),
            ("deal.open", "true", true),
            ("deal.open", "false", false),
            ("deal.open", "1", false),
            ("deal.note", "null", true),
            ("deal.missing", "null", false),
            ("deal.note.deeper", "null", false),
            ("amount", "5000", true),
            ("amount", "5000.00", true),
            ("lines.1.sku", "y", true),
            ("lines.0.sku", "y", false),
            ("lines.2.sku", "y", false),
            ("lines.sku", "y", false),
            ("tags", "vip", true),
            ("tags", "7", true),
            ("tags", "deep", false),
            ("tags.2", "deep", true),
            ("big", "9007199254740993", true),
            ("big", "9007199254740992", false),
        ] {
            assert_eq!(has(payload, path, value), expected, "payload.{path}={value}");
        }
    }

    #[test]
    fn a_text_is_what_it_says_and_one_of_members_of_the_same_name_suffices() {
        assert!(has(r#"{"id": "42"}"#, "id", "42"));
        assert!(has(r#"{"id": "true"}"#, "id", "true"));
        assert!(has(r#"{"id": ""}"#, "id", ""));
        assert!(has(r#"{"id": 1, "id": 2}"#, "id", "1"));
        assert!(has(r#"{"id": 1, "id": 2}"#, "id", "2"));
        assert!(has(r#"{"n\u0061me": 1}"#, "name", "1"));
    }

    #[test]
    fn a_damaged_payload_has_no_member() {
        for payload in [
            "",
            "{",
            r#"{"id":1"#,
            r#"{"id":1} {}"#,
            "nonsense",
            r#"{"id":1,}"#,
        ] {
            assert!(!has(payload, "id", "1"), "{payload}");
        }
    }

    #[test]
    fn a_payload_that_is_nested_deeply_is_read_without_harm() {
        let deep = format!(
            "{{\"a\":{}1{},\"id\":1}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert!(has(&deep, "id", "1"));
        assert!(!has(&deep, "a.0.0.0.0.0.0.0", "1"));
    }

    #[test]
    fn a_path_or_a_value_beyond_the_bounds_is_refused() {
        let refused = |path: &str, value: &str| PayloadMember::parse(path, value).unwrap_err();
        let long = "x".repeat(MAX_WANTED_BYTES + 1);
        assert_eq!(refused(&long, ""), WantedError::TooLong);
        assert_eq!(refused("a", &long), WantedError::TooLong);
        assert_eq!(refused("a.b.c.d.e.f.g.h.i", ""), WantedError::TooDeep);
        for path in ["", ".a", "a.", "a..b"] {
            assert_eq!(refused(path, ""), WantedError::NoName);
        }
        assert_eq!(PayloadText::parse(""), Err(WantedError::Empty));
        assert_eq!(PayloadText::parse(&long), Err(WantedError::TooLong));
    }

    #[test]
    fn a_text_is_found_as_it_was_sent_and_with_its_escapes_resolved() {
        let payload = r#"{"name":"M\u00fcller \ud83d\ude82 \"x\"\n","key":"Ärger"}"#;
        for text in [
            "Müller",
            r"M\u00fcller",
            "🚂 \"x\"",
            "Ärger",
            r#""name":"#,
            r"\ud83d",
        ] {
            assert!(has_text(payload, text), "{text}");
        }
        for text in ["müller", "Muller", "name: "] {
            assert!(!has_text(payload, text), "{text}");
        }
        for damaged in [
            r"\",
            r"\u",
            r"\u12",
            r"\ud83d",
            r"\ud83dx\u00",
            r"\x",
            r"\ud83d\u0041",
            r"\u+123",
        ] {
            assert!(has_text(damaged, damaged));
            assert!(!has_text(damaged, "nothing"));
        }
    }

    proptest! {
        #[test]
        fn what_a_string_holds_is_found_however_it_is_escaped(text in "[^\u{0}]{1,20}") {
            let json = serde_json::json!({"a": text}).to_string();
            prop_assert!(has_text(&json, &text));
            let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            let escaped = format!("{{\"a\":\"{escaped}\"}}");
            prop_assert!(has_text(&escaped, &text));
            prop_assert!(has(&escaped, "a", &text));
        }

        #[test]
        fn no_text_breaks_the_search(payload: String, wanted in ".{1,20}", path in "[a-z0]{1,3}(\\.[a-z0]{1,3}){0,3}") {
            let _ = has_text(&payload, &wanted);
            let _ = has(&payload, &path, &wanted);
        }
    }
}

//! How a stored payload is shown.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

/// The members `payload` and, of a damaged row, `corrupt`; to be flattened into what has the payload.
#[derive(Debug, Serialize)]
pub(super) struct PayloadDto {
    /// As it was sent, byte for byte. If the stored text is no longer JSON, that text as a JSON string.
    payload: Box<RawValue>,
    /// True where the database holds no JSON; absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    corrupt: bool,
}

impl From<String> for PayloadDto {
    fn from(stored: String) -> Self {
        match serde_json::from_str(&stored) {
            Ok(payload) => Self {
                payload,
                corrupt: false,
            },
            Err(_) => Self {
                payload: to_raw_value(&stored).expect("every text can be written as JSON"),
                corrupt: true,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(stored: &str) -> String {
        serde_json::to_string(&PayloadDto::from(stored.to_owned())).unwrap()
    }

    #[test]
    fn json_is_shown_as_it_is() {
        assert_eq!(shown(r#"{"a": 5000.00}"#), r#"{"payload":{"a": 5000.00}}"#);
    }

    #[test]
    fn what_is_no_json_is_shown_as_a_text_and_marked() {
        for stored in ["", "{\"a\":", "not json", "{} {}", "\"\u{1}"] {
            let shown: serde_json::Value = serde_json::from_str(&shown(stored)).unwrap();
            assert_eq!(
                shown,
                serde_json::json!({"payload": stored, "corrupt": true}),
                "{stored:?}"
            );
        }
    }
}

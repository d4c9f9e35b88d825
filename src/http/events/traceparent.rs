//! W3C Trace Context: the `traceparent` header of a publish, kept with the event and sent on.

use actix_web::http::header::HeaderMap;

/// A longer one is not sent on. Later versions may append to the 55 bytes of version 00.
const MAX_BYTES: usize = 128;

/// The request's trace context. `None` where it is absent, comes twice or is not well-formed: the specification tells
/// receivers to ignore such a header.
pub(super) fn read(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all("traceparent");
    let value = values.next()?.to_str().ok()?;
    (values.next().is_none() && is_well_formed(value)).then(|| value.to_owned())
}

/// `version "-" trace-id "-" parent-id "-" trace-flags`, lower-case hex, no id all zero.
fn is_well_formed(value: &str) -> bool {
    let mut parts = value.splitn(5, '-');
    let mut next = || parts.next().unwrap_or("");
    let (version, trace_id, parent_id, flags) = (next(), next(), next(), next());
    let extension = parts.next();
    is_hex(version, 2)
        && version != "ff"
        && is_hex(trace_id, 32)
        && trace_id.bytes().any(|b| b != b'0')
        && is_hex(parent_id, 16)
        && parent_id.bytes().any(|b| b != b'0')
        && is_hex(flags, 2)
        && (extension.is_none() || version != "00")
        && value.len() <= MAX_BYTES
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_trace_context_is_kept() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let cases = [
            (good.to_owned(), true),
            (good.replace("00-4", "cc-4") + "-what-comes-later", true),
            (good.to_owned() + "-more", false),
            (good.replace("00-4", "ff-4"), false),
            (good.to_uppercase(), false),
            (
                good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
                false,
            ),
            (good.replace("00f067aa0ba902b7", &"0".repeat(16)), false),
            (good[..54].to_owned(), false),
            (good.replace("00-4", "cc-4") + "-" + &"x".repeat(99), false),
            (String::new(), false),
        ];
        for (value, expected) in cases {
            assert_eq!(is_well_formed(&value), expected, "{value}");
        }
    }
}

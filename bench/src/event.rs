//! The events that are published, and the time that each carries.

use std::net::SocketAddr;

use memchr::memmem;

use crate::time;

/// The member of the payload with the time. Its number begins with the digit 1, because a number of JSON must not begin
/// with zeros. The digits of the time follow: they have a fixed width, so that they can be overwritten.
const MARK: &[u8] = b"\"t\":1";
const DIGITS: usize = 18;
const NUMBER: &[u8] = b"\"n\":";

/// A publish that is ready to be sent, except for its time.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    digits_at: usize,
}

impl Request {
    /// An event with this key, in a body of about 200 bytes.
    pub(crate) fn publish(address: SocketAddr, cookie: &str, workspace: &str, key: &str) -> Self {
        let body = format!(
            concat!(
                r#"{{"eventKey":"{}","schemaVersion":"1.0","actor":"018f4e5a-user-uuid","payload":{{"t":1{:018},"#,
                r#""dealId":"deal-123","amount":"5000.00","currency":"USD","owner":"jane.doe@example.com","#,
                r#""n":123456789}}}}"#
            ),
            key, 0
        );
        let text = format!(
            "POST /api/workspaces/{workspace}/events/publish HTTP/1.1\r\nhost: {address}\r\ncookie: {cookie}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let bytes = text.into_bytes();
        let digits_at = memmem::find(&bytes, MARK).map_or(0, |at| at + MARK.len());
        Self { bytes, digits_at }
    }

    /// Replaces the contents of the buffer by the publish with this time.
    pub(crate) fn write(&self, nanos: u64, buffer: &mut Vec<u8>) {
        buffer.clear();
        buffer.extend_from_slice(&self.bytes);
        let mut rest = nanos;
        for digit in buffer[self.digits_at..self.digits_at + DIGITS].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
    }
}

/// The age of the event in this body: nanoseconds since the time at which it should have been sent.
pub(crate) fn age(body: &[u8]) -> Option<u64> {
    let at = memmem::find(body, MARK)? + MARK.len();
    let digits = body.get(at..at + DIGITS)?;
    let sent = digits
        .iter()
        .fold(0, |sent, digit| sent * 10 + u64::from(digit.wrapping_sub(b'0')));
    Some(time::nanos().saturating_sub(sent))
}

/// The member `n` of the payload in this body. For events that were filled in it is their sequence number.
pub(crate) fn number(body: &[u8]) -> Option<u64> {
    let at = memmem::find(body, NUMBER)? + NUMBER.len();
    let digits = body[at..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number: u64, digit| {
        number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_was_written_is_read_again() {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let request = Request::publish(address, "a=b", "w", "crm.deal.closed");
        let mut buffer = Vec::new();
        request.write(time::nanos() - 5_000_000_000, &mut buffer);
        let age = age(&buffer).unwrap();
        assert!((5_000_000_000..6_000_000_000).contains(&age), "{age}");
        let message = crate::http::Message::at_start_of(&buffer).unwrap();
        let body: serde_json::Value = serde_json::from_slice(message.body(&buffer)).unwrap();
        assert!(body["payload"]["t"].is_u64());
        assert_eq!(body["payload"]["n"].as_u64(), number(message.body(&buffer)));
    }
}

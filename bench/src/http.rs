//! The part of HTTP/1.1 that the load and the receivers need: the end of a message, its status and its headers.

use memchr::{memchr, memchr_iter, memmem};

/// A message at the beginning of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Bytes of its head, including the empty line.
    pub(crate) head: usize,
    /// Bytes of head and body.
    pub(crate) whole: usize,
}

impl Message {
    /// The message, if all of it is in the buffer. A body must have a `content-length`; chunked bodies are not
    /// supported.
    pub(crate) fn at_start_of(buffer: &[u8]) -> Option<Self> {
        let head = memmem::find(buffer, b"\r\n\r\n")? + 4;
        let whole = head + body_length(&buffer[..head]);
        (buffer.len() >= whole).then_some(Self { head, whole })
    }

    /// Whether the other side closes the connection after this message.
    pub(crate) fn closes(self, buffer: &[u8]) -> bool {
        header(&buffer[..self.head], b"connection:").eq_ignore_ascii_case(b"close")
    }

    pub(crate) fn body(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.head..self.whole]
    }
}

/// The status of a response; 0 if it has none.
pub(crate) fn status(answer: &[u8]) -> u16 {
    answer.get(9..12).map_or(0, |digits| {
        digits.iter().fold(0, |status, digit| {
            status * 10 + u16::from(digit.wrapping_sub(b'0'))
        })
    })
}

/// The value of a header; empty if there is none. The name is given in lower case, with its colon.
fn header<'a>(head: &'a [u8], name: &[u8]) -> &'a [u8] {
    let value = memchr_iter(b'\n', head).find_map(|end| {
        let line = &head[end + 1..];
        let found = line.get(..name.len())?;
        let rest = &line[name.len()..];
        let value = &rest[..memchr(b'\n', rest).unwrap_or(rest.len())];
        found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    });
    value.unwrap_or_default()
}

fn body_length(head: &[u8]) -> usize {
    header(head, b"content-length:")
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |length, digit| length * 10 + usize::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_there_once_its_body_is() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx: y\r\n\r\nhello";
        for length in 0..whole.len() {
            assert_eq!(Message::at_start_of(&whole[..length]), None);
        }
        let message = Message::at_start_of(whole).unwrap();
        assert_eq!(message.body(whole), b"hello");
        assert_eq!(status(whole), 200);
    }

    #[test]
    fn the_last_message_of_a_connection_says_so() {
        let last = b"HTTP/1.1 503 Service Unavailable\r\nConnection: Close\r\ncontent-length: 0\r\n\r\n";
        let kept = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
        assert!(Message::at_start_of(last).unwrap().closes(last));
        assert!(!Message::at_start_of(kept).unwrap().closes(kept));
    }

    #[test]
    fn without_a_length_there_is_no_body() {
        let two = b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 204";
        assert_eq!(Message::at_start_of(two).map(|message| message.whole), Some(27));
    }
}

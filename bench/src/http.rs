//! As much of HTTP/1.1 as the load and the receivers need: where a message ends.

use memchr::{memchr_iter, memmem};

/// A message at the beginning of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Bytes of its head, the empty line included.
    pub(crate) head: usize,
    /// Bytes of head and body.
    pub(crate) whole: usize,
}

const LENGTH: &[u8] = b"content-length:";

impl Message {
    /// The message, once all of it is here. Bodies have a length; chunks are not known here.
    pub(crate) fn at_start_of(buffer: &[u8]) -> Option<Self> {
        let head = memmem::find(buffer, b"\r\n\r\n")? + 4;
        let whole = head + body_length(&buffer[..head]);
        (buffer.len() >= whole).then_some(Self { head, whole })
    }

    pub(crate) fn body(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.head..self.whole]
    }
}

/// The status of an answer, 0 where there is none.
pub(crate) fn status(answer: &[u8]) -> u16 {
    answer.get(9..12).map_or(0, |digits| {
        digits.iter().fold(0, |status, digit| {
            status * 10 + u16::from(digit.wrapping_sub(b'0'))
        })
    })
}

fn body_length(head: &[u8]) -> usize {
    let value = memchr_iter(b'\n', head).find_map(|end| {
        let line = &head[end + 1..];
        let name = line.get(..LENGTH.len())?;
        name.eq_ignore_ascii_case(LENGTH).then(|| &line[LENGTH.len()..])
    });
    let digits = value.unwrap_or_default().iter().skip_while(|byte| **byte == b' ');
    digits
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
    fn without_a_length_there_is_no_body() {
        let two = b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 204";
        assert_eq!(Message::at_start_of(two).map(|message| message.whole), Some(27));
    }
}

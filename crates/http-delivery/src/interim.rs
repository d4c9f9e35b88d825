//! Interim answers (1xx) are taken out of what a service sends. A service may send any number of them before
//! its answer (RFC 9110, section 15.2); `awc` would take the first for the answer itself.

/// `HTTP/1.x 1xx`: what an interim answer begins with, `x` standing for any digit.
const INTERIM: &[u8; 12] = b"HTTP/1.x 1xx";
/// A change of protocol, which was not asked for, is final: what follows is not HTTP.
const SWITCHING: &[u8] = b"101";

/// Sits in front of one answer. Bytes go in as they arrive; those of the answer itself come out.
#[derive(Debug, Default)]
pub(super) struct InterimFilter {
    /// Bytes that are not yet known to belong to the answer, or are known to and not yet taken.
    held: Vec<u8>,
    passes: bool,
}

impl InterimFilter {
    /// Everything that arrives from now on belongs to the answer.
    pub(super) fn passes(&self) -> bool {
        self.passes && self.held.is_empty()
    }

    /// Takes what has arrived. The caller bounds how much that is.
    pub(super) fn arrived(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        while !self.passes {
            match judge(&self.held) {
                Head::Undecided => return,
                Head::Final => self.passes = true,
                Head::Interim { length } => drop(self.held.drain(..length)),
            }
        }
    }

    /// Nothing more will arrive.
    pub(super) fn ended(&mut self) {
        self.passes = true;
    }

    /// Takes at most so many bytes of the answer; none while it has not begun.
    pub(super) fn take(&mut self, most: usize) -> Vec<u8> {
        let length = if self.passes { most.min(self.held.len()) } else { 0 };
        let rest = self.held.split_off(length);
        std::mem::replace(&mut self.held, rest)
    }
}

enum Head {
    /// So far it could be an interim answer, and it has not ended.
    Undecided,
    Final,
    Interim {
        length: usize,
    },
}

fn judge(bytes: &[u8]) -> Head {
    let fits = |(byte, pattern): (&u8, &u8)| match pattern {
        b'x' => byte.is_ascii_digit(),
        _ => byte == pattern,
    };
    if !bytes.iter().zip(INTERIM).all(fits) {
        return Head::Final;
    }
    match bytes.get(9..INTERIM.len()) {
        Some(SWITCHING) => Head::Final,
        Some(_) => match bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            Some(end) => Head::Interim { length: end + 4 },
            None => Head::Undecided,
        },
        None => Head::Undecided,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

    /// What comes out when the text arrives in pieces of this size.
    fn filtered(text: &str, piece: usize) -> String {
        let mut filter = InterimFilter::default();
        let mut out = Vec::new();
        for bytes in text.as_bytes().chunks(piece) {
            filter.arrived(bytes);
            out.extend(filter.take(7));
        }
        filter.ended();
        out.extend(filter.take(usize::MAX));
        assert!(filter.passes());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn interim_answers_are_taken_out_however_they_arrive() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 103 Early Hints\r\nlink: </a>\r\n\r\n";
        for piece in [1, 3, 11, 12, 13, 1000] {
            assert_eq!(filtered(&format!("{interim}{ANSWER}"), piece), ANSWER);
            assert_eq!(filtered(&interim.repeat(50), piece), "");
        }
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        let whole = format!("{ANSWER}HTTP/1.1 100 Continue\r\n\r\n");
        for text in [
            whole.as_str(),
            "HTTP/1.1 101 Switching Protocols\r\n\r\nraw",
            "SSH-2.0-OpenSSH\r\n",
            "HTTP/1.1 1",
            "HTTP/1.1 100 Continue\r\nnever ends",
            "",
        ] {
            for piece in [1, 5, 1000] {
                assert_eq!(filtered(text, piece), text);
            }
        }
    }

    #[test]
    fn an_answer_comes_out_as_soon_as_it_is_known_to_be_one() {
        let mut filter = InterimFilter::default();
        filter.arrived(b"HTTP/1.1 ");
        assert_eq!(filter.take(100), b"");
        filter.arrived(b"2");
        assert_eq!(filter.take(100), b"HTTP/1.1 2");
        assert!(filter.passes());
    }
}

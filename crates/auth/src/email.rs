//! Email addresses, as names to sign in with.

/// An address in lower case. Only its form is checked, not that mail arrives there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

/// The longest address, in bytes (RFC 5321, section 4.5.3.1.3, without the angle brackets).
pub const MAX_EMAIL_BYTES: usize = 254;

/// Why a text is no address.
#[warn(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    /// It has more than [`MAX_EMAIL_BYTES`].
    #[error("must be at most {MAX_EMAIL_BYTES} bytes long")]
    TooLong,
    /// It has not the form `name@domain`, or has white space or control characters.
    #[error("must be an email address, for example ann@example.com")]
    NoAddress,
}

impl Email {
    /// # Errors
    /// When the text is too long or has not the form `name@domain`.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        if text.len() > MAX_EMAIL_BYTES {
            return Err(EmailError::TooLong);
        }
        let strange = |c: char| c.is_whitespace() || c.is_control();
        match text.split_once('@') {
            Some((name, domain))
                if !name.is_empty()
                    && !domain.is_empty()
                    && !domain.contains('@')
                    && !text.contains(strange) =>
            {
                Ok(Self(text.to_lowercase()))
            }
            _ => Err(EmailError::NoAddress),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_kept_in_lower_case() {
        assert_eq!(
            Email::parse("Ann@Example.COM").unwrap().as_str(),
            "ann@example.com"
        );
        assert!(Email::parse("admin@pointsman.local").is_ok());
    }

    #[test]
    fn what_has_not_the_form_of_an_address_is_refused() {
        for text in [
            "",
            "@",
            "ann",
            "ann@",
            "@example.com",
            "a@b@c",
            "an n@b.c",
            "ann@b.c\n",
        ] {
            assert_eq!(Email::parse(text), Err(EmailError::NoAddress), "{text:?}");
        }
        let long = format!("{}@b.c", "a".repeat(251));
        assert_eq!(Email::parse(&long), Err(EmailError::TooLong));
    }
}

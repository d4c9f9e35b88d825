//! Rules for fields that their types do not express.

use std::borrow::Cow;

use super::problem::{FieldError, Problem};

/// The longest name of anything, in characters.
pub const MAX_NAME_CHARS: usize = 120;

/// Collects what is wrong with a request, so that one answer names every field.
#[derive(Debug, Default)]
pub struct Checks(Vec<FieldError>);

impl Checks {
    pub fn new() -> Self {
        Self::default()
    }

    /// The value, unless it is wrong: then its error is noted.
    pub fn check<T, E: std::fmt::Display>(
        &mut self,
        field: impl Into<Cow<'static, str>>,
        result: Result<T, E>,
    ) -> Option<T> {
        result
            .map_err(|error| self.0.push(FieldError::new(field, error.to_string())))
            .ok()
    }

    /// # Errors
    /// `VALIDATION_FAILED` with everything that was noted.
    pub fn finish(self) -> Result<(), Problem> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Problem::validations(self.0))
        }
    }
}

/// A name for people: 1 to 120 characters, not only white space, no control characters.
///
/// # Errors
/// The rule that the text breaks.
pub fn name(text: &str) -> Result<(), &'static str> {
    if text.trim().is_empty() {
        Err("must not be empty")
    } else if text.chars().count() > MAX_NAME_CHARS {
        Err("must be at most 120 characters long")
    } else if text.contains(char::is_control) {
        Err("must not contain control characters")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_for_people() {
        for good in ["demo", "Ä", &"ä".repeat(120), "a b"] {
            assert_eq!(name(good), Ok(()), "{good:?}");
        }
        for bad in ["", "  ", &"a".repeat(121), "a\nb", "\u{7f}x"] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    /// The macros check the names of extensions by a rule of their own.
    #[test]
    fn names_follow_the_cases_of_the_macros() {
        let cases = include_str!("../../macros/src/rules/cases.txt").lines();
        let cases: Vec<_> = cases
            .filter_map(|line| line.strip_prefix("name\t")?.split_once('\t'))
            .collect();
        assert!(cases.len() > 6);
        for (text, expected) in cases {
            assert_eq!(name(text).err().unwrap_or("ok"), expected, "{text:?}");
        }
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let mut checks = Checks::new();
        checks.check("name", name(""));
        assert_eq!(checks.check("count", Ok::<_, &str>(5)), Some(5));
        checks.check("email", Err::<(), _>("wrong"));
        let Err(Problem::ValidationFailed(errors)) = checks.finish() else {
            panic!("two fields are wrong");
        };
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_ref()).collect();
        assert_eq!(fields, ["name", "email"]);
    }
}

//! Names of handlers.

use std::{
    collections::HashSet,
    fmt,
    sync::{Mutex, PoisonError},
};

/// Which handler of an extension a delivery is for. Cheap to copy and to compare: equal names share one text for
/// the life of the process. That is bounded, because names come from code and from our own rows alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandlerName(&'static str);

static NAMES: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);

impl HandlerName {
    /// The extension as a whole: an external service has no other handler. Comes before every other name.
    pub const WHOLE: Self = Self("");

    pub fn intern(name: &str) -> Self {
        if name.is_empty() {
            return Self::WHOLE;
        }
        // No panic leaves the set half changed.
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        let names = names.get_or_insert_default();
        if let Some(known) = names.get(name) {
            return Self(known);
        }
        let name: &'static str = Box::leak(name.into());
        names.insert(name);
        Self(name)
    }

    pub const fn as_str(self) -> &'static str {
        self.0
    }

    pub const fn is_whole(self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for HandlerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for HandlerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HandlerName({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_share_their_text() {
        let (one, same) = (
            HandlerName::intern("deal_closed"),
            HandlerName::intern("deal_closed"),
        );
        assert_eq!(one, same);
        assert!(std::ptr::eq(one.as_str(), same.as_str()));
        assert_ne!(one, HandlerName::intern("deal_opened"));
    }

    #[test]
    fn the_whole_extension_comes_first() {
        assert!(HandlerName::intern("").is_whole());
        assert!(HandlerName::WHOLE < HandlerName::intern("a"));
    }
}

//! Finds the owners of the patterns that match a key, without testing each pattern.

use std::collections::HashMap;

use super::EventPattern;
use crate::event_key::EventKey;

/// Patterns with their owners. The cost of a look-up grows with the segments of the key and the owners
/// found, not with the number of patterns.
#[derive(Debug)]
pub struct PatternIndex<T> {
    /// Patterns without a wildcard, which most are.
    exact: HashMap<Box<str>, Vec<T>>,
    root: Node<T>,
}

/// What may come at one segment of the patterns with a wildcard.
#[derive(Debug)]
struct Node<T> {
    segments: HashMap<Box<str>, Node<T>>,
    any: Option<Box<Node<T>>>,
    /// Owners of the patterns that end here.
    end: Vec<T>,
    /// Owners of the patterns that go on with `**`.
    rest: Vec<T>,
}

impl<T> Default for PatternIndex<T> {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            root: Node::default(),
        }
    }
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self {
            segments: HashMap::new(),
            any: None,
            end: Vec::new(),
            rest: Vec::new(),
        }
    }
}

impl<T: Copy + PartialEq> PatternIndex<T> {
    /// Adds the pattern for its owner; once, however often it is added.
    pub fn insert(&mut self, pattern: &EventPattern, owner: T) {
        let text = pattern.as_str();
        let owners = if text.contains('*') {
            self.root.owners(text)
        } else {
            self.exact.entry(text.into()).or_default()
        };
        if !owners.contains(&owner) {
            owners.push(owner);
        }
    }

    /// Removes the pattern of this owner.
    pub fn remove(&mut self, pattern: &EventPattern, owner: T) {
        let text = pattern.as_str();
        if text.contains('*') {
            self.root.remove(text, owner);
        } else if let Some(owners) = self.exact.get_mut(text) {
            owners.retain(|one| *one != owner);
            if owners.is_empty() {
                self.exact.remove(text);
            }
        }
    }

    /// Hands every owner of a pattern that stands for the key to `found`, once for each such pattern.
    pub fn find(&self, key: &EventKey, mut found: impl FnMut(T)) {
        if let Some(owners) = self.exact.get(key.as_str()) {
            owners.iter().copied().for_each(&mut found);
        }
        self.root.find(key.as_str(), &mut found);
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.root.is_empty()
    }
}

impl<T: Copy + PartialEq> Node<T> {
    fn owners(&mut self, pattern: &str) -> &mut Vec<T> {
        let (segment, rest) = first_segment(pattern);
        if segment == "**" {
            return &mut self.rest;
        }
        let next = match segment {
            "*" => self.any.get_or_insert_default(),
            _ => self.segments.entry(segment.into()).or_default(),
        };
        match rest {
            Some(rest) => next.owners(rest),
            None => &mut next.end,
        }
    }

    fn remove(&mut self, pattern: &str, owner: T) {
        let (segment, rest) = first_segment(pattern);
        if segment == "**" {
            return self.rest.retain(|one| *one != owner);
        }
        let next = match segment {
            "*" => self.any.as_deref_mut(),
            _ => self.segments.get_mut(segment),
        };
        let Some(next) = next else { return };
        match rest {
            Some(rest) => next.remove(rest, owner),
            None => next.end.retain(|one| *one != owner),
        }
        if !next.is_empty() {
            return;
        }
        if segment == "*" {
            self.any = None;
        } else {
            self.segments.remove(segment);
        }
    }

    fn find(&self, key: &str, found: &mut impl FnMut(T)) {
        self.rest.iter().copied().for_each(&mut *found);
        let (segment, rest) = first_segment(key);
        for next in [self.segments.get(segment), self.any.as_deref()]
            .into_iter()
            .flatten()
        {
            match rest {
                Some(rest) => next.find(rest, found),
                None => next.end.iter().copied().for_each(&mut *found),
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.any.is_none() && self.end.is_empty() && self.rest.is_empty()
    }
}

fn first_segment(text: &str) -> (&str, Option<&str>) {
    match text.split_once('.') {
        Some((segment, rest)) => (segment, Some(rest)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn pattern() -> impl Strategy<Value = EventPattern> {
        "(a|b|\\*)(\\.(a|b|c|\\*)){1,3}|(a|b)(\\.(a|\\*)){0,2}\\.\\*\\*|\\*\\*"
            .prop_map(|text| EventPattern::parse(&text).unwrap())
    }

    fn key() -> impl Strategy<Value = EventKey> {
        "(a|b)(\\.(a|b|c)){1,3}".prop_map(|text| EventKey::parse(&text).unwrap())
    }

    proptest! {
        #[test]
        fn it_finds_whom_the_patterns_themselves_name(
            patterns in prop::collection::vec(pattern(), 0..40),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            keys in prop::collection::vec(key(), 1..10),
        ) {
            let mut index = PatternIndex::default();
            for (owner, pattern) in patterns.iter().enumerate() {
                index.insert(pattern, owner);
                index.insert(pattern, owner);
            }
            let mut left: BTreeSet<usize> = (0..patterns.len()).collect();
            for removed in removed.iter().filter(|_| !patterns.is_empty()) {
                let owner = removed.index(patterns.len());
                index.remove(&patterns[owner], owner);
                left.remove(&owner);
            }
            for key in keys {
                let mut found = Vec::new();
                index.find(&key, |owner| found.push(owner));
                found.sort_unstable();
                let expected: Vec<usize> =
                    left.iter().copied().filter(|owner| patterns[*owner].matches(&key)).collect();
                prop_assert_eq!(found, expected);
            }
            for owner in left {
                index.remove(&patterns[owner], owner);
            }
            prop_assert!(index.is_empty(), "nothing is left of what was removed");
        }
    }
}

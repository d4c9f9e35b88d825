//! The macros check keys, patterns and names by rules of their own; these are the same.

use crate::registry::is_handler_name;
use pointsman_domain::{event_pattern::EventPattern, installation::check_key};

/// The texts of one rule, each with what is wrong with it, or `ok`.
fn cases(rule: &str) -> Vec<(&'static str, &'static str)> {
    const CASES: &str = include_str!("../../../../macros/src/rules/cases.txt");
    let cases: Vec<_> = CASES
        .lines()
        .filter_map(|line| line.strip_prefix(rule)?.strip_prefix('\t')?.split_once('\t'))
        .collect();
    assert!(cases.len() > 6, "{} cases of {rule}", cases.len());
    cases
}

#[test]
fn keys_follow_the_cases() {
    for (text, expected) in cases("key") {
        assert_eq!(check_key(text).err().unwrap_or("ok"), expected, "{text:?}");
    }
}

#[test]
fn event_keys_and_patterns_follow_the_cases() {
    for (text, expected) in cases("event key") {
        let found = EventPattern::parse(text).map_or_else(|error| error.to_string(), |_| "ok".to_owned());
        assert_eq!(found, expected, "{text:?}");
    }
}

#[test]
fn names_of_handlers_follow_the_cases() {
    for (text, expected) in cases("handler") {
        assert_eq!(is_handler_name(text), expected == "ok", "{text:?}");
    }
}

//! Copies of rules of the router: `domain::installation::check_key`, `domain::event_pattern`, `extension::registry` and
//! `http::validate::name`. A macro cannot call those; `rules/cases.txt` tests both sides.

use std::{ops::RangeInclusive, time::Duration};

/// What is wrong with a text. The message follows the name of the text.
pub(crate) type Checked = Result<(), &'static str>;

/// The allowed `max_attempts`, the first attempt included.
pub(crate) const ATTEMPTS: RangeInclusive<u32> = 1..=1000;

const MAX_KEY_BYTES: usize = 64;
const MAX_NAME_CHARS: usize = 120;
const MAX_EVENT_KEY_BYTES: usize = 255;
const MAX_HANDLER_NAME_BYTES: usize = 128;

/// The bounds of `delivery.retry_schedule` in the configuration.
const MAX_PAUSES: usize = 100;
const PAUSE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(30 * 24 * 60 * 60);

/// An extension's key.
pub(crate) fn key(text: &str) -> Checked {
    let first = text.bytes().next().ok_or("must not be empty")?;
    if text.len() > MAX_KEY_BYTES {
        return Err("must be at most 64 bytes long");
    }
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if !plain(first) || !text.bytes().all(|b| plain(b) || b"_.-".contains(&b)) {
        return Err("must be lower-case letters, digits, _, . and -, and begin with a letter or a digit");
    }
    Ok(())
}

/// An extension's name, for people.
pub(crate) fn name(text: &str) -> Checked {
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

/// An event key, or an event pattern.
pub(crate) fn event_pattern(text: &str) -> Checked {
    if text.len() > MAX_EVENT_KEY_BYTES {
        return Err("must be at most 255 bytes long");
    }
    let segments: Vec<&str> = text.split('.').collect();
    let is_pattern = text.contains('*');
    for (index, segment) in segments.iter().enumerate() {
        match *segment {
            "**" if index + 1 < segments.len() => return Err("may have ** only as its last segment"),
            "*" | "**" => {}
            segment if is_segment(segment) => {}
            _ => {
                return Err(
                    "must consist of segments joined by single dots: letters, digits, _ and -, or * or ** alone",
                );
            }
        }
    }
    if segments.len() < 2 && !is_pattern {
        return Err(
            "must have 2 or more segments joined by dots, or a wildcard, for example crm.deal.closed or crm.**",
        );
    }
    Ok(())
}

fn is_segment(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    !text.is_empty() && text.bytes().all(plain)
}

/// The name of a method that is a handler.
pub(crate) fn handler_name(text: &str) -> Checked {
    if text.len() > MAX_HANDLER_NAME_BYTES {
        return Err("must be at most 128 bytes long");
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if text.is_empty() || !text.bytes().all(plain) {
        return Err("must be ASCII letters, digits and _");
    }
    Ok(())
}

/// The pauses of a handler's own schedule.
pub(crate) fn pauses(text: &str) -> Result<Vec<Duration>, String> {
    let pauses: Vec<Duration> = text.split(',').map(pause).collect::<Result<_, _>>()?;
    if pauses.len() > MAX_PAUSES {
        return Err(format!("a retry schedule has at most {MAX_PAUSES} pauses"));
    }
    Ok(pauses)
}

fn pause(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("a retry schedule is a list of pauses such as \"1s, 5s, 1m\"; \
             for a handler that is tried once, write `max_attempts = 1`"
            .to_owned());
    }
    match humantime::parse_duration(text) {
        Ok(pause) if PAUSE.contains(&pause) => Ok(pause),
        Ok(_) => Err(format!("the pause {text:?} is not from 1ms to 30d")),
        Err(_) => Err(format!(
            "{text:?} is no duration: write for example 500ms, 5s, 1m 30s or 2h"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: &str = include_str!("rules/cases.txt");

    #[test]
    fn the_rules_are_those_of_the_cases() {
        let mut checked = 0;
        for line in CASES.lines().filter(|line| !line.starts_with('#')) {
            let [rule, text, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("three fields: {line:?}")
            };
            let check = match rule {
                "key" => key,
                "name" => name,
                "event key" => event_pattern,
                "handler" => handler_name,
                _ => panic!("no such rule: {line:?}"),
            };
            assert_eq!(check(text).err().unwrap_or("ok"), expected, "{line:?}");
            checked += 1;
        }
        assert!(checked > 40, "{checked} cases");
    }

    #[test]
    fn a_schedule_is_a_list_of_durations() {
        let seconds = |pauses: &[u64]| Ok(pauses.iter().copied().map(Duration::from_secs).collect());
        assert_eq!(pauses("5s"), seconds(&[5]));
        assert_eq!(pauses(" 1s,5s , 1m 30s"), seconds(&[1, 5, 90]));
        assert_eq!(pauses("30d"), seconds(&[30 * 24 * 60 * 60]));
        assert_eq!(pauses("1ms"), Ok(vec![Duration::from_millis(1)]));
        for (text, why) in [
            ("", "is a list of pauses"),
            ("1s,,5s", "is a list of pauses"),
            ("1s,", "is a list of pauses"),
            ("soon", "\"soon\" is no duration"),
            ("1s 5", "\"1s 5\" is no duration"),
            ("5s, 0s", "\"0s\" is not from 1ms"),
            ("31d", "not from 1ms to 30d"),
            (&vec!["1s"; 101].join(","), "at most 100 pauses"),
        ] {
            let error = pauses(text).unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }
}

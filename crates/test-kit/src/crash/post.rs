//! What is published. Everything about an event follows from its number, so that a receiver can
//! check it without knowing what was published.

use super::campaign::WORKSPACES;

/// One of so many events goes to the receiver that hangs, too.
const AUDITED: u64 = 40;

pub(crate) const DEAL_CLOSED: &str = "crm.deal.closed";
pub(crate) const AUDIT_LOGGED: &str = "crm.audit.logged";

/// The number of the nth publish of a campaign, into this workspace.
pub(crate) fn number(nth: u64, workspace: usize) -> u64 {
    nth * WORKSPACES as u64 + workspace as u64
}

pub(crate) fn workspace_of(number: u64) -> usize {
    // Less than the number of workspaces.
    (number % WORKSPACES as u64) as usize
}

pub(crate) fn event_key(number: u64) -> &'static str {
    if number.is_multiple_of(AUDITED) {
        AUDIT_LOGGED
    } else {
        DEAL_CLOSED
    }
}

/// The event's number travels as its actor.
pub(crate) fn actor(number: u64) -> String {
    format!("publisher-{number}")
}

pub(crate) fn number_of(actor: &str) -> Option<u64> {
    actor.strip_prefix("publisher-")?.parse().ok()
}

/// JSON that a parse and a print would change: white space, spellings of numbers and letters, a key twice.
/// Up to 2 KiB, seldom 32 KiB.
pub(crate) fn payload(number: u64) -> String {
    let spread = number.wrapping_mul(2_654_435_761) >> 7;
    let length = if number.is_multiple_of(97) {
        32 * 1024
    } else {
        spread % 2048
    };
    let fill = "x".repeat(usize::try_from(length).unwrap_or(0));
    format!(
        "{{\"number\" : {number},\n\t\"amount\":{spread}.00, \"note\":\"caf\\u00e9 ü \\/ {number}\",\
         \"amount\":1E{},  \"fill\":[\"{fill}\" , -0.0]}}",
        spread % 300
    )
}

/// The body of its publish.
pub(crate) fn body(number: u64) -> String {
    format!(
        r#"{{"eventKey":"{}","actor":"{}","payload":{}}}"#,
        event_key(number),
        actor(number),
        payload(number)
    )
}

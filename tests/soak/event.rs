//! What is published. Everything about an event follows from its number, so that nothing of it has to be remembered.

/// The workspaces that are published to.
pub(crate) const WORKSPACES: u64 = 8;
/// One of so many events goes to the service that fails, too.
const AUDITED: u64 = 5;
pub(crate) const DEAL_CLOSED: &str = "crm.deal.closed";
pub(crate) const AUDIT_LOGGED: &str = "crm.audit.logged";

/// What the failing service does with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Taken,
    /// The first attempt fails.
    TakenAgain,
    /// Every attempt fails: it becomes a dead letter.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event(pub(crate) u64);

impl Event {
    /// The number travels as the event's actor.
    pub(crate) fn of_actor(actor: &str) -> Option<Self> {
        actor.strip_prefix("publisher-")?.parse().ok().map(Self)
    }

    pub(crate) fn workspace(self) -> usize {
        // Less than the number of workspaces.
        (self.0 % WORKSPACES) as usize
    }

    fn is_audited(self) -> bool {
        (self.0 / WORKSPACES).is_multiple_of(AUDITED)
    }

    pub(crate) fn key(self) -> &'static str {
        if self.is_audited() {
            AUDIT_LOGGED
        } else {
            DEAL_CLOSED
        }
    }

    /// What the failing service does with it; none where it does not get it.
    pub(crate) fn fate(self) -> Option<Fate> {
        self.is_audited()
            .then_some(match (self.0 / WORKSPACES / AUDITED) % 8 {
                0 => Fate::Refused,
                1 | 2 => Fate::TakenAgain,
                _ => Fate::Taken,
            })
    }

    /// Up to 1.5 KiB of JSON that a parse and a print would change.
    pub(crate) fn payload(self) -> String {
        let number = self.0;
        let length = usize::try_from((number.wrapping_mul(2_654_435_761) >> 7) % 1400).unwrap_or(0);
        format!(
            r#"{{"number" : {number},"note":"caf\u00e9 ü","amount":{number}.00, "fill":"{:x<length$}"}}"#,
            ""
        )
    }

    /// The body of its publish.
    pub(crate) fn body(self) -> String {
        format!(
            r#"{{"eventKey":"{}","actor":"publisher-{}","payload":{}}}"#,
            self.key(),
            self.0,
            self.payload()
        )
    }
}

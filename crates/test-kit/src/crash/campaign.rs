//! What a campaign is, and what has come of it.

use crate::database::Engine;

/// Deliveries of one extension that one crash may repeat: `delivery.window` of the campaign.
pub const WINDOW: usize = 64;
pub(crate) const WORKSPACES: usize = 3;

/// How the server ends in each round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGKILL, sometimes once more during the start after it.
    Kill,
    /// SIGTERM.
    Terminate,
    /// SIGKILL while it starts on an empty database.
    KillAtFirstStart,
    /// SIGKILL under load, while what is old is deleted.
    KillWhilePruning,
    /// SIGKILL while it migrates the database of an earlier version.
    KillWhileMigrating,
    /// SIGKILL of `pointsman backup` beside a server under load, and of `pointsman restore`.
    KillOfBackup,
}

impl Ending {
    /// Whether everything that is not durable is lost.
    pub(crate) fn is_kill(self) -> bool {
        self != Self::Terminate
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    pub engine: Engine,
    pub ending: Ending,
    pub rounds: u32,
    pub seed: u64,
}

/// What has come of it.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub kills: u64,
    pub acknowledged: u64,
    /// Events in the log whose publisher was not told so: the answer was lost, not the event.
    pub recorded_unacknowledged: u64,
    /// Deliveries: one per event and receiver.
    pub delivered: u64,
    pub dead: u64,
    /// Deliveries that were repeated although their receiver had taken them.
    pub duplicates: u64,
    /// Likewise, but because the answer did not come in time.
    pub timed_out: u64,
    /// The most that the windows allow.
    pub duplicates_allowed: u64,
    /// Acknowledged, due, and neither delivered nor dead: there must be none.
    pub lost: u64,
    /// Broken guarantees in words, lost deliveries included; the first of each kind.
    pub violations: Vec<String>,
}

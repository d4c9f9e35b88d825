//! The parts of the torture, each of which can be run alone.
//!
//! Another way to end something is a variant of [`Ending`], a campaign of its own beside those in `crash` of the kit, a
//! part here, and the number of its rounds in `Part::endings`.

use clap::ValueEnum;
use pointsman_test_kit::{Engine, crash::Ending};

/// Rounds with SIGKILL for one with SIGTERM.
const KILLS_PER_STOP: u32 = 10;
/// Rounds with SIGKILL for one with SIGKILL during the first start.
const KILLS_PER_FIRST_START: u32 = 4;
/// Rounds with SIGKILL for one migration, which is killed several times.
const KILLS_PER_MIGRATION: u32 = 20;
/// Rounds with SIGKILL for one while events are deleted.
const KILLS_PER_PRUNING: u32 = 4;
/// Rounds with SIGKILL for one in which backups and restores are killed several times.
const KILLS_PER_BACKUP: u32 = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    All,
    /// SIGKILL during the first start.
    FirstStarts,
    /// SIGKILL under load.
    Kills,
    /// SIGTERM under load.
    Stops,
    /// SIGKILL during the migration of the database of an earlier version.
    Migrations,
    /// SIGKILL under load, while what is old is deleted.
    Pruning,
    /// SIGKILL of a backup under load, and of a restore.
    Backups,
    /// SQLite's write-ahead log under a load that never pauses.
    Log,
}

impl Part {
    /// The ways to end of this part on a database, and the rounds of each for so many rounds with SIGKILL.
    pub(crate) fn endings(self, engine: Engine, rounds: u32) -> Vec<(Ending, u32)> {
        let all = [
            (Self::FirstStarts, Ending::KillAtFirstStart, KILLS_PER_FIRST_START),
            (Self::Kills, Ending::Kill, 1),
            (Self::Stops, Ending::Terminate, KILLS_PER_STOP),
            (Self::Migrations, Ending::KillWhileMigrating, KILLS_PER_MIGRATION),
            (Self::Pruning, Ending::KillWhilePruning, KILLS_PER_PRUNING),
            (Self::Backups, Ending::KillOfBackup, KILLS_PER_BACKUP),
        ];
        all.into_iter()
            .filter(|(part, ..)| matches!(self, Self::All) || self == *part)
            // PostgreSQL is backed up with its own tools.
            .filter(|(_, ending, _)| *ending != Ending::KillOfBackup || engine == Engine::Sqlite)
            .map(|(_, ending, kills)| (ending, rounds.div_ceil(kills)))
            .collect()
    }

    pub(crate) fn has_log(self) -> bool {
        matches!(self, Self::All | Self::Log)
    }
}

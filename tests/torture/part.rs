//! The parts of the torture, each of which can be run alone.

use clap::ValueEnum;
use pointsman_test_kit::crash::Ending;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    All,
    /// SIGKILL during the first start.
    FirstStarts,
    /// SIGKILL under load.
    Kills,
    /// SIGTERM under load.
    Stops,
    /// SQLite's write-ahead log under a load that never pauses.
    Log,
}

impl Part {
    pub(crate) fn has(self, ending: Ending) -> bool {
        let alone = match ending {
            Ending::KillAtFirstStart => Self::FirstStarts,
            Ending::Kill => Self::Kills,
            Ending::Terminate => Self::Stops,
        };
        self == Self::All || self == alone
    }

    pub(crate) fn has_log(self) -> bool {
        matches!(self, Self::All | Self::Log)
    }
}

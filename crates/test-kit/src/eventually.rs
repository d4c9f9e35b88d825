//! The only way to wait for a state that no signal tells of.

use std::{fmt::Display, time::Duration};

use tokio::time::{MissedTickBehavior, interval, timeout};

/// How long any wait of the kit may take before it fails its test. Far longer than anything takes, so that
/// it decides nothing but how a broken test ends.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(10);

/// Looks until `look` answers `Ok`, and returns that. For states that have no signal: what is only visible
/// over the API or in the database. Where a receiver can tell, wait for the receiver.
///
/// Panics with what was last seen when that takes longer than [`PATIENCE`].
pub async fn eventually<T, E: Display>(what: &str, look: impl AsyncFn() -> Result<T, E>) -> T {
    let mut last_seen = "nothing".to_owned();
    let looking = async {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match look().await {
                Ok(found) => return found,
                Err(seen) => last_seen = seen.to_string(),
            }
        }
    };
    match timeout(PATIENCE, looking).await {
        Ok(found) => found,
        Err(_) => panic!("{what}: not within {PATIENCE:?}; last seen: {last_seen}"),
    }
}

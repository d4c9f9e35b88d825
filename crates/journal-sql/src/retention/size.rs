//! Deletes the oldest events and attempts before their time, where the database is larger than it may be.

use pointsman_domain::timestamp::Timestamp;

use super::{
    planner::{Interrupted, Planner},
    state::RetentionPass,
};
use crate::size::used_bytes;

/// About the bytes of an event with its attempts. An estimate: the size is measured again after each round.
const BYTES_PER_EVENT: u64 = 1024;
/// Events of one round.
const FEWEST: u64 = 1000;
const MOST: u64 = 1_000_000;

impl Planner {
    pub(super) async fn prune_to_size(&mut self, report: &mut RetentionPass) -> Result<(), Interrupted> {
        let Some(max_bytes) = self.parts.settings.max_bytes else {
            return Ok(());
        };
        let mut least = FEWEST;
        loop {
            let excess = used_bytes(&self.parts.reader).await?.saturating_sub(max_bytes);
            report.excess_bytes = excess;
            if excess == 0 {
                return Ok(());
            }
            let events = (excess / BYTES_PER_EVENT).clamp(least, MOST);
            let cutoff = self.time_of_oldest(events).await?;
            report.held.clear();
            let deleted = self
                .prune_events(cutoff.unwrap_or(Timestamp::MAX), report)
                .await?
                + self
                    .prune_attempts(cutoff.unwrap_or(self.parts.clock.now()), report)
                    .await?;
            if deleted == 0 {
                if cutoff.is_none() || least == MOST {
                    // What is left is needed, or is no event.
                    return Ok(());
                }
                least = (least * 4).min(MOST);
            }
        }
    }

    /// When the event was accepted that so many are older than; none where there are fewer.
    async fn time_of_oldest(&self, events: u64) -> Result<Option<Timestamp>, Interrupted> {
        let sql = "SELECT occurred_at FROM platform_event ORDER BY id LIMIT 1 OFFSET {1}";
        let offset = i64::try_from(events).unwrap_or(i64::MAX);
        let rows = self.rows(sql, vec![offset.into()]).await?;
        let time = rows
            .first()
            .map(|row| row.try_get("", "occurred_at"))
            .transpose()?;
        Ok(time.map(Timestamp::from_millis))
    }
}

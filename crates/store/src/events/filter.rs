//! Which events to list.

use pointsman_domain::{
    attempt::AttemptOutcome,
    event_key::EventKey,
    event_pattern::EventPattern,
    id::{EventId, InstallationId},
    timestamp::Timestamp,
};
use serde::Deserialize;

use super::payload::{PayloadMember, PayloadText};
use crate::conditions::{Sql, glob_of, like_of};

/// What became of an event for at least one extension, or for one handler of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventStatus {
    /// A dead letter.
    Dead,
    /// Was a dead letter, and arrived by a replay.
    Replayed,
    /// Was a dead letter, and an admin discarded it.
    Discarded,
    /// Tried, and to be tried again.
    Retrying,
}

/// Which events to list; what is absent does not restrict.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    pub event_key: Option<EventPattern>,
    pub actor: Option<String>,
    /// Accepted at this time or later.
    pub from: Option<Timestamp>,
    /// Accepted before this time.
    pub to: Option<Timestamp>,
    /// Published by the handler of this event.
    pub causation_id: Option<EventId>,
    /// Of the chain that this event began; the event itself is one of them.
    pub correlation_id: Option<EventId>,
    pub text: Option<PayloadText>,
    /// The payload has all of them.
    pub members: Vec<PayloadMember>,
    pub status: Option<EventStatus>,
    /// An attempt ended so.
    pub outcome: Option<AttemptOutcome>,
    /// For which `status` and `outcome` ask; by itself it does not restrict.
    pub installation_id: Option<InstallationId>,
}

impl EventStatus {
    /// The table with the exceptions of this kind, and which of its rows `d` they are.
    pub(super) const fn rows(self) -> (&'static str, &'static str) {
        match self {
            Self::Dead => ("dead_letter_event", " AND d.status = 'DEAD'"),
            Self::Replayed => ("dead_letter_event", " AND d.status = 'REPLAYED'"),
            Self::Discarded => ("dead_letter_event", " AND d.status = 'DISCARDED'"),
            // A straggler is parked while its first attempt is in flight: it was not tried to an end.
            Self::Retrying => ("ext_delivery_retry", " AND (d.attempts > 0 OR d.kind = 'REPLAY')"),
        }
    }
}

impl EventFilter {
    /// Whether every event passes.
    pub(super) fn is_empty(&self) -> bool {
        let Self {
            event_key,
            actor,
            from,
            to,
            causation_id,
            correlation_id,
            text,
            members,
            status,
            outcome,
            installation_id: _,
        } = self;
        event_key.is_none()
            && actor.is_none()
            && from.is_none()
            && to.is_none()
            && causation_id.is_none()
            && correlation_id.is_none()
            && text.is_none()
            && members.is_empty()
            && status.is_none()
            && outcome.is_none()
    }

    /// Whether other tables decide.
    pub(super) fn reads_deliveries(&self) -> bool {
        self.status.is_some() || self.outcome.is_some()
    }

    /// Whether payloads decide.
    pub(super) fn reads_payloads(&self) -> bool {
        self.text.is_some() || !self.members.is_empty()
    }

    /// Whether [`Self::restrict`] lets more through than [`Self::passes_key`] does.
    pub(super) fn has_pattern(&self) -> bool {
        self.event_key.as_ref().is_some_and(|key| !key.is_exact())
    }

    /// Restricts `platform_event e`. What a pattern asks for is only restricted roughly.
    pub(super) fn restrict(&self, sql: &mut Sql) {
        if let Some(key) = &self.event_key {
            restrict_key(key, sql);
        }
        sql.with_some(" AND e.actor = ?", self.actor.as_deref())
            .with_some(" AND e.occurred_at >= ?", self.from.map(Timestamp::millis))
            .with_some(" AND e.occurred_at < ?", self.to.map(Timestamp::millis))
            .with_some(" AND e.causation_id = ?", self.causation_id.map(EventId::uuid));
        if let Some(first) = self.correlation_id {
            sql.with(" AND (e.correlation_id = ?", first.uuid())
                .with(" OR e.causation_id IS NULL AND e.id = ?)", first.uuid());
        }
        if let Some(status) = self.status {
            let (table, condition) = status.rows();
            self.restrict_to(table, condition, sql);
        }
        if let Some(outcome) = self.outcome {
            let condition = format!(" AND d.outcome = '{}'", outcome.as_str());
            self.restrict_to("ext_delivery_attempt", &condition, sql);
        }
    }

    /// To events that the table has such a row of. The limit keeps the planner from reading the table as a whole. Ids
    /// are unique across workspaces; a condition on the workspace would only offer the wrong index.
    fn restrict_to(&self, table: &str, condition: &str, sql: &mut Sql) {
        sql.push(&format!(
            " AND (SELECT 1 FROM {table} d WHERE d.event_id = e.id{condition}"
        ));
        sql.with_some(
            " AND d.installation_id = ?",
            self.installation_id.map(InstallationId::uuid),
        );
        sql.push(" LIMIT 1) IS NOT NULL");
    }

    pub(super) fn passes_key(&self, stored: &EventKey) -> bool {
        self.event_key.as_ref().is_none_or(|key| key.matches(stored))
    }

    pub(super) fn passes_payload(&self, payload: &str) -> bool {
        self.text.as_ref().is_none_or(|text| text.is_in(payload))
            && self.members.iter().all(|member| member.is_in(payload))
    }
}

fn restrict_key(key: &EventPattern, sql: &mut Sql) {
    if key.is_exact() {
        sql.with(" AND e.event_key = ?", key.as_str());
    } else if sql.is_sqlite() {
        sql.with(" AND e.event_key GLOB ?", glob_of(key));
    } else {
        sql.with(" AND e.event_key LIKE ?", like_of(key));
    }
}

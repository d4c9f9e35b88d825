//! The effects whose outcome is unknown, because the connection was lost while they were committed.

use std::collections::HashMap;

use sea_orm::DbErr;
use tokio::time::{error::Elapsed, timeout};

use crate::{
    effects::{EffectOf, StagedEffect},
    storage::Connection,
    writer::bounds::TRANSACTION_TIMEOUT,
};
use pointsman_domain::{id::EventId, seq::Seq};

/// What to look up for each of the effects in doubt, in their order.
#[derive(Clone, Debug)]
pub(crate) struct EffectTraces(Vec<Trace>);

/// What an effect leaves behind where it is durable.
#[derive(Clone, Debug)]
enum Trace {
    /// The effect ends a delivery and leaves a mark.
    Mark(EffectOf),
    /// The effect ends no delivery; only its events show that it is durable. One without events counts as not done.
    Events(Vec<EventId>),
}

impl EffectTraces {
    pub(super) fn of(effects: &[StagedEffect]) -> Self {
        let trace = |effect: &StagedEffect| match &effect.command.settles {
            Some(settles) => Trace::Mark(settles.clone()),
            None => Trace::Events(effect.command.events.iter().map(|event| event.id).collect()),
        };
        Self(effects.iter().map(trace).collect())
    }

    /// Whether each of the effects is durable.
    pub(crate) async fn are_done(&self, connection: &dyn Connection) -> Result<Vec<bool>, DbErr> {
        if self.0.is_empty() {
            return Ok(Vec::new());
        }
        let marks = connection.are_done(self.marks());
        let marks = timeout(TRANSACTION_TIMEOUT, marks).await.map_err(too_long)??;
        let positions = connection.positions_of(self.events());
        let positions = timeout(TRANSACTION_TIMEOUT, positions)
            .await
            .map_err(too_long)??;
        Ok(self.found(marks, &positions))
    }

    fn marks(&self) -> Vec<EffectOf> {
        let mark = |trace: &Trace| match trace {
            Trace::Mark(settles) => Some(settles.clone()),
            Trace::Events(_) => None,
        };
        self.0.iter().filter_map(mark).collect()
    }

    fn events(&self) -> Vec<EventId> {
        let events = |trace: &Trace| match trace {
            Trace::Mark(_) => Vec::new(),
            Trace::Events(ids) => ids.clone(),
        };
        self.0.iter().flat_map(events).collect()
    }

    fn found(&self, marks: Vec<bool>, positions: &HashMap<EventId, Seq>) -> Vec<bool> {
        let mut marks = marks.into_iter();
        let mut is_found = |trace: &Trace| match trace {
            Trace::Mark(_) => marks.next().unwrap_or(false),
            Trace::Events(ids) => !ids.is_empty() && ids.iter().all(|id| positions.contains_key(id)),
        };
        self.0.iter().map(&mut is_found).collect()
    }
}

fn too_long(error: Elapsed) -> DbErr {
    DbErr::Custom(error.to_string())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use pointsman_domain::{
        attempt::DeliveryKind, handler_name::HandlerName, id::InstallationId, lane::DeliveryKey,
    };

    fn event(number: u128) -> EventId {
        EventId::new(Uuid::from_u128(number))
    }

    fn mark(number: u128) -> Trace {
        Trace::Mark(EffectOf {
            installation_id: InstallationId::new(Uuid::from_u128(1)),
            generation: 1,
            key: DeliveryKey {
                kind: DeliveryKind::Live,
                event_id: event(number),
                handler: HandlerName::WHOLE,
            },
            seq: Seq::new(1),
            dead_letter_id: None,
        })
    }

    #[test]
    fn each_is_found_by_its_mark_or_by_all_of_its_events() {
        let traces = EffectTraces(vec![
            Trace::Events(vec![event(1), event(2)]),
            mark(3),
            Trace::Events(vec![event(1), event(4)]),
            mark(5),
            Trace::Events(Vec::new()),
        ]);
        assert_eq!(traces.marks().len(), 2);
        assert_eq!(traces.events(), [event(1), event(2), event(1), event(4)]);
        let positions = [1, 2].map(|number| (event(number), Seq::new(1))).into();
        let found = traces.found(vec![false, true], &positions);
        assert_eq!(found, [true, false, false, true, false]);
    }
}

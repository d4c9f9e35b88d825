//! Effects of which nobody knows whether they are durable.

use sea_orm::DbErr;
use tokio::time::timeout;

use super::bounds::TRANSACTION_TIMEOUT;
use crate::{
    effects::{EffectOf, StagedEffect},
    storage::Connection,
};

/// Asks for the marks of the effects in doubt, and for the events of those that have none.
pub(super) async fn are_done(connection: &dyn Connection, doubtful: &Doubtful) -> Result<Vec<bool>, DbErr> {
    let within = |error: tokio::time::error::Elapsed| DbErr::Custom(error.to_string());
    let marks = connection.are_done(doubtful.marks.clone());
    let mut marks = timeout(TRANSACTION_TIMEOUT, marks)
        .await
        .map_err(within)??
        .into_iter();
    let places = connection.places_of(doubtful.events.iter().flatten().copied().collect());
    let places = timeout(TRANSACTION_TIMEOUT, places).await.map_err(within)??;
    let mut events = doubtful.events.iter();
    let done = doubtful.kinds.iter().map(|has_mark| {
        if *has_mark {
            marks.next().unwrap_or(false)
        } else {
            events
                .next()
                .is_some_and(|ids| !ids.is_empty() && ids.iter().all(|id| places.contains_key(id)))
        }
    });
    Ok(done.collect())
}

/// By what the effects in doubt are known.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubtful {
    /// Whether there is a mark to look for, of each.
    kinds: Vec<bool>,
    marks: Vec<EffectOf>,
    /// The events of those without.
    events: Vec<Vec<pointsman_domain::id::EventId>>,
}

impl Doubtful {
    pub(super) fn of(effects: &[StagedEffect]) -> Self {
        let mut doubtful = Self::default();
        for effect in effects {
            doubtful.kinds.push(effect.command.settles.is_some());
            match &effect.command.settles {
                Some(settles) => doubtful.marks.push(settles.clone()),
                None => doubtful
                    .events
                    .push(effect.command.events.iter().map(|event| event.id).collect()),
            }
        }
        doubtful
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }
}

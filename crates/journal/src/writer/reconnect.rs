//! One attempt at a new connection, and what it finds of the work whose outcome is unknown.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::{error::Elapsed, sleep, timeout};

use super::{bounds::TRANSACTION_TIMEOUT, effects::EffectTraces};
use crate::storage::{ConnectError, Connection};
use pointsman_clock::Clock;
use pointsman_domain::{
    id::{EventId, WorkspaceId},
    seq::Seq,
};

/// By what the work whose outcome is unknown is found again.
pub(super) struct Traces {
    pub(super) events: Vec<EventId>,
    pub(super) effects: EffectTraces,
}

/// A connection, and what was found of the work whose outcome was unknown.
pub(super) struct Restored {
    pub(super) connection: Arc<dyn Connection>,
    /// The positions of those of the events that are in the log.
    pub(super) positions: HashMap<EventId, Seq>,
    pub(super) effects_done: Vec<bool>,
    /// The workspaces that are deleted and of which rows are left.
    pub(super) deleted: Vec<WorkspaceId>,
}

/// One attempt after the pause: the claim first, then the work whose outcome is unknown, then a write as proof that the
/// storage takes writes. An error is the cause, for the log.
pub(super) async fn reconnect(
    pause: Duration,
    connect: impl Future<Output = Result<Arc<dyn Connection>, ConnectError>>,
    traces: Traces,
    clock: Clock,
) -> Result<Restored, String> {
    sleep(pause).await;
    let connection = timeout(TRANSACTION_TIMEOUT, connect)
        .await
        .map_err(silence)?
        .map_err(|error| error.to_string())?;
    // Settlements alone are not looked up: they can be written twice without harm.
    let positions = if traces.events.is_empty() {
        HashMap::new()
    } else {
        timeout(TRANSACTION_TIMEOUT, connection.positions_of(traces.events))
            .await
            .map_err(silence)?
            .map_err(|error| error.to_string())?
    };
    let effects_done = traces.effects.are_done(&*connection).await;
    let effects_done = effects_done.map_err(|error| error.to_string())?;
    let deleted = timeout(TRANSACTION_TIMEOUT, connection.deleted_workspaces())
        .await
        .map_err(silence)?
        .map_err(|error| error.to_string())?;
    timeout(TRANSACTION_TIMEOUT, connection.probe(clock.now()))
        .await
        .map_err(silence)?
        .map_err(|error| error.to_string())?;
    Ok(Restored {
        connection,
        positions,
        effects_done,
        deleted,
    })
}

fn silence(_: Elapsed) -> String {
    "it does not answer".to_owned()
}

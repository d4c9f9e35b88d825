//! The steps of a slow effect: its work runs beside the writer, and is committed between two batches.

use tokio::time::timeout;

use super::{
    bounds::TRANSACTION_TIMEOUT, connection::WriterConnection, effects::Effects, lanes::Lanes,
    workspace_logs::WorkspaceLogs,
};
use crate::{
    effects::{EffectEnd, StagedEffect},
    storage::{FinishedEffect, PreparedEffect},
};

/// Starts the next slow effect, unless one is running.
pub(super) fn start(effects: &mut Effects, connection: &mut WriterConnection, lanes: &Lanes) {
    let Some(session) = connection.free_slow_session() else {
        return;
    };
    if let Some((effect, work)) = effects.next_slow(lanes) {
        connection.start_slow(session, effect, work);
    }
}

/// Commits and answers the one that is running, if its work is done.
pub(super) async fn finish(
    effects: &mut Effects,
    connection: &mut WriterConnection,
    logs: &mut WorkspaceLogs,
    lanes: &mut Lanes,
) {
    let Some((effect, worked)) = connection.take_worked() else {
        return;
    };
    match worked {
        Err(end) => effects.ended_alone(effect, end, logs, lanes),
        Ok(prepared) if lanes.is_fenced(&effect) => {
            if timeout(TRANSACTION_TIMEOUT, prepared.undo()).await.is_err() {
                log::warn!("a slow effect of a former lane cannot be rolled back in time");
            }
            effects.ended_alone(effect, EffectEnd::Fenced, logs, lanes);
        }
        Ok(prepared) => commit(effect, prepared, effects, connection, logs, lanes).await,
    }
}

async fn commit(
    mut effect: StagedEffect,
    prepared: Box<dyn PreparedEffect>,
    effects: &mut Effects,
    connection: &mut WriterConnection,
    logs: &mut WorkspaceLogs,
    lanes: &mut Lanes,
) {
    let Some(current) = connection.get() else {
        return effects.ended_alone(effect, EffectEnd::Unavailable, logs, lanes);
    };
    // The answer of this connection proves that this process still holds the claim. A process that takes the claim
    // from now on waits for the end of the slow effect's connection.
    let head = timeout(TRANSACTION_TIMEOUT, current.head(effect.command.workspace_id)).await;
    let Ok(Ok(head)) = head else {
        effects.ended_alone(effect, EffectEnd::Unavailable, logs, lanes);
        return connection.lose("reading the head of a log failed");
    };
    connection.answered();
    effect.marks_due = logs.has_to_mark(&effect);
    let finish = prepared.finish(&mut effect, head, connection.clock());
    match timeout(TRANSACTION_TIMEOUT, finish).await {
        Ok(FinishedEffect::Ended(end)) => effects.ended_alone(effect, end, logs, lanes),
        Ok(FinishedEffect::InDoubt) | Err(_) => {
            let event_ids = effect.command.events.iter().map(|event| event.id).collect();
            effect.end = Some(EffectEnd::Committed { event_ids });
            effects.put_in_doubt(effect);
            connection.lose("the outcome of a slow effect is unknown");
        }
    }
}

/// The journal stops: slow effects that wait are refused, and the one that is running is ended.
pub(super) async fn stop(
    effects: &mut Effects,
    connection: &mut WriterConnection,
    logs: &mut WorkspaceLogs,
    lanes: &mut Lanes,
) {
    effects.refuse_slow();
    connection.end_slow_work().await;
    finish(effects, connection, logs, lanes).await;
}

//! Adapts installations to the in-process extensions of this binary at a start. Installations without code in this
//! binary are held, held ones whose code is back go on, and new handlers are subscribed from now on.

use std::collections::BTreeSet;

use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect, Select,
    sea_query::{Alias, Condition, Expr, ExprTrait, Func, Query},
};

use entity::{ext_event_subscription, ext_installation};

use super::{apply::apply, reads, sql::rows_of};
use pointsman_clock::Clock;
use pointsman_domain::{event_pattern::EventPattern, id::SubscriptionId, installation::Installation};
use pointsman_journal::{
    ChangeError, Journal,
    admin::installation::{ChangePoint, InstallationChanges, subscribe_at_start},
    changes::Changes,
};

/// Installations changed in one transaction.
const PER_TRANSACTION: u64 = 500;

/// An in-process extension of this binary: its key, and the patterns of its handlers.
#[derive(Clone, Debug)]
pub struct InProcessExtension {
    pub key: String,
    pub patterns: BTreeSet<EventPattern>,
}

/// Adapts the installations to the extensions of this binary. Call it before any actor is started: it sends no notice.
///
/// # Errors
/// When the database refuses the changes or does not answer.
pub async fn register_extensions(
    journal: &Journal,
    extensions: Vec<InProcessExtension>,
    clock: Clock,
) -> Result<(), ChangeError> {
    let keys: Vec<String> = extensions.iter().map(|extension| extension.key.clone()).collect();
    let now = clock.now().millis();
    journal
        .write(move |transaction| {
            Box::pin(async move {
                let gone = set_unavailable(transaction, &keys, now).await?;
                mark_those_that_go_on(transaction, &keys).await?;
                let back = set_available(transaction, &keys).await?;
                if gone > 0 {
                    log::warn!(
                        installations = gone;
                        "the code of in-process extensions is not in this server: their events wait"
                    );
                }
                if back > 0 {
                    log::info!(
                        installations = back;
                        "the code of in-process extensions is back: their deliveries go on"
                    );
                }
                Ok(((), Vec::new()))
            })
        })
        .await?;
    for extension in extensions {
        for pattern in extension.patterns {
            subscribe_all(journal, &extension.key, &pattern, clock).await?;
        }
    }
    Ok(())
}

/// Subscribes each installation of the extension that has never been subscribed to the pattern.
async fn subscribe_all(
    journal: &Journal,
    key: &str,
    pattern: &EventPattern,
    clock: Clock,
) -> Result<(), ChangeError> {
    loop {
        let (key, pattern) = (key.to_owned(), pattern.clone());
        let subscribed = journal
            .write(move |transaction| {
                Box::pin(async move {
                    let count = subscribe_some(transaction, &key, &pattern, clock).await?;
                    Ok((count, Vec::new()))
                })
            })
            .await?;
        if subscribed < PER_TRANSACTION {
            return Ok(());
        }
    }
}

fn in_process() -> Condition {
    // In the same words as the partial index, so that it is used.
    Condition::all()
        .add(Expr::cust("delivery_type = 'IN_PROCESS'"))
        .add(ext_installation::Column::UninstalledAt.is_null())
}

async fn set_unavailable(
    transaction: &DatabaseTransaction,
    keys: &[String],
    now: i64,
) -> Result<u64, ChangeError> {
    let since = Func::coalesce([Expr::col(ext_installation::Column::HeldSince), Expr::value(now)]);
    let updated = ext_installation::Entity::update_many()
        .col_expr(ext_installation::Column::Available, Expr::value(false))
        .col_expr(ext_installation::Column::HeldSince, since.into())
        .col_expr(ext_installation::Column::Revision, next_revision())
        .filter(in_process())
        .filter(ext_installation::Column::Available.eq(true))
        .filter(ext_installation::Column::Key.is_not_in(keys.iter().map(String::as_str)))
        .exec(transaction)
        .await?;
    Ok(updated.rows_affected)
}

/// Marks the workspaces as due whose installations go on: what waits there may have rested until the end of the hold.
async fn mark_those_that_go_on(
    transaction: &DatabaseTransaction,
    keys: &[String],
) -> Result<(), ChangeError> {
    let head = "INSERT INTO workspace_due (workspace_id, due_at) SELECT DISTINCT i.workspace_id, 0 \
                FROM ext_installation i JOIN (VALUES";
    // SQLite takes the ON of an upsert after a SELECT for that of a join, unless there is a WHERE.
    let tail = ") AS v ON i.key = v.column1 WHERE delivery_type = 'IN_PROCESS' AND i.uninstalled_at IS NULL \
                AND NOT i.available ON CONFLICT (workspace_id) DO UPDATE SET due_at = excluded.due_at";
    let backend = transaction.get_database_backend();
    for statement in rows_of(keys, backend, head, tail, |key| vec![key.as_str().into()]) {
        transaction.execute_raw(statement).await?;
    }
    Ok(())
}

async fn set_available(transaction: &DatabaseTransaction, keys: &[String]) -> Result<u64, ChangeError> {
    let goes_on = ext_installation::Column::Enabled
        .eq(true)
        .and(ext_installation::Column::Paused.eq(false));
    let since =
        Expr::case(goes_on, Expr::cust("NULL")).finally(Expr::col(ext_installation::Column::HeldSince));
    let updated = ext_installation::Entity::update_many()
        .col_expr(ext_installation::Column::Available, Expr::value(true))
        .col_expr(ext_installation::Column::HeldSince, since.into())
        .col_expr(ext_installation::Column::Revision, next_revision())
        .filter(in_process())
        .filter(ext_installation::Column::Available.eq(false))
        .filter(ext_installation::Column::Key.is_in(keys.iter().map(String::as_str)))
        .exec(transaction)
        .await?;
    Ok(updated.rows_affected)
}

fn next_revision() -> Expr {
    Expr::col(ext_installation::Column::Revision).add(1)
}

/// Installations of the extension without any span of the pattern. A span that an admin has closed counts as one.
pub(crate) fn unsubscribed(key: &str, pattern: &EventPattern) -> Select<ext_installation::Entity> {
    let span = Query::select()
        .expr(Expr::value(1))
        .from(Alias::new("ext_event_subscription"))
        .and_where(
            Expr::col((
                ext_event_subscription::Entity,
                ext_event_subscription::Column::InstallationId,
            ))
            .equals((ext_installation::Entity, ext_installation::Column::Id)),
        )
        // Both: without this column the index is not used for the pattern.
        .and_where(ext_event_subscription::Column::IsCurrent.is_in([true, false]))
        .and_where(ext_event_subscription::Column::EventKey.eq(pattern.as_str()))
        .to_owned();
    ext_installation::Entity::find()
        .filter(in_process())
        .filter(ext_installation::Column::Key.eq(key))
        .filter(Expr::exists(span).not())
        .limit(PER_TRANSACTION)
}

async fn subscribe_some(
    transaction: &DatabaseTransaction,
    key: &str,
    pattern: &EventPattern,
    clock: Clock,
) -> Result<u64, ChangeError> {
    let rows = unsubscribed(key, pattern).all(transaction).await?;
    let installations: Vec<Installation> = rows.into_iter().map(Installation::from).collect();
    let workspaces = installations.iter().map(|one| one.workspace_id).collect();
    let heads = reads::heads(transaction, workspaces).await?;
    let now = clock.now();
    let subscribed: Vec<InstallationChanges> = installations
        .into_iter()
        .map(|installation| {
            let head = heads.get(&installation.workspace_id).copied().unwrap_or_default();
            let subscription = (SubscriptionId::new(clock.new_uuid()), pattern.clone());
            subscribe_at_start(
                installation,
                subscription,
                ChangePoint { head, now },
                clock.new_uuid(),
            )
        })
        .collect();
    let mut changes = Changes::default();
    for one in &subscribed {
        changes.opened.extend(one.changes().opened);
    }
    apply(transaction, &changes).await?;
    Ok(subscribed.len() as u64)
}

//! What became of an event for each extension of its workspace.
//!
//! Nothing is written per event and subscriber, so this is computed: from the spans (was it due?), the
//! cursor (is everything up to here settled?) and the exceptions to the cursor, which are retry rows and
//! dead letters. An extension of several handlers has a delivery for each, and the worst of them is what became
//! of the event.

use std::collections::{BTreeMap, HashMap};

use entity::{ext_delivery_cursor, ext_delivery_retry};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use serde::{Deserialize, Serialize};

use super::{
    attempts::{self, Attempt},
    dead_letters::{self, DeadLetter, DeadLetterStatus},
    installations::{self},
    subscriptions,
};
use pointsman_domain::{
    attempt::AttemptOutcome,
    event::PlatformEvent,
    id::{InstallationId, WorkspaceId},
    installation::{DeliveryType, Installation},
    seq::Seq,
    span::{NotDue, Span, is_due, why_not_due},
    timestamp::Timestamp,
};

/// What became of one event for one installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeliveryStatus {
    Delivered,
    /// Due, and not tried yet.
    Pending,
    /// Tried, and to be tried again: after a failure, or because an admin replays the dead letter.
    Retrying,
    /// A dead letter.
    Dead,
    /// Was a dead letter, and arrived by a replay.
    Replayed,
    /// Was a dead letter, and an admin discarded it.
    Discarded,
    /// Not due: no subscription matched.
    NotSubscribed,
    /// Not due: the extension was disabled.
    Disabled,
    /// Not due: the extension was not installed.
    NotInstalled,
}

/// One event's delivery to one installation.
#[derive(Clone, Debug)]
pub struct EventDelivery {
    pub installation: Installation,
    pub status: DeliveryStatus,
    /// The time of the next attempt, while there is to be one.
    pub next_attempt_at: Option<Timestamp>,
    /// The dead letter; of several, that of the worst delivery.
    pub letter: Option<DeadLetter>,
    /// Handlers of an in-process extension whose delivery is parked, or is or was a dead letter, by name.
    pub handlers: Vec<HandlerDelivery>,
    /// Oldest first.
    pub attempts: Vec<Attempt>,
}

/// What became of an event for a handler whose delivery is parked, or is or was a dead letter.
#[derive(Clone, Debug)]
pub struct HandlerDelivery {
    pub handler: String,
    pub status: DeliveryStatus,
    pub next_attempt_at: Option<Timestamp>,
    pub letter: Option<DeadLetter>,
}

/// What is known about one event's delivery to one installation.
#[derive(Debug, Default)]
struct Evidence {
    settled: Seq,
    /// Exceptions to the cursor, by handler.
    exceptions: BTreeMap<String, Exception>,
    attempts: Vec<Attempt>,
}

/// The exceptions of one handler.
#[derive(Debug, Default)]
struct Exception {
    retry: Option<Parked>,
    letter: Option<DeadLetter>,
}

#[derive(Clone, Copy, Debug)]
struct Parked {
    attempts: i32,
    next_attempt_at: Timestamp,
}

/// What became of the event for every extension that is installed in its workspace, and for every
/// uninstalled one that it was due for, oldest installation first.
///
/// # Errors
/// When the database fails.
pub async fn of_event(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    event: &PlatformEvent,
) -> Result<Vec<EventDelivery>, DbErr> {
    // The order matters, because the lanes go on meanwhile: the cursor moves over an event in the same
    // transaction that writes its retry row or its letter, and a retry row goes in the same transaction
    // that writes the letter. Read in this order, an exception to the cursor is never missed.
    let cursors = cursors(conn, workspace).await?;
    let mut exceptions = exceptions(conn, workspace, event).await?;
    let spans = subscriptions::deciding_spans(conn, workspace, event.seq).await?;
    let mut attempts: BTreeMap<InstallationId, Vec<Attempt>> = BTreeMap::new();
    for attempt in attempts::of_event(conn, workspace, event.id, None).await? {
        attempts.entry(attempt.installation_id).or_default().push(attempt);
    }

    let deliveries = installations::all_ever(conn, workspace)
        .await?
        .into_iter()
        .map(|installation| {
            let id = installation.id;
            let evidence = Evidence {
                settled: cursors.get(&id).copied().unwrap_or_default(),
                exceptions: exceptions.remove(&id).unwrap_or_default(),
                attempts: attempts.remove(&id).unwrap_or_default(),
            };
            let spans = spans.get(&id).map_or(&[][..], Vec::as_slice);
            event_delivery(installation, spans, event, evidence)
        });
    Ok(deliveries.filter(concerns_the_installation).collect())
}

fn concerns_the_installation(event_delivery: &EventDelivery) -> bool {
    use DeliveryStatus::{Disabled, NotInstalled, NotSubscribed};
    event_delivery.installation.uninstalled_seq.is_none()
        || !matches!(event_delivery.status, NotInstalled | Disabled | NotSubscribed)
}

fn event_delivery(
    installation: Installation,
    spans: &[Span],
    event: &PlatformEvent,
    evidence: Evidence,
) -> EventDelivery {
    let mut handlers: Vec<HandlerDelivery> = evidence
        .exceptions
        .into_iter()
        .filter_map(|(handler, exception)| exception.event_delivery(handler))
        .collect();
    let worst = handlers.iter().max_by_key(|handler| severity(handler.status));
    let (status, letter) = match worst {
        Some(worst) => (worst.status, worst.letter.clone()),
        None => (
            status(&installation, spans, event, evidence.settled, &evidence.attempts),
            None,
        ),
    };
    let next_attempt_at = handlers
        .iter()
        .filter_map(|handler| handler.next_attempt_at)
        .min();
    handlers.retain(|handler| !handler.handler.is_empty());
    EventDelivery {
        installation,
        status,
        next_attempt_at,
        letter,
        handlers,
        attempts: evidence.attempts,
    }
}

/// The status that an admin has to see first is the greatest.
fn severity(status: DeliveryStatus) -> u8 {
    match status {
        DeliveryStatus::Dead => 5,
        DeliveryStatus::Retrying => 4,
        DeliveryStatus::Pending => 3,
        DeliveryStatus::Discarded => 2,
        DeliveryStatus::Replayed => 1,
        _ => 0,
    }
}

impl Exception {
    fn event_delivery(self, handler: String) -> Option<HandlerDelivery> {
        let status = match (&self.letter, self.retry) {
            (Some(letter), _) => match letter.status {
                DeadLetterStatus::Dead => DeliveryStatus::Dead,
                DeadLetterStatus::Replaying => DeliveryStatus::Retrying,
                DeadLetterStatus::Replayed => DeliveryStatus::Replayed,
                DeadLetterStatus::Discarded => DeliveryStatus::Discarded,
            },
            (None, Some(retry)) if retry.attempts > 0 => DeliveryStatus::Retrying,
            // A straggler is parked while its first attempt is in flight: no attempt has ended yet.
            (None, Some(_)) => DeliveryStatus::Pending,
            (None, None) => return None,
        };
        Some(HandlerDelivery {
            handler,
            status,
            next_attempt_at: self.retry.map(|retry| retry.next_attempt_at),
            letter: self.letter,
        })
    }
}

/// The status of an event without exceptions to the cursor.
fn status(
    installation: &Installation,
    spans: &[Span],
    event: &PlatformEvent,
    settled: Seq,
    attempts: &[Attempt],
) -> DeliveryStatus {
    let arrived = attempts
        .iter()
        .any(|attempt| attempt.outcome == AttemptOutcome::Delivered);
    let due = is_due(spans, event.seq, &event.event_key);
    // With several handlers, the success of one says nothing about the others; only the cursor does.
    let counts = !due || installation.delivery_type == DeliveryType::ExternalService;
    if arrived && counts || due && settled >= event.seq {
        return DeliveryStatus::Delivered;
    }
    if due {
        return DeliveryStatus::Pending;
    }
    let (installed, uninstalled) = (installation.installed_seq, installation.uninstalled_seq);
    match why_not_due(installed, uninstalled, spans, event.seq, &event.event_key) {
        NotDue::NotInstalled => DeliveryStatus::NotInstalled,
        NotDue::Disabled => DeliveryStatus::Disabled,
        NotDue::NotSubscribed => DeliveryStatus::NotSubscribed,
    }
}

async fn cursors(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
) -> Result<HashMap<InstallationId, Seq>, DbErr> {
    let rows = ext_delivery_cursor::Entity::find()
        .filter(ext_delivery_cursor::Column::WorkspaceId.eq(workspace.uuid()))
        .all(conn)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            (
                InstallationId::new(row.installation_id),
                Seq::new(row.settled_seq),
            )
        })
        .collect())
}

async fn exceptions(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    event: &PlatformEvent,
) -> Result<HashMap<InstallationId, BTreeMap<String, Exception>>, DbErr> {
    let mut found: HashMap<_, BTreeMap<String, Exception>> = HashMap::new();
    // Retries before letters: see `of_event`.
    for row in retries(conn, workspace, event).await? {
        let exceptions = found.entry(InstallationId::new(row.installation_id)).or_default();
        exceptions.entry(row.handler).or_default().retry = Some(Parked {
            attempts: row.attempts,
            next_attempt_at: Timestamp::from_millis(row.next_attempt_at),
        });
    }
    for letter in dead_letters::of_event(conn, workspace, event.id).await? {
        let exceptions = found.entry(letter.installation_id).or_default();
        let handler = letter.handler.clone();
        exceptions.entry(handler).or_default().letter = Some(letter);
    }
    Ok(found)
}

async fn retries(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    event: &PlatformEvent,
) -> Result<Vec<ext_delivery_retry::Model>, DbErr> {
    ext_delivery_retry::Entity::find()
        .filter(ext_delivery_retry::Column::EventId.eq(event.id.uuid()))
        .filter(ext_delivery_retry::Column::WorkspaceId.eq(workspace.uuid()))
        .all(conn)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;
    use pointsman_domain::id::EventId;

    async fn status_of(db: &Fixture, workspace: WorkspaceId, event: EventId) -> Vec<DeliveryStatus> {
        let event = crate::events::find(&db.conn, workspace, event)
            .await
            .unwrap()
            .unwrap();
        let deliveries = of_event(&db.conn, workspace, &event).await.unwrap();
        deliveries
            .iter()
            .map(|event_delivery| event_delivery.status)
            .collect()
    }

    #[tokio::test]
    async fn an_event_behind_the_cursor_is_delivered_and_one_before_it_is_pending() {
        let db = Fixture::new().await;
        let ours = db.workspace();
        let crm = db.install(ours, "crm").await;
        db.span(ours, crm, "a.*", 0, None).await;
        db.cursor(ours, crm, 1).await;
        let first = db.event(ours, 1, "a.b").await;
        let second = db.event(ours, 2, "a.b").await;

        assert_eq!(status_of(&db, ours, first).await, [DeliveryStatus::Delivered]);
        assert_eq!(status_of(&db, ours, second).await, [DeliveryStatus::Pending]);
    }

    #[tokio::test]
    async fn a_parked_delivery_is_retrying_once_it_was_tried_and_arrives_with_its_attempt() {
        let db = Fixture::new().await;
        let ours = db.workspace();
        let crm = db.install(ours, "crm").await;
        db.span(ours, crm, "a.*", 0, None).await;
        db.cursor(ours, crm, 3).await;
        let slow = db.event(ours, 1, "a.b").await;
        db.retry(ours, crm, slow, 1, 0).await;
        let failed = db.event(ours, 2, "a.b").await;
        db.retry(ours, crm, failed, 2, 1).await;
        let ahead = db.event(ours, 4, "a.b").await;
        db.attempt(ours, crm, ahead, 1, "DELIVERED").await;

        assert_eq!(status_of(&db, ours, slow).await, [DeliveryStatus::Pending]);
        assert_eq!(status_of(&db, ours, failed).await, [DeliveryStatus::Retrying]);
        assert_eq!(status_of(&db, ours, ahead).await, [DeliveryStatus::Delivered]);
    }

    #[tokio::test]
    async fn a_dead_letter_says_what_became_of_its_event() {
        let db = Fixture::new().await;
        let ours = db.workspace();
        let crm = db.install(ours, "crm").await;
        db.span(ours, crm, "**", 0, None).await;
        db.cursor(ours, crm, 9).await;
        let cases = [
            ("DEAD", DeliveryStatus::Dead),
            ("REPLAYING", DeliveryStatus::Retrying),
            ("REPLAYED", DeliveryStatus::Replayed),
            ("DISCARDED", DeliveryStatus::Discarded),
        ];
        for (seq, (stored, expected)) in (1..).zip(cases) {
            let event = db.event(ours, seq, "a.b").await;
            db.letter_of(ours, crm, event, seq, stored, 1000).await;
            assert_eq!(status_of(&db, ours, event).await, [expected]);
        }
    }

    #[tokio::test]
    async fn of_several_handlers_the_worst_tells_what_became_of_an_event() {
        let db = Fixture::new().await;
        let ours = db.workspace();
        let crm = db.install(ours, "crm").await;
        db.make_in_process(crm).await;
        db.span(ours, crm, "**", 0, None).await;
        let event = db.event(ours, 1, "a.b").await;
        db.attempt(ours, crm, event, 1, "DELIVERED").await;
        assert_eq!(status_of(&db, ours, event).await, [DeliveryStatus::Pending]);
        db.cursor(ours, crm, 1).await;
        assert_eq!(status_of(&db, ours, event).await, [DeliveryStatus::Delivered]);
        db.retry_by("b", ours, crm, event, 1, 1).await;
        assert_eq!(status_of(&db, ours, event).await, [DeliveryStatus::Retrying]);
        db.letter_by("a", ours, crm, event, 1, "DEAD", 1000).await;
        assert_eq!(status_of(&db, ours, event).await, [DeliveryStatus::Dead]);
        let found = crate::events::find(&db.conn, ours, event).await.unwrap().unwrap();
        let event_delivery = of_event(&db.conn, ours, &found).await.unwrap().remove(0);
        let handlers: Vec<_> = event_delivery
            .handlers
            .iter()
            .map(|of| (of.handler.as_str(), of.status))
            .collect();
        assert_eq!(
            handlers,
            [("a", DeliveryStatus::Dead), ("b", DeliveryStatus::Retrying)]
        );
        assert_eq!(
            event_delivery.letter.map(|letter| letter.handler),
            Some("a".to_owned())
        );
        assert!(event_delivery.next_attempt_at.is_some());
    }

    #[tokio::test]
    async fn an_event_that_was_not_due_says_why() {
        let db = Fixture::new().await;
        let ours = db.workspace();
        let event = db.event(ours, 5, "a.b").await;
        let unsubscribed = db.install(ours, "unsubscribed").await;
        db.cursor(ours, unsubscribed, 9).await;
        let disabled = db.install(ours, "disabled").await;
        db.span(ours, disabled, "a.*", 0, Some((4, "DISABLED"))).await;
        db.install_at(ours, "late", 5).await;
        let gone_before = db.install(ours, "gone-before").await;
        db.uninstall(gone_before, 4).await;
        let gone_after = db.install(ours, "gone-after").await;
        db.span(ours, gone_after, "a.*", 0, Some((6, "UNINSTALLED")))
            .await;
        db.uninstall(gone_after, 6).await;

        assert_eq!(
            status_of(&db, ours, event).await,
            [
                DeliveryStatus::NotSubscribed,
                DeliveryStatus::Disabled,
                DeliveryStatus::NotInstalled,
                // The one that was gone before does not appear; the one that went later owes an answer.
                DeliveryStatus::Pending,
            ]
        );
    }
}

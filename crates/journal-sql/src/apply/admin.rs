//! Statements for the changes of admins: installations with their spans, and the status of dead letters.

use std::collections::BTreeMap;

use entity::ext_installation;
use pointsman_domain::{
    id::{DeadLetterId, InstallationId},
    installation::Installation,
    seq::Seq,
    span::SpanCloseReason,
};
use pointsman_journal::changes::{Changes, ClosedSpan, LetterStatus, OpenedSpan};
use sea_orm::{DbBackend, Statement, Value};
use uuid::Uuid;

use crate::sql::{numbered, rows_of, rows_with_ids};

/// The statements, in the order in which they are to be executed.
pub(super) fn statements(changes: &Changes<'_>, backend: DbBackend) -> Vec<Statement> {
    let mut statements = Vec::new();
    statements.extend(installed(&changes.installed, backend));
    statements.extend(changed(&changes.changed, backend));
    statements.extend(closed(&changes.closed, backend));
    statements.extend(closed_spans(&changes.closed_spans, backend));
    statements.extend(reopened_spans(&changes.reopened_spans, backend));
    statements.extend(succeeded_spans(&changes.succeeded_spans, backend));
    statements.extend(opened_spans(&changes.opened, backend));
    statements.extend(letters(&changes.letters, backend));
    statements
}

fn installed(rows: &[&Installation], backend: DbBackend) -> Vec<Statement> {
    let head = "INSERT INTO ext_installation (id, name, service_base_url, signing_secret, previous_secret, \
                previous_secret_until, headers, enabled, paused, concurrency, ordered, rate_limit, available, \
                held_since, revision, uninstalled_at, uninstalled_seq, closed, workspace_id, key, delivery_type, \
                installed_at, installed_seq) VALUES";
    rows_of(rows, backend, head, "", |installation| {
        let row = ext_installation::Model::from((*installation).clone());
        let fixed = [
            row.workspace_id.into(),
            row.key.clone().into(),
            row.delivery_type.clone().into(),
            row.installed_at.into(),
            row.installed_seq.into(),
        ];
        [changeable(row), fixed.to_vec()].concat()
    })
}

fn changed(rows: &[&Installation], backend: DbBackend) -> Vec<Statement> {
    let head = "UPDATE ext_installation SET name = v.column2, service_base_url = v.column3, \
                signing_secret = v.column4, previous_secret = v.column5, previous_secret_until = v.column6, \
                headers = v.column7, enabled = v.column8, paused = v.column9, concurrency = v.column10, \
                ordered = v.column11, rate_limit = v.column12, available = v.column13, held_since = v.column14, \
                revision = v.column15, uninstalled_at = v.column16, uninstalled_seq = v.column17, \
                closed = v.column18 FROM (VALUES";
    let tail = ") AS v WHERE ext_installation.id = v.column1";
    rows_of(rows, backend, head, tail, |installation| {
        changeable(ext_installation::Model::from((*installation).clone()))
    })
}

/// The id, and the columns that may change.
fn changeable(row: ext_installation::Model) -> Vec<Value> {
    vec![
        row.id.into(),
        row.name.into(),
        row.service_base_url.into(),
        row.signing_secret.into(),
        row.previous_secret.into(),
        row.previous_secret_until.into(),
        row.headers.into(),
        row.enabled.into(),
        row.paused.into(),
        row.concurrency.into(),
        row.ordered.into(),
        row.rate_limit.into(),
        row.available.into(),
        row.held_since.into(),
        row.revision.into(),
        row.uninstalled_at.into(),
        row.uninstalled_seq.into(),
        row.closed.into(),
    ]
}

fn closed(rows: &[InstallationId], backend: DbBackend) -> Vec<Statement> {
    let head = "UPDATE ext_installation SET closed = TRUE WHERE id IN (VALUES";
    rows_of(rows, backend, head, ")", |id| vec![id.uuid().into()])
}

fn opened_spans(rows: &[OpenedSpan<'_>], backend: DbBackend) -> Vec<Statement> {
    let head = "INSERT INTO ext_event_subscription (id, subscription_id, installation_id, workspace_id, event_key, \
                from_seq, until_seq, closed_by, is_current, created_at) VALUES";
    rows_of(rows, backend, head, "", |opened| {
        let span = &opened.span.span;
        vec![
            opened.span.id.into(),
            span.subscription_id.uuid().into(),
            opened.installation_id.uuid().into(),
            opened.workspace_id.uuid().into(),
            span.pattern.as_str().into(),
            span.from_seq.get().into(),
            span.until_seq.map(Seq::get).into(),
            span.closed_by.map(SpanCloseReason::as_str).into(),
            opened.span.is_current.into(),
            opened.span.subscribed_at.millis().into(),
        ]
    })
}

/// Spans that end at the same place for the same reason, as those of one change do, are found by their ids. Joined with
/// VALUES they were not: with statistics of a long history SQLite walks through all spans.
fn closed_spans(rows: &[ClosedSpan], backend: DbBackend) -> Vec<Statement> {
    let mut alike: BTreeMap<(Seq, &str, bool), Vec<Uuid>> = BTreeMap::new();
    for closed in rows {
        let end = (closed.until, closed.reason.as_str(), closed.stays_current());
        alike.entry(end).or_default().push(closed.id);
    }
    let [until, reason, stays_current] = numbered(backend);
    let head = format!(
        "UPDATE ext_event_subscription SET until_seq = COALESCE(until_seq, {until}), closed_by = {reason}, \
         is_current = {stays_current} WHERE id IN"
    );
    let mut statements = Vec::new();
    for (end, ids) in alike {
        let first = [end.0.get().into(), end.1.into(), end.2.into()];
        statements.extend(rows_with_ids(backend, &head, &first, &ids));
    }
    statements
}

fn reopened_spans(ids: &[Uuid], backend: DbBackend) -> Vec<Statement> {
    let head = "UPDATE ext_event_subscription SET until_seq = NULL, closed_by = NULL WHERE id IN";
    rows_with_ids(backend, head, &[], ids)
}

fn succeeded_spans(ids: &[Uuid], backend: DbBackend) -> Vec<Statement> {
    let head = "UPDATE ext_event_subscription SET is_current = FALSE WHERE id IN";
    rows_with_ids(backend, head, &[], ids)
}

fn letters(rows: &[(DeadLetterId, LetterStatus)], backend: DbBackend) -> Vec<Statement> {
    let head = "UPDATE dead_letter_event SET status = v.column2 FROM (VALUES";
    let tail = ") AS v WHERE dead_letter_event.id = v.column1";
    rows_of(rows, backend, head, tail, |(letter, status)| {
        vec![letter.uuid().into(), status.as_str().into()]
    })
}

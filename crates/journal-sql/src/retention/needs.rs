//! Which events of a workspace somebody still needs.
//!
//! An event is needed by an installation that is not closed, where it is due to it and beyond its durable cursor, or
//! where its delivery is parked. A cursor may stand far back because nothing that came since was due: then it needs
//! none of them. What was free once stays free: cursors never move back, and new subscriptions begin at the head. So
//! what is read here may be older than the deletion.

use std::collections::HashMap;

use pointsman_domain::{
    event_key::EventKey,
    event_pattern::{EventPattern, PatternIndex},
    id::{InstallationId, WorkspaceId},
    seq::Seq,
};
use sea_orm::{ConnectionTrait, DbErr, Value};
use uuid::Uuid;

use super::state::HeldBy;
use crate::{
    reader::Reader,
    sql::{in_list, numbered_statement},
};

/// Installations of one read.
const PAGE: i64 = 500;
/// Spans kept in memory. The installations of a workspace that has more of them keep everything beyond their cursors.
const MOST_SPANS: usize = 100_000;

pub(super) struct Needs {
    patterns: PatternIndex<usize>,
    spans: Vec<OpenSpan>,
    /// The first parked delivery.
    parked: Option<(Seq, InstallationId)>,
    /// The lowest cursor of the installations whose spans are not in memory.
    unread: Option<(Seq, InstallationId)>,
}

/// A span beyond the cursor of its installation.
struct OpenSpan {
    installation: InstallationId,
    /// What is due lies beyond both the cursor and the beginning of the span.
    after: Seq,
    until: Option<Seq>,
}

/// An installation that needs an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct NeededBy {
    pub(super) installation: InstallationId,
    pub(super) why: HeldBy,
}

impl Needs {
    pub(super) async fn of(reader: &Reader, workspace: WorkspaceId) -> Result<Self, DbErr> {
        let mut needs = Self {
            patterns: PatternIndex::default(),
            spans: Vec::new(),
            parked: None,
            unread: None,
        };
        let mut after = Uuid::nil();
        loop {
            let page = cursors(reader, workspace, after).await?;
            let Some(last) = page.last() else {
                return Ok(needs);
            };
            after = last.installation.uuid();
            needs.add(reader, &page).await?;
        }
    }

    async fn add(&mut self, reader: &Reader, page: &[CursorOf]) -> Result<(), DbErr> {
        for cursor in page {
            let parked = cursor.parked.map(|seq| (seq, cursor.installation));
            self.parked = earlier(self.parked, parked);
        }
        if self.spans.len() >= MOST_SPANS {
            let lowest = page
                .iter()
                .map(|cursor| (cursor.settled, cursor.installation))
                .min();
            self.unread = earlier(self.unread, lowest);
            return Ok(());
        }
        let settled: HashMap<InstallationId, Seq> = page
            .iter()
            .map(|cursor| (cursor.installation, cursor.settled))
            .collect();
        for (installation, pattern, from, until) in spans(reader, page).await? {
            let settled = settled.get(&installation).copied().unwrap_or(Seq::ZERO);
            let after = settled.max(from);
            if until.is_none_or(|until| until > after) {
                self.patterns.insert(&pattern, self.spans.len());
                self.spans.push(OpenSpan {
                    installation,
                    after,
                    until,
                });
            }
        }
        Ok(())
    }

    /// Who needs the event, if anybody does.
    pub(super) fn needed_by(&self, seq: Seq, key: &EventKey) -> Option<NeededBy> {
        if let Some((parked, installation)) = self.parked
            && parked <= seq
        {
            return Some(NeededBy {
                installation,
                why: HeldBy::Retry,
            });
        }
        if let Some((settled, installation)) = self.unread
            && settled < seq
        {
            return Some(NeededBy {
                installation,
                why: HeldBy::Undelivered,
            });
        }
        let mut needed_by = None;
        self.patterns.find(key, |span| {
            let span = &self.spans[span];
            if span.after < seq && span.until.is_none_or(|until| seq <= until) {
                needed_by.get_or_insert(NeededBy {
                    installation: span.installation,
                    why: HeldBy::Undelivered,
                });
            }
        });
        needed_by
    }
}

fn earlier(
    one: Option<(Seq, InstallationId)>,
    other: Option<(Seq, InstallationId)>,
) -> Option<(Seq, InstallationId)> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Where an installation that is not closed stands.
struct CursorOf {
    installation: InstallationId,
    settled: Seq,
    parked: Option<Seq>,
}

/// The replay of a letter needs no event: the letter has its own copy.
async fn cursors(reader: &Reader, workspace: WorkspaceId, after: Uuid) -> Result<Vec<CursorOf>, DbErr> {
    let sql = "SELECT i.id, COALESCE(c.settled_seq, i.installed_seq) AS settled, \
               (SELECT r.seq FROM ext_delivery_retry r WHERE r.installation_id = i.id AND r.dead_letter_id IS NULL \
               ORDER BY r.seq LIMIT 1) AS parked \
               FROM ext_installation i LEFT JOIN ext_delivery_cursor c ON c.installation_id = i.id \
               WHERE i.workspace_id = {1} AND NOT i.closed AND i.id > {2} ORDER BY i.id LIMIT {3}";
    let values = vec![workspace.uuid().into(), after.into(), PAGE.into()];
    let rows = reader
        .query_all_raw(numbered_statement(reader.get_database_backend(), sql, values))
        .await?;
    rows.iter()
        .map(|row| {
            Ok(CursorOf {
                installation: InstallationId::new(row.try_get("", "id")?),
                settled: Seq::new(row.try_get("", "settled")?),
                parked: row.try_get::<Option<i64>>("", "parked")?.map(Seq::new),
            })
        })
        .collect()
}

type SpanRow = (InstallationId, EventPattern, Seq, Option<Seq>);

/// The spans of the installations that reach beyond the lowest of their cursors.
async fn spans(reader: &Reader, page: &[CursorOf]) -> Result<Vec<SpanRow>, DbErr> {
    let lowest = page
        .iter()
        .map(|cursor| cursor.settled)
        .min()
        .unwrap_or(Seq::ZERO);
    let ids: Vec<Value> = page
        .iter()
        .map(|cursor| cursor.installation.uuid().into())
        .collect();
    let head = "SELECT installation_id, event_key, from_seq, until_seq FROM ext_event_subscription \
                WHERE installation_id IN";
    // A number, so that the placeholders of the list can be counted by themselves.
    let tail = format!("AND (until_seq IS NULL OR until_seq > {lowest})");
    let rows = reader
        .query_all_raw(in_list(reader.get_database_backend(), head, &tail, ids))
        .await?;
    rows.iter()
        .map(|row| {
            Ok((
                InstallationId::new(row.try_get("", "installation_id")?),
                EventPattern::from_stored(row.try_get("", "event_key")?),
                Seq::new(row.try_get("", "from_seq")?),
                row.try_get::<Option<i64>>("", "until_seq")?.map(Seq::new),
            ))
        })
        .collect()
}

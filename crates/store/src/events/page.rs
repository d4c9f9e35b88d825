//! A page of the log: a bounded search, whatever the filter.
//!
//! Each page looks at positions in a row, a piece at a time: first at the narrow columns, then at the payloads of what
//! is left. It ends when it is full, or when it has looked at enough, with the position at which the next goes on.

use std::time::Duration;

use entity::platform_event::{Column, Entity};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};

use pointsman_domain::{event::PlatformEvent, event_key::EventKey, id::WorkspaceId, seq::Seq};

use super::{
    EventFilter, exceptions,
    positions::{self, Positions},
    recorded,
};
use crate::{conditions::Sql, direction::Direction, pieces::PieceSizes};

/// Which page of a list.
#[derive(Clone, Copy, Debug)]
pub struct PageRequest {
    pub direction: Direction,
    /// The events that come after this position, in the direction of the list.
    pub after: Option<Seq>,
    /// The most events.
    pub limit: u64,
    /// It ends with the event at which the payloads reach so many bytes.
    pub max_bytes: usize,
}

/// Events, and where to go on.
#[derive(Debug)]
pub struct EventPage {
    pub events: Vec<PlatformEvent>,
    /// The events that come after this position are still to be looked at; none where the log ends.
    pub next: Option<Seq>,
}

/// The most events that one page looks at. A filter that few events pass takes several pages, some of them empty.
pub const MAX_LOOKED_AT: i64 = 10_000;
/// The most bytes of payloads that one page looks at, and the last payload.
pub const MAX_BYTES_LOOKED_AT: usize = 16 * 1024 * 1024;

/// Events in the first piece of a page, and the most in a later one.
const PIECE: PieceSizes = PieceSizes::new(500, 2_000);
/// As `PIECE`, where payloads are looked at: what was read and is not looked at any more was read for nothing.
const PIECE_OF_PAYLOADS: PieceSizes = PieceSizes::new(250, 500);
/// As `PIECE`, where other tables decide: an event may have thousands of rows there.
const PIECE_OF_DELIVERIES: PieceSizes = PieceSizes::new(16, 500);
/// Payloads that are read at a time: they are looked at without a pause.
const MAX_READ_BYTES: usize = 256 * 1024;
/// Events that are read at a time.
const MAX_READ_ROWS: usize = 256;

/// The events that pass the filter: those that come first after `request.after`, at most `request.limit`. Once
/// no time is left, and at the latest after [`MAX_LOOKED_AT`] events or [`MAX_BYTES_LOOKED_AT`], the page has what was
/// found so far, perhaps nothing. It looks at one piece of the log at least.
///
/// # Errors
/// When the database fails.
pub async fn page(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    filter: &EventFilter,
    request: &PageRequest,
    time_left: impl Fn() -> Duration,
) -> Result<EventPage, DbErr> {
    let left = positions::of_list(conn, workspace, filter, request.direction, request.after).await?;
    let search = Search {
        conn,
        workspace,
        filter,
        request,
        time_left,
        left,
        looked_at: 0,
        bytes_looked_at: 0,
        events: Vec::new(),
        bytes: 0,
    };
    search.page().await
}

struct Search<'a, C, T> {
    conn: &'a C,
    workspace: WorkspaceId,
    filter: &'a EventFilter,
    request: &'a PageRequest,
    time_left: T,
    /// Still to be looked at.
    left: Positions,
    looked_at: i64,
    bytes_looked_at: usize,
    events: Vec<PlatformEvent>,
    /// Of their payloads.
    bytes: usize,
}

/// An event whose narrow columns pass the filter.
struct Candidate {
    seq: Seq,
    bytes: usize,
}

impl<C: ConnectionTrait, T: Fn() -> Duration> Search<'_, C, T> {
    async fn page(mut self) -> Result<EventPage, DbErr> {
        let mut sizes = self.piece_sizes();
        while !self.left.is_empty() && !self.is_full() && !self.has_looked_enough() {
            if let Some(status) = self.filter.status {
                let of = self.filter.installation_id;
                let left = &mut self.left;
                exceptions::skip_to(
                    self.conn,
                    self.workspace,
                    status,
                    of,
                    self.request.direction,
                    left,
                )
                .await?;
            }
            let rows = sizes.next((self.time_left)()).min(MAX_LOOKED_AT - self.looked_at);
            let piece = self.left.first(self.request.direction, rows);
            self.look_at(piece).await?;
        }
        let next = (!self.left.is_empty()).then(|| self.left.cursor(self.request.direction));
        Ok(EventPage {
            events: self.events,
            next,
        })
    }

    fn piece_sizes(&self) -> PieceSizes {
        if self.filter.is_empty() {
            let limit = i64::try_from(self.request.limit).unwrap_or(i64::MAX);
            PieceSizes::new(limit, limit)
        } else if self.filter.reads_deliveries() {
            PIECE_OF_DELIVERIES
        } else if self.filter.reads_payloads() {
            PIECE_OF_PAYLOADS
        } else {
            PIECE
        }
    }

    fn is_full(&self) -> bool {
        self.events.len() as u64 >= self.request.limit
            || (self.bytes >= self.request.max_bytes && !self.events.is_empty())
    }

    fn has_looked_enough(&self) -> bool {
        let has_looked = self.looked_at > 0 || self.bytes_looked_at > 0;
        has_looked
            && (self.looked_at >= MAX_LOOKED_AT
                || self.bytes_looked_at >= MAX_BYTES_LOOKED_AT
                || (self.time_left)().is_zero())
    }

    /// Takes what passes, until the page is full or has looked at enough.
    async fn look_at(&mut self, piece: Positions) -> Result<(), DbErr> {
        let candidates = self.candidates(piece).await?;
        let mut rest = &candidates[..];
        while !rest.is_empty() {
            let (read, later) = rest.split_at(self.read_length(rest));
            rest = later;
            for event in self.read(read).await? {
                self.left.pass(self.request.direction, event.seq);
                if self.filter.reads_payloads() {
                    self.bytes_looked_at += event.payload.len();
                    if !self.filter.passes_payload(&event.payload) {
                        continue;
                    }
                }
                self.bytes += event.payload.len();
                self.events.push(event);
                if self.is_full() {
                    return Ok(());
                }
            }
            if self.filter.reads_payloads() && self.has_looked_enough() && !rest.is_empty() {
                return Ok(());
            }
        }
        self.left.pass_all(self.request.direction, piece);
        self.looked_at += piece.count();
        Ok(())
    }

    /// How many of the candidates to read at a time.
    fn read_length(&self, candidates: &[Candidate]) -> usize {
        let max_bytes = match self.filter.reads_payloads() {
            true => MAX_READ_BYTES,
            false => self.request.max_bytes.saturating_sub(self.bytes),
        };
        let mut bytes = 0;
        let fits = |candidate: &&Candidate| {
            let fits = bytes < max_bytes;
            bytes += candidate.bytes;
            fits
        };
        let count = candidates.iter().take_while(fits).count();
        count.clamp(1, MAX_READ_ROWS)
    }

    /// The events of the piece whose narrow columns pass, in the direction of the list. No more than the page has room
    /// for, where these columns decide.
    async fn candidates(&self, piece: Positions) -> Result<Vec<Candidate>, DbErr> {
        let mut sql = Sql::new(
            self.conn.get_database_backend(),
            "SELECT e.seq, e.event_key, CAST(octet_length(e.payload) AS BIGINT) AS bytes FROM platform_event e",
        );
        sql.with(" WHERE e.workspace_id = ?", self.workspace.uuid())
            .with(" AND e.seq >= ?", piece.low)
            .with(" AND e.seq < ?", piece.high);
        self.filter.restrict(&mut sql);
        sql.push(" ORDER BY e.seq ").push(self.request.direction.sql());
        if !self.filter.reads_payloads() && !self.filter.has_pattern() {
            let room = self.request.limit - self.events.len() as u64;
            sql.with(" LIMIT ?", i64::try_from(room).unwrap_or(i64::MAX));
        }
        let mut candidates = Vec::new();
        for row in self.conn.query_all_raw(sql.statement()).await? {
            let key = EventKey::from_stored(row.try_get("", "event_key")?);
            if self.filter.passes_key(&key) {
                let bytes: i64 = row.try_get("", "bytes")?;
                candidates.push(Candidate {
                    seq: Seq::new(row.try_get("", "seq")?),
                    bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
                });
            }
        }
        Ok(candidates)
    }

    /// The candidates as a whole, in their order.
    async fn read(&self, candidates: &[Candidate]) -> Result<Vec<PlatformEvent>, DbErr> {
        let mut seqs: Vec<i64> = candidates.iter().map(|candidate| candidate.seq.get()).collect();
        // Few lengths, so that prepared statements are used again.
        let last = seqs.last().copied().unwrap_or_default();
        seqs.resize(seqs.len().next_power_of_two(), last);
        let rows = Entity::find()
            .filter(Column::WorkspaceId.eq(self.workspace.uuid()))
            .filter(Column::Seq.is_in(seqs))
            .all(self.conn)
            .await?;
        let mut events: Vec<PlatformEvent> = rows.into_iter().map(recorded).collect();
        events.sort_by_key(|event| event.seq);
        if self.request.direction == Direction::Descending {
            events.reverse();
        }
        Ok(events)
    }
}

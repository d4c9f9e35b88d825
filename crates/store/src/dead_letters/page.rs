//! A page of dead letters: a bounded search along the index of their times, whatever the filter.

use std::time::Duration;

use entity::dead_letter_event::{Column, Entity};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, EntityTrait, IdenStatic, Iterable, Order,
    QueryFilter, QueryOrder, QuerySelect, Select, sea_query::Expr,
};

use super::{DeadLetter, DeadLetterStatus};
use crate::{
    conditions::{glob_of, like_of},
    direction::Direction,
    pieces::PieceSizes,
};
use pointsman_domain::{
    attempt::{AttemptOutcome, DeadLetterReason},
    event_pattern::EventPattern,
    id::{DeadLetterId, InstallationId, WorkspaceId},
    timestamp::Timestamp,
};

/// Which dead letters to list; what is absent does not restrict.
#[derive(Clone, Debug, Default)]
pub struct DeadLetterFilter {
    pub installation_id: Option<InstallationId>,
    pub event_key: Option<EventPattern>,
    pub status: Option<DeadLetterStatus>,
    pub reason: Option<DeadLetterReason>,
    /// Of the last answer.
    pub http_status: Option<HttpStatuses>,
    /// How the last attempt ended, where the history has it.
    pub outcome: Option<AttemptOutcome>,
    /// Failed at this time or later.
    pub from: Option<Timestamp>,
    /// Failed before this time.
    pub to: Option<Timestamp>,
}

/// One HTTP status, such as 503, or a class of them, such as 5xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpStatuses {
    lowest: i32,
    highest: i32,
}

impl HttpStatuses {
    /// The reverse of how it is written: three digits, or `1xx` to `5xx`; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let (class, rest) = text.split_at_checked(1)?;
        let class = i32::from(class.parse::<u8>().ok().filter(|class| (1..=5).contains(class))?) * 100;
        if rest == "xx" {
            return Some(Self {
                lowest: class,
                highest: class + 99,
            });
        }
        let is_number = rest.len() == 2 && rest.bytes().all(|byte| byte.is_ascii_digit());
        let status = class + rest.parse::<i32>().ok().filter(|_| is_number)?;
        Some(Self {
            lowest: status,
            highest: status,
        })
    }
}

/// A position in the list: letters are ordered by when they failed, then by id.
pub type PagePosition = (Timestamp, DeadLetterId);

/// Which page of a list.
#[derive(Clone, Copy, Debug)]
pub struct LetterRequest {
    pub direction: Direction,
    /// The letters that come after this position, in the direction of the list.
    pub after: Option<PagePosition>,
    /// The most letters.
    pub limit: u64,
}

/// Dead letters without their payloads, and where to go on.
#[derive(Debug)]
pub struct LetterPage {
    pub letters: Vec<DeadLetter>,
    /// The letters that come after this position are still to be looked at; none where the list ends.
    pub next: Option<PagePosition>,
}

/// The most letters that one page looks at. A filter that few letters pass takes several pages, some of them empty.
pub const MAX_LOOKED_AT: i64 = 10_000;
/// Letters in the first piece of a page, and the most in a later one. A large payload lies between the columns of its
/// letter, so that a piece may cost much.
const PIECE: PieceSizes = PieceSizes::new(100, 2_000);

/// The letters of a workspace that pass the filter: those that come first after `request.after`, at most
/// `request.limit`. Once no time is left, and at the latest after [`MAX_LOOKED_AT`] letters, the page has what was
/// found so far, perhaps nothing. It looks at one piece of the list at least.
///
/// # Errors
/// When the database fails.
pub async fn page(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    filter: &DeadLetterFilter,
    request: &LetterRequest,
    time_left: impl Fn() -> Duration,
) -> Result<LetterPage, DbErr> {
    search(conn, &of_workspace(workspace), filter, request, time_left).await
}

pub(super) fn of_workspace(workspace: WorkspaceId) -> Select<Entity> {
    Entity::find().filter(Column::WorkspaceId.eq(workspace.uuid()))
}

/// As [`page`], of every workspace.
///
/// # Errors
/// When the database fails.
pub async fn page_across_workspaces(
    conn: &impl ConnectionTrait,
    filter: &DeadLetterFilter,
    request: &LetterRequest,
    time_left: impl Fn() -> Duration,
) -> Result<LetterPage, DbErr> {
    // Those of a workspace that is deleted are gone with it, also while their rows are there.
    let of_known = Expr::cust(
        "NOT EXISTS (SELECT 1 FROM workspace_deletion d WHERE d.workspace_id = dead_letter_event.workspace_id)",
    );
    search(conn, &Entity::find().filter(of_known), filter, request, time_left).await
}

async fn search(
    conn: &impl ConnectionTrait,
    list: &Select<Entity>,
    filter: &DeadLetterFilter,
    request: &LetterRequest,
    time_left: impl Fn() -> Duration,
) -> Result<LetterPage, DbErr> {
    let direction = request.direction;
    let list = list.clone().filter(of_time(filter));
    let passing = list
        .clone()
        .filter(condition(filter, conn.get_database_backend()));
    let (mut letters, mut after, mut looked_at) = (Vec::new(), request.after, 0);
    let mut sizes = PIECE;
    loop {
        let rows = sizes.next(time_left()).min(MAX_LOOKED_AT - looked_at);
        // Every row of an unfiltered list is shown, so that the limit bounds it.
        let end = match filter.restricts() {
            true => end_of_piece(conn, list.clone(), direction, after, rows).await?,
            false => None,
        };
        // One more than is shown tells whether there is another page.
        let limit = request.limit + 1 - letters.len() as u64;
        let read = select(passing.clone(), direction, after, end, limit)
            .all(conn)
            .await?;
        let is_cut = read.len() as u64 == limit;
        for row in read {
            let letter = DeadLetter::try_from(row)?;
            if letters.len() as u64 == request.limit {
                return Ok(LetterPage { letters, next: after });
            }
            after = Some((letter.failed_at, letter.id));
            if filter
                .event_key
                .as_ref()
                .is_none_or(|key| key.matches(&letter.event_key))
            {
                letters.push(letter);
            }
        }
        if !is_cut {
            after = end;
        }
        looked_at += rows;
        let is_at_end = after.is_none();
        if is_at_end || looked_at >= MAX_LOOKED_AT || time_left().is_zero() {
            return Ok(LetterPage { letters, next: after });
        }
    }
}

/// The position of the last row in a piece of so many, where there is one behind it. Only the index is read.
async fn end_of_piece(
    conn: &impl ConnectionTrait,
    list: Select<Entity>,
    direction: Direction,
    after: Option<PagePosition>,
    rows: i64,
) -> Result<Option<PagePosition>, DbErr> {
    let last: Option<(i64, uuid::Uuid)> = in_order(list, direction, after)
        .select_only()
        .columns([Column::FailedAt, Column::Id])
        .offset((rows - 1).unsigned_abs())
        .limit(1)
        .into_tuple()
        .one(conn)
        .await?;
    Ok(last.map(|(at, id)| (Timestamp::from_millis(at), DeadLetterId::new(id))))
}

fn in_order(query: Select<Entity>, direction: Direction, after: Option<PagePosition>) -> Select<Entity> {
    let order = match direction {
        Direction::Ascending => Order::Asc,
        Direction::Descending => Order::Desc,
    };
    let after = after.map(|position| beyond(direction, position));
    query
        .filter(Condition::all().add_option(after))
        .order_by(Column::FailedAt, order.clone())
        .order_by(Column::Id, order)
}

/// The rows after one position and through another.
pub(super) fn select(
    query: Select<Entity>,
    direction: Direction,
    after: Option<PagePosition>,
    through: Option<PagePosition>,
    limit: u64,
) -> Select<Entity> {
    // Lists show no payloads, and up to 200 of them would be read for nothing.
    let shown = Column::iter().filter(|column| !matches!(column, Column::Payload));
    let through = through.map(|position| up_to(direction, position));
    in_order(query, direction, after)
        .filter(Condition::all().add_option(through))
        .select_only()
        .columns(shown)
        .expr_as(Expr::cust("''"), Column::Payload.as_str())
        .limit(limit)
}

/// The rows after the position. The bound on the time is repeated outside of the `OR`, so that its index is used.
fn beyond(direction: Direction, (failed_at, id): PagePosition) -> Condition {
    let (at, id) = (failed_at.millis(), id.uuid());
    let (bound, later, next) = match direction {
        Direction::Ascending => (
            Column::FailedAt.gte(at),
            Column::FailedAt.gt(at),
            Column::Id.gt(id),
        ),
        Direction::Descending => (
            Column::FailedAt.lte(at),
            Column::FailedAt.lt(at),
            Column::Id.lt(id),
        ),
    };
    within(bound, later, Column::FailedAt.eq(at), next)
}

/// The rows through the position.
fn up_to(direction: Direction, (failed_at, id): PagePosition) -> Condition {
    let (at, id) = (failed_at.millis(), id.uuid());
    let (bound, sooner, next) = match direction {
        Direction::Ascending => (
            Column::FailedAt.lte(at),
            Column::FailedAt.lt(at),
            Column::Id.lte(id),
        ),
        Direction::Descending => (
            Column::FailedAt.gte(at),
            Column::FailedAt.gt(at),
            Column::Id.gte(id),
        ),
    };
    within(bound, sooner, Column::FailedAt.eq(at), next)
}

fn within(bound: Expr, on_this_side: Expr, same_time: Expr, next: Expr) -> Condition {
    let same = Condition::all().add(same_time).add(next);
    Condition::all()
        .add(bound)
        .add(Condition::any().add(on_this_side).add(same))
}

impl DeadLetterFilter {
    /// Whether letters of the time do not pass.
    fn restricts(&self) -> bool {
        let Self {
            installation_id,
            event_key,
            status,
            reason,
            http_status,
            outcome,
            from: _,
            to: _,
        } = self;
        installation_id.is_some()
            || event_key.is_some()
            || status.is_some()
            || reason.is_some()
            || http_status.is_some()
            || outcome.is_some()
    }
}

fn of_time(filter: &DeadLetterFilter) -> Condition {
    Condition::all()
        .add_option(filter.from.map(|from| Column::FailedAt.gte(from.millis())))
        .add_option(filter.to.map(|to| Column::FailedAt.lt(to.millis())))
}

/// All but the time. What a pattern asks for is only restricted roughly.
fn condition(filter: &DeadLetterFilter, backend: DbBackend) -> Condition {
    let installation = filter.installation_id;
    let statuses = filter.http_status;
    Condition::all()
        .add_option(installation.map(|id| Column::InstallationId.eq(id.uuid())))
        .add_option(filter.event_key.as_ref().map(|key| of_key(key, backend)))
        .add_option(filter.status.map(|status| Column::Status.eq(status.as_str())))
        .add_option(filter.reason.map(|reason| Column::Reason.eq(reason.as_str())))
        .add_option(statuses.map(|of| Column::LastStatus.between(of.lowest, of.highest)))
        .add_option(filter.outcome.map(ended_so))
}

fn of_key(key: &EventPattern, backend: DbBackend) -> Expr {
    if key.is_exact() {
        Column::EventKey.eq(key.as_str())
    } else if backend == DbBackend::Sqlite {
        Expr::cust_with_values("event_key GLOB ?", [glob_of(key)])
    } else {
        Column::EventKey.like(like_of(key))
    }
}

/// The last attempt of the delivery ended so. A letter has no column for it: it is in the history, by event.
fn ended_so(outcome: AttemptOutcome) -> Expr {
    Expr::cust(format!(
        "(SELECT a.outcome FROM ext_delivery_attempt a WHERE a.event_id = dead_letter_event.event_id \
         AND a.installation_id = dead_letter_event.installation_id AND a.handler = dead_letter_event.handler \
         ORDER BY a.id DESC LIMIT 1) = '{}'",
        outcome.as_str()
    ))
}

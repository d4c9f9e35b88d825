//! `GET /api/storage`

use actix_web::{HttpResponse, web};
use serde::Serialize;

use crate::http::{access::Caller, json, problem::Problem, state::AppState};
use pointsman_domain::{
    id::{InstallationId, WorkspaceId},
    timestamp::Timestamp,
};
use pointsman_engine::retention::{DeletedRows, Held, HeldBy, RetentionPass};
use pointsman_store::storage::{self, RowCount, TableSize};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StorageDto {
    used_bytes: u64,
    free_bytes: Option<u64>,
    tables: Vec<TableDto>,
    retention: RetentionDto,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TableDto {
    name: String,
    rows: Option<u64>,
    rows_are: &'static str,
    bytes: Option<u64>,
}

impl From<TableSize> for TableDto {
    fn from(table: TableSize) -> Self {
        let (rows, rows_are) = match table.rows {
            RowCount::Exact(rows) => (Some(rows), "EXACT"),
            RowCount::AtLeast(rows) => (Some(rows), "AT_LEAST"),
            RowCount::Estimated(rows) => (rows, "ESTIMATED"),
        };
        Self {
            name: table.name,
            rows,
            rows_are,
            bytes: table.bytes,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RetentionDto {
    deletes_from: Timestamp,
    last_pass: Option<PassDto>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PassDto {
    began_at: Timestamp,
    ended_at: Timestamp,
    deleted: DeletedDto,
    held_back: HeldBackDto,
    excess_bytes: u64,
}

impl From<RetentionPass> for PassDto {
    fn from(pass: RetentionPass) -> Self {
        Self {
            began_at: pass.began_at,
            ended_at: pass.ended_at,
            deleted: pass.deleted.into(),
            held_back: HeldBackDto {
                workspaces: pass.held.workspaces,
                first: pass.held.first.into_iter().map(HeldDto::from).collect(),
            },
            excess_bytes: pass.excess_bytes,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeletedDto {
    events: u64,
    attempts: u64,
    dead_letters: u64,
    chat_messages: u64,
    extensions: u64,
}

impl From<DeletedRows> for DeletedDto {
    fn from(rows: DeletedRows) -> Self {
        Self {
            events: rows.events,
            attempts: rows.attempts,
            dead_letters: rows.dead_letters,
            chat_messages: rows.chat_messages,
            extensions: rows.installations,
        }
    }
}

#[derive(Serialize)]
struct HeldBackDto {
    workspaces: u64,
    first: Vec<HeldDto>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HeldDto {
    workspace_id: WorkspaceId,
    extension_id: InstallationId,
    reason: &'static str,
    oldest_event_at: Timestamp,
}

impl From<Held> for HeldDto {
    fn from(held: Held) -> Self {
        Self {
            workspace_id: held.workspace,
            extension_id: held.installation,
            reason: match held.why {
                HeldBy::Undelivered => "UNDELIVERED",
                HeldBy::Retry => "RETRYING",
            },
            oldest_event_at: held.oldest_at,
        }
    }
}

pub(super) async fn get(state: web::Data<AppState>, caller: Caller) -> Result<HttpResponse, Problem> {
    state.admin(&caller)?;
    let db = state.router.reader();
    let size = storage::size_across_workspaces(db).await?;
    let tables = storage::tables_across_workspaces(db, size).await?;
    let retention = state.router.retention();
    let last_pass = retention.passes().borrow().clone();
    Ok(json::success_with(&StorageDto {
        used_bytes: size.used_bytes,
        free_bytes: size.free_bytes,
        tables: tables.into_iter().map(TableDto::from).collect(),
        retention: RetentionDto {
            deletes_from: retention.from(),
            last_pass: last_pass.map(PassDto::from),
        },
    }))
}

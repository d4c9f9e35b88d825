//! `GET /api/workspaces/{workspaceId}/extensions/{extensionId}`

use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::dto::ExtensionDto;
use crate::http::{access::Caller, json, problem::Problem, state::AppState};
use pointsman_domain::{
    id::{InstallationId, WorkspaceId},
    lane::{BreakerCause, BreakerState},
    timestamp::Timestamp,
};
use pointsman_store::{attempts, backlog};

#[derive(Debug, Serialize)]
struct ExtensionWithHealthDto {
    #[serde(flatten)]
    extension: ExtensionDto,
    health: HealthDto,
}

/// The health of an extension.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HealthDto {
    /// Deliveries being attempted right now.
    in_flight: usize,
    /// Events that are due and not settled; an upper bound unless `backlogIsExact`.
    backlog: u64,
    /// False for a long backlog: events far behind the cursor are then counted whether they are due or not.
    backlog_is_exact: bool,
    /// Failed deliveries and replays that will be tried again.
    retrying: u64,
    /// Age of the oldest event that waits for its delivery.
    oldest_pending_age_ms: Option<u64>,
    last_success_at: Option<Timestamp>,
    last_failure_at: Option<Timestamp>,
    breaker: BreakerDto,
    /// The extension's actor died too often, and waits for a reset or a change.
    failed: bool,
}

/// Whether deliveries are attempted without restriction, or one at a time until the service gives a sign of life.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BreakerDto {
    state: &'static str,
    since: Option<Timestamp>,
    /// The next delivery is not attempted before this.
    next_probe_at: Option<Timestamp>,
    /// The error of the failure that opened it, or of the latest probe.
    last_error: Option<String>,
    last_status: Option<u16>,
}

impl BreakerDto {
    fn new(state: BreakerState, cause: Option<BreakerCause>) -> Self {
        let (state, since, next_probe_at) = match state {
            BreakerState::Closed => ("CLOSED", None, None),
            BreakerState::Open { since, next_probe_at } => ("OPEN", Some(since), Some(next_probe_at)),
        };
        let BreakerCause { error, status } = cause.unwrap_or_default();
        Self {
            state,
            since,
            next_probe_at,
            last_error: error,
            last_status: status,
        }
    }
}

/// The extension with its health.
pub(super) async fn get(
    state: web::Data<AppState>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (workspace, extension) = path.into_inner();
    let workspace = state.workspace_admin(&caller, &workspace).await?;
    let installation = state.extension(workspace, &extension).await?;
    let health = health(&state, workspace, installation.id).await?;
    Ok(json::success_with(&ExtensionWithHealthDto {
        extension: state.extension_dto(installation),
        health,
    }))
}

async fn health(
    state: &AppState,
    workspace: WorkspaceId,
    installation: InstallationId,
) -> Result<HealthDto, Problem> {
    let db = &state.router.reader_of(workspace);
    let backlog = backlog::of_installation(db, workspace, installation).await?;
    let last = attempts::last_outcomes(db, workspace, installation).await?;
    // The lane knows the latest attempts, which may not be durable yet; the database knows those before the lane.
    let lane = state
        .router
        .health(workspace, installation)
        .await
        .unwrap_or_default();
    let now = state.clock.wall();
    let age = |at: Timestamp| u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX);
    Ok(HealthDto {
        in_flight: lane.in_flight,
        backlog: backlog.pending,
        backlog_is_exact: backlog.exact,
        retrying: backlog.retrying,
        oldest_pending_age_ms: backlog.oldest_at.map(age),
        last_success_at: lane.last_success_at.max(last.success_at),
        last_failure_at: lane.last_failure_at.max(last.failure_at),
        breaker: BreakerDto::new(lane.breaker, lane.breaker_cause),
        failed: lane.failed,
    })
}

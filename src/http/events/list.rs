//! `GET /api/workspaces/{workspaceId}/events`

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::dto::EventDto;
use crate::http::{
    access::Caller,
    answer,
    page::{Cursor, Limit, Query},
    parameters,
    problem::Problem,
    state::AppState,
};
use pointsman_domain::{event_key::EventKey, seq::Seq, timestamp::Timestamp};
use pointsman_store::events::{self, EventFilter};

/// A page ends with the event at which its payloads reach this many bytes.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListEvents {
    #[serde(default, deserialize_with = "parameters::event_key")]
    event_key: Option<EventKey>,
    #[serde(default, deserialize_with = "parameters::text")]
    actor: Option<String>,
    /// Accepted at this time or later.
    from: Option<Timestamp>,
    /// Accepted before this time.
    #[serde(default, deserialize_with = "parameters::end")]
    to: Option<Timestamp>,
    cursor: Option<Cursor<Seq>>,
    #[serde(default)]
    limit: Limit,
}

/// The events of the workspace, newest first.
pub(super) async fn list(
    state: web::Data<AppState>,
    caller: Caller,
    workspace: web::Path<String>,
    query: Query<ListEvents>,
) -> Result<HttpResponse, Problem> {
    let workspace = state.member(&caller, &workspace).await?;
    let query = query.read()?;
    let filter = EventFilter {
        event_key: query.event_key,
        actor: query.actor,
        from: query.from,
        to: query.to,
    };
    let before = query.cursor.map(|cursor| cursor.0);
    let (db, limit) = (&state.router.reader_of(workspace), query.limit.rows());
    let page = events::page(db, workspace, &filter, before, limit, MAX_PAGE_BYTES).await?;
    let mut share = state.pages.share();
    if !share.grow(page.events.iter().map(|event| event.payload.len()).sum()) {
        return Err(Problem::too_many_pages());
    }
    let next = page.next.map(|next| Cursor(next).to_string());
    answer::held_list(page.events.into_iter().map(EventDto::from).collect(), next, share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong_parameter(query: &str) -> Option<String> {
        let request = actix_web::test::TestRequest::with_uri(&format!("/?{query}")).to_http_request();
        let query = <Query<ListEvents> as actix_web::FromRequest>::extract(&request);
        let query = futures_util::FutureExt::now_or_never(query).unwrap().unwrap();
        match query.read() {
            Ok(_) => None,
            Err(Problem::ValidationFailed(errors)) => Some(errors[0].field.clone().into_owned()),
            Err(problem) => panic!("{problem}"),
        }
    }

    #[test]
    fn every_parameter_is_checked_under_its_name() {
        for (query, expected) in [
            ("", None),
            (
                "eventKey=a.b&actor=me&from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00%2B01:00&limit=1",
                None,
            ),
            ("eventKey=a", Some("eventKey")),
            ("eventKey=", Some("eventKey")),
            ("actor=%00", Some("actor")),
            ("from=yesterday", Some("from")),
            ("to=", Some("to")),
            ("limit=0", Some("limit")),
            ("cursor=x", Some("cursor")),
        ] {
            assert_eq!(wrong_parameter(query).as_deref(), expected, "{query}");
        }
    }
}

//! Which dead letters to list: the parameters of both lists.

use actix_web::HttpResponse;
use serde::Deserialize;

use super::dto::DeadLetterDto;
use crate::http::{
    answer,
    page::{Cursor, Limit},
    parameters,
    problem::Problem,
};
use pointsman_domain::{
    attempt::{AttemptOutcome, DeadLetterReason},
    event_pattern::EventPattern,
    id::{DeadLetterId, InstallationId, WorkspaceId},
    timestamp::Timestamp,
};
use pointsman_store::{
    dead_letters::{
        DeadLetterFilter, DeadLetterStatus, HttpStatuses, LetterPage, LetterRequest, PagePosition,
    },
    direction::Direction,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListDeadLetters {
    /// Used only across workspaces; within one, the path names it.
    pub(super) workspace_id: Option<WorkspaceId>,
    extension_id: Option<InstallationId>,
    #[serde(default, deserialize_with = "parameters::event_pattern")]
    event_key: Option<EventPattern>,
    status: Option<DeadLetterStatus>,
    reason: Option<DeadLetterReason>,
    /// Of the last answer: one, or a class such as `5xx`.
    #[serde(default, deserialize_with = "parameters::http_statuses")]
    http_status: Option<HttpStatuses>,
    /// How the last attempt ended.
    outcome: Option<AttemptOutcome>,
    /// Failed at this time or later.
    from: Option<Timestamp>,
    /// Failed before this time.
    #[serde(default, deserialize_with = "parameters::end")]
    to: Option<Timestamp>,
    /// `asc` or `desc`, newest first.
    #[serde(default)]
    pub(super) order: Direction,
    cursor: Option<Cursor<CursorKey>>,
    #[serde(default)]
    pub(super) limit: Limit,
}

/// A [`PagePosition`] as it is sent, in the list of one direction: the time in milliseconds, so that it is exact, and
/// the id.
type CursorKey = (Direction, i64, DeadLetterId);

impl ListDeadLetters {
    pub(super) fn filter(&self) -> DeadLetterFilter {
        DeadLetterFilter {
            installation_id: self.extension_id,
            event_key: self.event_key.clone(),
            status: self.status,
            reason: self.reason,
            http_status: self.http_status,
            outcome: self.outcome,
            from: self.from,
            to: self.to,
        }
    }

    /// Which page it asks for.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` for a cursor of the list in the other direction.
    pub(super) fn request(&self) -> Result<LetterRequest, Problem> {
        let after: Option<PagePosition> = match self.cursor {
            Some(Cursor((direction, ..))) if direction != self.order => {
                return Err(Problem::validation("cursor", "is of the list in the other order"));
            }
            Some(Cursor((_, failed_at, id))) => Some((Timestamp::from_millis(failed_at), id)),
            None => None,
        };
        Ok(LetterRequest {
            direction: self.order,
            after,
            limit: self.limit.rows(),
        })
    }

    pub(super) fn answer(&self, page: LetterPage) -> HttpResponse {
        let key = |(failed_at, id): PagePosition| -> CursorKey { (self.order, failed_at.millis(), id) };
        let next = page.next.map(|next| Cursor(key(next)).to_string());
        answer::list(page.letters.into_iter().map(DeadLetterDto::from).collect(), next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::page::Query;

    fn wrong_parameter(query: &str) -> Option<String> {
        let request = actix_web::test::TestRequest::with_uri(&format!("/?{query}")).to_http_request();
        let query = <Query<ListDeadLetters> as actix_web::FromRequest>::extract(&request);
        let query = futures_util::FutureExt::now_or_never(query).unwrap().unwrap();
        match query.read() {
            Ok(_) => None,
            Err(Problem::ValidationFailed(errors)) => Some(errors[0].field.clone().into_owned()),
            Err(problem) => panic!("{problem}"),
        }
    }

    #[test]
    fn every_parameter_is_checked_under_its_name() {
        let id = uuid::Uuid::nil();
        let good = format!(
            "extensionId={id}&eventKey=a.b&status=DEAD&reason=GONE&httpStatus=5xx&outcome=TIMEOUT\
             &workspaceId={id}&limit=9&order=asc"
        );
        assert_eq!(wrong_parameter(&good), None);
        for reason in [
            "RETRIES_EXHAUSTED",
            "ABORTED",
            "UNINSTALLED",
            "BREAKER_OPEN",
            "EXPIRED",
            "POISON",
            "CORRUPT",
        ] {
            assert_eq!(wrong_parameter(&format!("reason={reason}")), None, "{reason}");
        }
        for (query, expected) in [
            ("extensionId=crm", "extensionId"),
            ("workspaceId=ws-uuid", "workspaceId"),
            ("eventKey=**.a", "eventKey"),
            ("httpStatus=6xx", "httpStatus"),
            ("httpStatus=42", "httpStatus"),
            ("outcome=timeout", "outcome"),
            ("status=dead", "status"),
            ("reason=NONE", "reason"),
            ("from=1", "from"),
            ("to=now", "to"),
            ("limit=201", "limit"),
            ("order=ASC", "order"),
            ("cursor=NQ", "cursor"),
        ] {
            assert_eq!(wrong_parameter(query).as_deref(), Some(expected), "{query}");
        }
    }
}

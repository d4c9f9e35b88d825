//! Which dead letters to list: the parameters of both lists.

use serde::Deserialize;

use crate::http::{
    page::{Cursor, Limit},
    parameters,
    problem::Problem,
};
use pointsman_domain::{
    attempt::DeadLetterReason,
    event_key::EventKey,
    id::{DeadLetterId, InstallationId, WorkspaceId},
    timestamp::Timestamp,
};
use pointsman_store::dead_letters::{
    DeadLetter, DeadLetterFilter, DeadLetterStatus, Direction, PagePosition,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListDeadLetters {
    /// Used only across workspaces; within one, the path names it.
    pub(super) workspace_id: Option<WorkspaceId>,
    extension_id: Option<InstallationId>,
    #[serde(default, deserialize_with = "parameters::event_key")]
    event_key: Option<EventKey>,
    status: Option<DeadLetterStatus>,
    reason: Option<DeadLetterReason>,
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
            from: self.from,
            to: self.to,
        }
    }

    /// Where the page begins.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` for a cursor of the list in the other direction.
    pub(super) fn after(&self) -> Result<Option<PagePosition>, Problem> {
        match self.cursor {
            Some(Cursor((direction, ..))) if direction != self.order => {
                Err(Problem::validation("cursor", "is of the list in the other order"))
            }
            Some(Cursor((_, failed_at, id))) => Ok(Some((Timestamp::from_millis(failed_at), id))),
            None => Ok(None),
        }
    }

    /// The cursor after a letter.
    pub(super) fn cursor_key(&self, letter: &DeadLetter) -> CursorKey {
        (self.order, letter.failed_at.millis(), letter.id)
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
            "extensionId={id}&eventKey=a.b&status=DEAD&reason=GONE&workspaceId={id}&limit=9&order=asc"
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
            ("eventKey=*", "eventKey"),
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

//! Which events to list: the parameters.

use serde::Deserialize;

use crate::http::{
    page::{Cursor, Limit},
    parameters,
    problem::Problem,
};
use pointsman_domain::{
    attempt::AttemptOutcome,
    event_pattern::EventPattern,
    id::{EventId, InstallationId},
    seq::Seq,
    timestamp::Timestamp,
};
use pointsman_store::{
    direction::Direction,
    events::{EventFilter, EventStatus, PayloadMember, PayloadText},
};

/// The most members of the payload that a query may name: each reads every payload once more.
const MAX_MEMBERS: usize = 4;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListEvents {
    /// A key, or a pattern as of a subscription.
    #[serde(default, deserialize_with = "parameters::event_pattern")]
    event_key: Option<EventPattern>,
    #[serde(default, deserialize_with = "parameters::text")]
    actor: Option<String>,
    /// Accepted at this time or later.
    from: Option<Timestamp>,
    /// Accepted before this time.
    #[serde(default, deserialize_with = "parameters::end")]
    to: Option<Timestamp>,
    causation_id: Option<EventId>,
    correlation_id: Option<EventId>,
    #[serde(default, deserialize_with = "parameters::text")]
    text: Option<String>,
    status: Option<EventStatus>,
    outcome: Option<AttemptOutcome>,
    /// The extension for which `status` and `outcome` ask.
    extension_id: Option<InstallationId>,
    /// `asc` or `desc`, newest first.
    #[serde(default)]
    pub(super) order: Direction,
    /// The events after this position, oldest first.
    #[serde(default, deserialize_with = "parameters::seq")]
    after: Option<Seq>,
    cursor: Option<Cursor<CursorKey>>,
    #[serde(default)]
    pub(super) limit: Limit,
}

/// The position after which the next page begins, in the list of one direction.
type CursorKey = (Direction, Seq);

impl ListEvents {
    /// The position after which the page begins.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` for a cursor of the list in the other direction, and for a position with the newest first.
    pub(super) fn start(&self) -> Result<Option<Seq>, Problem> {
        if self.after.is_some() && self.order == Direction::Descending {
            return Err(Problem::validation("after", "is only for order=asc"));
        }
        match self.cursor {
            Some(Cursor((direction, _))) if direction != self.order => {
                Err(Problem::validation("cursor", "is of the list in the other order"))
            }
            // A caller that goes on by the cursor may leave `after` as it was.
            Some(Cursor((_, seq))) => Ok(Some(self.after.map_or(seq, |after| after.max(seq)))),
            None => Ok(self.after),
        }
    }

    /// The filter; `members` are the parameters `payload.<path>`, by path.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` under the name of what is wrong.
    pub(super) fn filter(self, members: Vec<(String, String)>) -> Result<EventFilter, Problem> {
        if self.extension_id.is_some() && self.status.is_none() && self.outcome.is_none() {
            return Err(Problem::validation(
                "extensionId",
                "is only for status and outcome",
            ));
        }
        let text = self.text.as_deref().map(PayloadText::parse).transpose();
        Ok(EventFilter {
            event_key: self.event_key,
            actor: self.actor,
            from: self.from,
            to: self.to,
            causation_id: self.causation_id,
            correlation_id: self.correlation_id,
            text: text.map_err(|error| Problem::validation("text", error.to_string()))?,
            members: payload_members(members)?,
            status: self.status,
            outcome: self.outcome,
            installation_id: self.extension_id,
        })
    }
}

fn payload_members(parameters: Vec<(String, String)>) -> Result<Vec<PayloadMember>, Problem> {
    if parameters.len() > MAX_MEMBERS {
        let message = format!("at most {MAX_MEMBERS} members can be asked for");
        return Err(Problem::validation("payload", message));
    }
    let mut members = Vec::with_capacity(parameters.len());
    for (position, (path, value)) in parameters.iter().enumerate() {
        let wrong = |message: String| Problem::validation(format!("payload.{}", shown(path)), message);
        if parameters[..position].iter().any(|(other, _)| other == path) {
            return Err(wrong("given twice".to_owned()));
        }
        if path.contains(char::is_control) || value.contains(char::is_control) {
            return Err(wrong("must not contain control characters".to_owned()));
        }
        members.push(PayloadMember::parse(path, value).map_err(|error| wrong(error.to_string()))?);
    }
    Ok(members)
}

/// The path as an error names it, however long it is.
fn shown(path: &str) -> String {
    let end = path.char_indices().nth(64).map_or(path.len(), |(end, _)| end);
    path[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::page::Query;

    fn wrong_parameter(query: &str) -> Option<String> {
        let request = actix_web::test::TestRequest::with_uri(&format!("/?{query}")).to_http_request();
        let query = <Query<ListEvents> as actix_web::FromRequest>::extract(&request);
        let query = futures_util::FutureExt::now_or_never(query).unwrap().unwrap();
        let members = query.below("payload.");
        let read = query.read();
        match read.and_then(|query| query.start().and_then(|_| query.filter(members))) {
            Ok(_) => None,
            Err(Problem::ValidationFailed(errors)) => Some(errors[0].field.clone().into_owned()),
            Err(problem) => panic!("{problem}"),
        }
    }

    #[test]
    fn every_parameter_is_checked_under_its_name() {
        let id = uuid::Uuid::nil();
        let (long, newest_first) = ("x".repeat(256), Cursor((Direction::Descending, Seq::new(7))));
        let good = format!(
            "eventKey=a.b&actor=me&from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00%2B01:00&limit=1&causationId={id}\
             &correlationId={id}&text=x&payload.deal.id=42&payload.note=&status=DEAD\
             &outcome=HTTP_5XX&extensionId={id}&order=asc&after=0"
        );
        for (query, expected) in [
            ("", None),
            (&*good, None),
            ("eventKey=crm.**", None),
            ("eventKey=a", Some("eventKey")),
            ("eventKey=", Some("eventKey")),
            ("eventKey=crm.**.closed", Some("eventKey")),
            ("actor=%00", Some("actor")),
            ("from=yesterday", Some("from")),
            ("to=", Some("to")),
            ("causationId=x", Some("causationId")),
            ("correlationId=", Some("correlationId")),
            ("text=", Some("text")),
            ("text=%00", Some("text")),
            (&format!("text={long}"), Some("text")),
            ("status=RETRYING", None),
            ("status=DELIVERED", Some("status")),
            ("outcome=LATE", Some("outcome")),
            ("status=DEAD&extensionId=crm", Some("extensionId")),
            (&format!("extensionId={id}"), Some("extensionId")),
            ("payload.=1", Some("payload.")),
            ("payload.a..b=1", Some("payload.a..b")),
            ("payload.a=%00", Some("payload.a")),
            ("payload.a=1&payload.a=2", Some("payload.a")),
            ("payload.a.b.c.d.e.f.g.h.i=1", Some("payload.a.b.c.d.e.f.g.h.i")),
            (&format!("payload.a={long}"), Some("payload.a")),
            (
                &format!("payload.{long}=1"),
                Some(&format!("payload.{}", &long[..64])),
            ),
            (
                "payload.a=1&payload.b=1&payload.c=1&payload.d=1&payload.e=1",
                Some("payload"),
            ),
            ("order=newest", Some("order")),
            ("order=asc&after=-1", Some("after")),
            ("order=asc&after=x", Some("after")),
            ("order=asc&after=", Some("after")),
            ("order=asc&after=9223372036854775808", Some("after")),
            ("after=1", Some("after")),
            ("order=desc&after=1", Some("after")),
            ("limit=0", Some("limit")),
            ("cursor=x", Some("cursor")),
            (&format!("cursor={newest_first}"), None),
            (&format!("cursor={newest_first}&order=asc"), Some("cursor")),
        ] {
            assert_eq!(wrong_parameter(query).as_deref(), expected, "{query}");
        }
    }
}

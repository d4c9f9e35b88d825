//! Reads events from rows. A column that cannot be read becomes a defect of its event, not an error of the whole page,
//! so that a corrupt row does not block the rows behind it.

use std::sync::Arc;

use sea_orm::{QueryResult, TryGetable};
use serde::de::IgnoredAny;
use uuid::Uuid;

use pointsman_domain::{
    event::{Cause, ERASED, ERASED_PAYLOAD, NewEvent, PlatformEvent},
    event_key::EventKey,
    id::{EventId, WorkspaceId},
    seq::Seq,
    timestamp::Timestamp,
};

/// The event key of an event whose key is lost. Only the patterns `lost.*`, `*.event` and `**` match it.
const LOST_KEY: &str = "lost.event";
const LOST_PAYLOAD: &str = "{}";

/// A row whose columns are read one by one. Keeps the first defect that is found.
struct EventRow<'a> {
    row: &'a QueryResult,
    defect: Option<String>,
}

impl EventRow<'_> {
    fn column<T: TryGetable>(&mut self, name: &str) -> Option<T> {
        match self.row.try_get("", name) {
            Ok(value) => Some(value),
            Err(_) => {
                self.fail(|| format!("its {name} cannot be read"));
                None
            }
        }
    }

    fn fail(&mut self, why: impl FnOnce() -> String) {
        self.defect.get_or_insert_with(why);
    }

    fn event_key(&mut self) -> EventKey {
        let Some(text) = self.column::<String>("event_key") else {
            return EventKey::from_stored(LOST_KEY.to_owned());
        };
        if EventKey::parse(&text).is_err() {
            self.fail(|| "its event_key is not a valid event key".to_owned());
        }
        EventKey::from_stored(text)
    }

    /// None unless both ids are stored; an event that was published from outside has neither.
    fn cause(&mut self) -> Option<Cause> {
        let causation: Option<Uuid> = self.column("causation_id").flatten();
        let correlation: Option<Uuid> = self.column("correlation_id").flatten();
        let depth: Option<i32> = self.column("causation_depth");
        Some(Cause {
            causation_id: EventId::new(causation?),
            correlation_id: EventId::new(correlation?),
            depth: u32::try_from(depth?).unwrap_or(u32::MAX),
        })
    }

    fn text(&mut self, name: &str) -> Option<Arc<str>> {
        self.column::<Option<String>>(name).flatten().map(Into::into)
    }

    fn payload(&mut self) -> Arc<str> {
        let Some(text) = self.column::<String>("payload") else {
            return LOST_PAYLOAD.into();
        };
        if text == ERASED_PAYLOAD {
            self.fail(|| ERASED.to_owned());
        } else if !is_json_object(&text) {
            self.fail(|| "its payload is not a JSON object".to_owned());
        }
        text.into()
    }
}

/// The event in columns named as in `platform_event`. An id that cannot be read is replaced by one computed from the
/// event's position, so that two such events have different ids.
pub(super) fn logged_event(row: &QueryResult, workspace: WorkspaceId, seq: Seq) -> PlatformEvent {
    if let Ok(id) = row.try_get("", "id") {
        return event(row, workspace, seq, EventId::new(id));
    }
    let position = u128::from(seq.get().unsigned_abs());
    let id = EventId::new(Uuid::from_u128(workspace.uuid().as_u128() ^ position));
    let mut event = event(row, workspace, seq, id);
    event.defect = Some("its id cannot be read".into());
    event
}

/// The event in columns named as in `platform_event` and `dead_letter_event`.
pub(super) fn event(row: &QueryResult, workspace: WorkspaceId, seq: Seq, id: EventId) -> PlatformEvent {
    let mut columns = EventRow { row, defect: None };
    let event = NewEvent {
        id,
        event_key: columns.event_key(),
        schema_version: columns.text("schema_version"),
        actor: columns.text("actor"),
        payload: columns.payload(),
        occurred_at: Timestamp::from_millis(columns.column("occurred_at").unwrap_or(0)),
        traceparent: columns.column("traceparent").flatten(),
        cause: columns.cause(),
    };
    let mut event = PlatformEvent::record(workspace, seq, event);
    event.defect = columns.defect.map(String::into_boxed_str);
    event
}

/// A stand-in for an event that is not in the log any more.
pub(super) fn lost_event(workspace: WorkspaceId, seq: Seq, id: EventId, defect: &str) -> PlatformEvent {
    let event = NewEvent {
        id,
        event_key: EventKey::from_stored(LOST_KEY.to_owned()),
        schema_version: None,
        actor: None,
        payload: LOST_PAYLOAD.into(),
        occurred_at: Timestamp::from_millis(0),
        traceparent: None,
        cause: None,
    };
    let mut event = PlatformEvent::record(workspace, seq, event);
    event.defect = Some(defect.into());
    event
}

fn is_json_object(text: &str) -> bool {
    let starts_as_one = text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{');
    starts_as_one && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_of_an_object_is_a_payload() {
        for text in ["{}", " {\"a\":1}\n", "{\"a\":[1e3,{}]}"] {
            assert!(is_json_object(text), "{text}");
        }
        for text in ["", "{", "[]", "1", "{\"a\":}", "{} {}", "{\"a\":1,}"] {
            assert!(!is_json_object(text), "{text}");
        }
    }
}

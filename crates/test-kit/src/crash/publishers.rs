//! The publishers: several connections into each workspace.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::watch;
use uuid::Uuid;

use super::{campaign::WORKSPACES, post};
use crate::{
    client::JSON,
    workspace::{Workspace, event_id},
};

/// Connections into one workspace.
const CONNECTIONS: usize = 8;

/// What a publisher was told of its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Acknowledged(Uuid),
    /// Refused before it was recorded.
    Refused,
    /// No answer, or one that leaves it open.
    Unknown,
}

pub(crate) struct Publishers {
    workspaces: Vec<Workspace>,
    published: Cell<u64>,
    outcomes: RefCell<HashMap<u64, Outcome>>,
    acknowledged: watch::Sender<u64>,
}

impl Publishers {
    pub(crate) fn new(workspaces: &[Workspace]) -> Self {
        Self {
            workspaces: workspaces.to_vec(),
            published: Cell::new(0),
            outcomes: RefCell::default(),
            acknowledged: watch::Sender::new(0),
        }
    }

    /// The outcomes by the event's number.
    pub(crate) fn outcomes(&self) -> HashMap<u64, Outcome> {
        self.outcomes.borrow().clone()
    }

    /// Waits until so many more were acknowledged than at the first poll.
    pub(crate) async fn acknowledged_more(&self, count: u64) {
        let mut acknowledged = self.acknowledged.subscribe();
        let wanted = *acknowledged.borrow() + count;
        // Fails only without a sender, and the sender is ours.
        let _ = acknowledged.wait_for(|number| *number >= wanted).await;
    }

    /// Publishes until the server refuses or is gone.
    pub(crate) async fn publish_until_refused(&self) {
        let over = Cell::new(false);
        let publishers =
            (0..WORKSPACES * CONNECTIONS).map(|number| self.publisher(number % WORKSPACES, &over));
        join_all(publishers).await;
    }

    async fn publisher(&self, workspace: usize, over: &Cell<bool>) {
        while !over.get() {
            let nth = self.published.replace(self.published.get() + 1);
            let number = post::number(nth, workspace);
            let outcome = self.publish(workspace, number).await;
            if matches!(outcome, Outcome::Acknowledged(_)) {
                self.acknowledged.send_modify(|number| *number += 1);
            } else {
                over.set(true);
            }
            self.outcomes.borrow_mut().insert(number, outcome);
        }
    }

    async fn publish(&self, workspace: usize, number: u64) -> Outcome {
        let workspace = &self.workspaces[workspace];
        let path = workspace.path("/events/publish");
        let body = Bytes::from(post::body(number));
        match workspace.caller.try_send("POST", &path, &JSON, body).await {
            Ok(answer) if answer.status == 200 => {
                Outcome::Acknowledged(event_id(&answer).parse().expect("an event's id is a UUID"))
            }
            Ok(answer) if answer.code() == "OVERLOADED" => Outcome::Refused,
            Ok(answer) => {
                answer.expect_problem(503, "STORAGE_UNAVAILABLE");
                Outcome::Unknown
            }
            Err(_) => Outcome::Unknown,
        }
    }
}

//! The publishers: several connections into each workspace, as fast as events are recorded and delivered.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use pointsman_clock::Clock;
use pointsman_test_kit::Workspace;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    event::{Event, WORKSPACES},
    numbers::Numbers,
    receivers::Taken,
};

/// Connections into one workspace.
const CONNECTIONS: u64 = 8;
/// Events that may be acknowledged and not delivered yet. Otherwise the load would be one that is recorded faster than
/// it is delivered: then everything grows, and has to.
const MOST_UNDELIVERED: u64 = 20_000;
/// Between two looks whether enough is delivered.
const LOOK: Duration = Duration::from_millis(5);

pub(crate) struct Publishers {
    workspaces: Vec<Workspace>,
    taken: Arc<Taken>,
    pub(crate) acknowledged: Numbers,
    /// The number of the next event of each workspace, in turns: all numbers below are given away.
    next: Cell<u64>,
    over: Cell<bool>,
    latencies: RefCell<Vec<Duration>>,
    refused: RefCell<Refused>,
}

/// Publishes that were not acknowledged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refused {
    pub(crate) count: u64,
    pub(crate) first: Option<String>,
}

impl Publishers {
    pub(crate) fn new(workspaces: &[Workspace], taken: &Arc<Taken>) -> Self {
        Self {
            workspaces: workspaces.to_vec(),
            taken: Arc::clone(taken),
            acknowledged: Numbers::default(),
            next: Cell::new(0),
            over: Cell::new(false),
            latencies: RefCell::default(),
            refused: RefCell::default(),
        }
    }

    /// Publishes until [`Publishers::stop`]; returns when all answers are in.
    pub(crate) async fn publish(&self) {
        join_all((0..WORKSPACES * CONNECTIONS).map(|_| self.publisher())).await;
    }

    pub(crate) fn stop(&self) {
        self.over.set(true);
    }

    /// All events that have been begun have a number below this one.
    pub(crate) fn begun(&self) -> u64 {
        self.next.get()
    }

    pub(crate) fn refused(&self) -> Refused {
        self.refused.borrow().clone()
    }

    /// What the publishes since the last call took.
    pub(crate) fn take_latencies(&self) -> Vec<Duration> {
        self.latencies.take()
    }

    async fn publisher(&self) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.over.get() {
            if self.acknowledged.count() > self.taken.by_good.count() + MOST_UNDELIVERED {
                looks.tick().await;
                continue;
            }
            let event = Event(self.next.replace(self.next.get() + 1));
            self.publish_one(event).await;
        }
    }

    async fn publish_one(&self, event: Event) {
        const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
        let workspace = &self.workspaces[event.workspace()];
        let path = workspace.path("/events/publish");
        let asked = Clock.instant();
        let answer = workspace
            .caller
            .try_send("POST", &path, &JSON, Bytes::from(event.body()));
        let why = match answer.await {
            Ok(answer) if answer.status == 200 => {
                self.latencies.borrow_mut().push(Clock.elapsed(asked));
                self.acknowledged.insert(event.0);
                return;
            }
            Ok(answer) => format!("{}: {}", answer.status, answer.shown()),
            Err(error) => error,
        };
        let mut refused = self.refused.borrow_mut();
        refused.count += 1;
        refused.first.get_or_insert(why);
    }
}

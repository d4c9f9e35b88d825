//! Publishers that go on while things break, and what they were told.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use pointsman_clock::Clock;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    client::Answer,
    eventually::PATIENCE,
    workspace::{Workspace, event_id},
};

const PUBLISHERS: usize = 8;
/// Between two publishes of one publisher: refusals come at once, and would otherwise be all that happens.
const PACE: Duration = Duration::from_millis(10);

/// A load on one workspace. Run [`Load::publish`] beside the script of the test, which ends it by
/// [`Load::stop`].
pub struct Load {
    workspace: Workspace,
    /// Each publish has an `Idempotency-Key` and is sent again until it is acknowledged.
    keyed: bool,
    published: Cell<u64>,
    over: Cell<bool>,
    ledger: RefCell<Ledger>,
    answered: watch::Sender<(u64, u64)>,
}

/// What the publishers of a load were told.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// The number of each acknowledged publish, and its event's id.
    pub acknowledged: Vec<(u64, String)>,
    /// 503 `STORAGE_UNAVAILABLE` with `Retry-After`.
    pub refused: u64,
    /// What the slowest answer took.
    pub slowest: Duration,
    /// Every other answer, and the errors of publishes without one.
    pub others: Vec<String>,
}

impl Load {
    /// Publishes `crm.deal.closed`, each event once.
    pub fn on(workspace: &Workspace) -> Self {
        Self {
            workspace: workspace.clone(),
            keyed: false,
            published: Cell::new(0),
            over: Cell::new(false),
            ledger: RefCell::default(),
            answered: watch::Sender::new((0, 0)),
        }
    }

    /// The same load with an `Idempotency-Key`: a publish that is not acknowledged is sent again.
    pub fn keyed_on(workspace: &Workspace) -> Self {
        Self {
            keyed: true,
            ..Self::on(workspace)
        }
    }

    /// Publishes until [`Load::stop`]; returns when all answers are in.
    pub async fn publish(&self) {
        join_all((0..PUBLISHERS).map(|_| self.publisher())).await;
    }

    pub fn stop(&self) {
        self.over.set(true);
    }

    /// Waits until so many more publishes are acknowledged.
    pub async fn acknowledges(&self, count: u64) {
        self.answers(|before, now| now.0 >= before.0 + count, "acknowledged")
            .await;
    }

    /// Waits until so many more publishes are refused for want of storage.
    pub async fn is_refused(&self, count: u64) {
        self.answers(|before, now| now.1 >= before.1 + count, "refused")
            .await;
    }

    async fn answers(&self, enough: impl Fn((u64, u64), (u64, u64)) -> bool, what: &str) {
        let mut answered = self.answered.subscribe();
        let before = *answered.borrow();
        let waited = timeout(PATIENCE, answered.wait_for(|now| enough(before, *now))).await;
        assert!(
            waited.is_ok(),
            "not {what} within {PATIENCE:?}: {:?}, then {:?}; others: {:?}",
            before,
            *self.answered.borrow(),
            self.ledger.borrow().others,
        );
    }

    pub fn ledger(&self) -> Ledger {
        self.ledger.borrow().clone()
    }

    async fn publisher(&self) {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.over.get() {
            let number = self.published.replace(self.published.get() + 1);
            pace.tick().await;
            // A key whose outcome is open is settled even after the end.
            while !self.publish_once(number).await && self.keyed {
                pace.tick().await;
            }
        }
    }

    /// Whether it was acknowledged.
    async fn publish_once(&self, number: u64) -> bool {
        let body = format!(r#"{{"eventKey":"crm.deal.closed","payload":{{"number":{number}}}}}"#);
        let key = format!("load-{number}");
        let mut headers = vec![("content-type", "application/json")];
        if self.keyed {
            headers.push(("idempotency-key", &key));
        }
        let path = self.workspace.path("/events/publish");
        let asked = Clock.instant();
        let answer = self
            .workspace
            .caller
            .try_send("POST", &path, &headers, Bytes::from(body));
        let answer = answer.await;
        let took = Clock.elapsed(asked);
        self.note(number, answer, took)
    }

    fn note(&self, number: u64, answer: Result<Answer, String>, took: Duration) -> bool {
        let mut ledger = self.ledger.borrow_mut();
        ledger.slowest = ledger.slowest.max(took);
        match answer {
            Ok(answer) if answer.status == 200 => {
                ledger.acknowledged.push((number, event_id(&answer)));
                self.answered.send_modify(|answered| answered.0 += 1);
                return true;
            }
            Ok(answer)
                if (answer.status, answer.code().as_str()) == (503, "STORAGE_UNAVAILABLE")
                    && answer.header("retry-after").is_some() =>
            {
                ledger.refused += 1;
                self.answered.send_modify(|answered| answered.1 += 1);
            }
            // The publish before it is still being decided.
            Ok(answer) if self.keyed && answer.code() == "IDEMPOTENCY_KEY_IN_USE" => {}
            Ok(answer) => ledger
                .others
                .push(format!("{}: {}", answer.status, answer.shown())),
            Err(error) => ledger.others.push(error),
        }
        false
    }
}

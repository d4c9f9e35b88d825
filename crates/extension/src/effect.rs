//! What a handler wants done exactly once.

use std::fmt;

use futures_util::future::BoxFuture;
use sea_orm::DatabaseTransaction;

use super::{HandlerError, Publication};
use pointsman_panics::Guarded;

/// The database writes of an effect.
pub type EffectWork = Box<
    dyn for<'a> FnOnce(&'a DatabaseTransaction) -> BoxFuture<'a, Result<(), HandlerError>> + Send + 'static,
>;

/// Writes to Pointsman's database and events, which become durable in one transaction with the end of the
/// delivery: a crash can neither lose nor repeat them. A handler returns it instead of `()`.
///
/// The writes run on the one connection that writes, so they have to be short: after `in_process.effect_timeout`
/// they are rolled back, which is a failed attempt. They must neither commit nor roll back themselves: SQLite refuses
/// it, PostgreSQL cannot, and both cost the server its connection or the transaction, the effect its attempt. What a
/// constraint refuses only at the commit is a failed attempt, too.
#[must_use = "an effect is done only if the handler returns it"]
pub struct Effect {
    pub(crate) work: Option<Guarded<EffectWork>>,
    pub(crate) publications: Vec<Publication>,
}

impl Effect {
    /// The writes of `work`.
    pub fn new<F>(work: F) -> Self
    where
        F: for<'a> FnOnce(&'a DatabaseTransaction) -> BoxFuture<'a, Result<(), HandlerError>>
            + Send
            + 'static,
    {
        Self {
            work: Some(Guarded::new(Box::new(work))),
            publications: Vec::new(),
        }
    }

    /// An event, and no writes.
    pub fn publishing(publication: Publication) -> Self {
        Self {
            work: None,
            publications: vec![publication],
        }
    }

    /// One more event, published in the same transaction. In the order of the calls.
    pub fn and_publish(mut self, publication: Publication) -> Self {
        self.publications.push(publication);
        self
    }
}

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effect")
            .field("writes", &self.work.is_some())
            .field("publications", &self.publications.len())
            .finish()
    }
}

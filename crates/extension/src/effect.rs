//! Writes and events that are done exactly once.

use std::fmt;

use futures_util::future::BoxFuture;
use sea_orm::DatabaseTransaction;

use super::{HandlerError, Publication};
use pointsman_panics::Guarded;

/// The database writes of an effect.
pub type EffectWork = Box<
    dyn for<'a> FnOnce(&'a DatabaseTransaction) -> BoxFuture<'a, Result<(), HandlerError>> + Send + 'static,
>;

/// The writes and the events of an effect become durable in one transaction with the end of the delivery: a crash can
/// neither lose nor repeat them. A handler returns an effect instead of `()`.
///
/// The writes run on the connection that writes the log, so they have to be short. After `in_process.effect_timeout`
/// (250 ms unless it is configured otherwise) they are rolled back, and the attempt has failed. The attempt has also
/// failed where a constraint refuses the writes at the commit.
///
/// The writes must neither commit nor roll back the transaction. SQLite refuses that, PostgreSQL cannot refuse it. In
/// both cases the server loses its connection or the transaction, and the attempt fails. A transaction within it, which
/// [`begin`](sea_orm::TransactionTrait::begin) gives, must be ended before the work ends: one that is left open costs
/// the server its connection. What the writes set for the session (`SET`, PostgreSQL) ends with them.
#[must_use = "an effect is done only if the handler returns it"]
pub struct Effect {
    pub(crate) work: Option<Guarded<EffectWork>>,
    pub(crate) publications: Vec<Publication>,
}

impl Effect {
    /// An effect with the writes of `work`, which gets the open transaction. An error rolls them back and fails the
    /// attempt, as an error of the handler does.
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

    /// An effect that publishes an event and writes nothing.
    pub fn publishing(publication: Publication) -> Self {
        Self {
            work: None,
            publications: vec![publication],
        }
    }

    /// Adds an event, which is published in the same transaction. Events are recorded in the order of the calls.
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

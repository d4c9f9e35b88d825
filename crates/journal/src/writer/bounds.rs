//! How long the storage may take.

use std::time::Duration;

use tokio::time::timeout;

use crate::storage::Outcome;

/// A transaction that takes longer has an unknown outcome, and its connection is thrown away.
pub(super) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(5);

/// How long publishers wait for the answer to a batch of unknown outcome, its second write included; and how long the
/// first attempt at a new connection may take before waiting callers are refused.
pub(super) const UNKNOWN_PATIENCE: Duration = Duration::from_secs(3);

/// Runs the transaction. One that takes longer than [`TRANSACTION_TIMEOUT`] has an unknown outcome.
pub(super) async fn bounded<T, E>(transaction: impl Future<Output = Outcome<T, E>>) -> Outcome<T, E> {
    match timeout(TRANSACTION_TIMEOUT, transaction).await {
        Ok(outcome) => outcome,
        Err(_) => {
            log::error!(seconds = TRANSACTION_TIMEOUT.as_secs(); "a transaction took too long");
            Outcome::Unknown
        }
    }
}

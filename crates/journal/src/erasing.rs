//! Erases what is left of an event whose payload was erased from the log, in pieces.

use pointsman_domain::id::{EventId, WorkspaceId};

use crate::{
    change::Change,
    errors::StorageUnavailable,
    prune::{ErasedTable, Piece},
    pruner::Pruner,
};

/// Rows of one piece.
const ROWS: u64 = 200;

/// Erases what dead letters, attempts, retries and chat messages hold of the event.
///
/// # Errors
/// See [`Pruner::prune`].
pub async fn erase_the_rest(
    pruner: &Pruner,
    workspace: WorkspaceId,
    event: EventId,
) -> Result<(), StorageUnavailable> {
    for table in ErasedTable::ALL {
        let piece = Piece::Erased {
            workspace,
            event,
            table,
            limit: ROWS,
        };
        while pruner.prune(piece.clone()).await?.rows == ROWS {}
    }
    // Where the workspace was deleted meanwhile, nothing is left to be said of the event.
    pruner.change(Change::EndErasure { workspace, event }).await
}

//! The durable log: one writer that commits events, settlements and the changes of admins in groups, and readers beside
//! it.
//!
//! The way of an event: a publisher gets a permit of `admission`, and `handle` sends the append to the `writer`.
//! A `batch` takes it into the next transaction. `writer/commit.rs` commits the transaction through the ports of
//! [`storage`], answers the publisher, and tells the router by a `notice`. Effects of handlers are run by
//! `writer/effects.rs`; attaches and changes by `writer/jobs.rs`.
//!
//! What it guarantees:
//! - A publisher is answered after its events are durable; positions are gapless and in commit order.
//! - Settlements of a lane are durable in the order sent, and refused once a successor has attached.
//! - A lost connection is replaced. A batch whose outcome is unknown is resolved by the ids of its events before
//!   anything else is written.
//! - Notices reach the router in commit order.

pub mod admin;
mod admission;
mod attempts;
mod batch;
pub mod change;
pub mod changes;
pub mod command;
mod corrupt;
mod due;
pub mod effects;
pub mod erasing;
pub mod errors;

mod handle;
mod health;
mod idempotency;
mod job;
mod notice;
mod parts;
pub mod prune;
mod pruner;
pub mod storage;
mod writer;

pub use self::{
    admission::{Admission, Permit, WorkspaceAdmission},
    command::{Append, Attached, AttemptRecord, LetterCommand, SettleCommand},
    corrupt::CorruptRows,
    due::{DueRow, Moment, Rested},
    effects::{EffectCommand, EffectEnd, EffectFailure, EffectOf, EffectWork},
    errors::{AppendError, ChangeError, SettleError, StorageUnavailable},
    handle::Journal,
    health::{Health, StorageTrouble},
    notice::{Notice, NoticeSink},
    parts::JournalParts,
    pruner::Pruner,
    writer::Writer,
};

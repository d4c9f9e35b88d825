//! The actors: from a publish to the end of its deliveries.
//!
//! - [`EventRouter`] is the handle for other crates. It finds the WorkspaceActor of a workspace, starts it
//!   where there is none, and sends a publish once more where it was lost with an actor that died.
//! - `WorkspaceActor` owns what is cached of a workspace and supervises its delivery actors.
//! - `DeliveryActor` runs the lane of one installation; `ExternalDeliveryActor` is the one that attempts over
//!   HTTP.
//! - `DeadLetterActor` writes dead letters and starts their replays. `RouterSupervisor` wakes workspaces that have
//!   something to do, and replaces WorkspaceActors that die.

pub mod actors;
mod alarm;
mod answers;
mod dead_letters;
mod delivery;
mod directory;
mod erased;
mod event_router;
mod external_delivery;
mod failed;
mod handshake;
mod idleness;
mod in_process;
mod incarnation;
mod lines;
mod lock;
mod looks;
mod mail;
mod publish;
mod restarts;
mod ring;
mod settings;
mod shared;
mod supervisor;
mod waker;
mod workspace;

pub use pointsman_journal::ChangeError;

pub use self::{
    answers::{LaneHealth, NotReady, PublishError},
    event_router::{EventRouter, Notices},
    settings::{HandledCall, InProcessSettings, OpenSecret, RouterSettings, Watch},
};

#[cfg(test)]
mod tests;

//! What the actors are told, and the addresses under which they are told it. No actor's type stands here, so that
//! whoever sends a message knows nothing of the one who takes it.

mod accepts;
pub(crate) mod dead_letters;
pub(crate) mod delivery;
mod handover;
pub(crate) mod origin;
pub(crate) mod supervisor;
pub(crate) mod workspace;

pub(crate) use self::{
    accepts::{Accepts, actor_of},
    handover::Handover,
};

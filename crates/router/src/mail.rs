//! The messages of the actors, and the addresses that accept them. No actor's type stands here, so that the sender of a
//! message does not depend on the actor that handles it.

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

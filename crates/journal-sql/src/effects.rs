//! Effects: the work of handlers inside transactions, and the marks of effects that are done.

mod bounds;
mod slow;
mod sql;
mod threads;
mod work;

pub(crate) use self::{
    bounds::Bounds,
    slow::SlowEffectsConnection,
    sql::{EffectStepError, are_done, before_commit, has_marks, run},
    threads::EffectThread,
};

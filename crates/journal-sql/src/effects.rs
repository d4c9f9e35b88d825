//! Effects: the work of handlers in transactions, and its marks.

mod aside;
mod bounds;
mod sql;
mod threads;
mod work;

pub(crate) use self::{
    aside::Aside,
    bounds::Bounds,
    sql::{EffectStepError, are_done, has_marks, run},
    threads::EffectThread,
};

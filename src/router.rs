//! (stub, replaced in the next commits)
pub mod external;

//! (stub, replaced in the next commits)

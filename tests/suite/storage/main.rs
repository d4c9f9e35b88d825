//! What is durable stays so: databases that are cut, full, copied, corrupt or claimed.
//!
//! Black-box tests of the real binary over real HTTP, on both databases. Each module holds the tests of one promise.

mod backlog;
mod care;
mod claim;
mod corrupt;
mod crash;
mod deletions;
mod idempotency;
mod idle_workspaces;
mod master_key;
mod outage;
mod private_files;
mod restart;
mod versions;
mod write_ahead_log;

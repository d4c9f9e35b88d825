//! The cost of the pure parts on the way of an event, each alone and in one thread:
//!
//! ```text
//! cargo bench --bench micro [-- FILTER]
//! ```
//!
//! | group | measures |
//! | --- | --- |
//! | `matching` | the look-up of the subscriptions that match an event, among few and many patterns of a workspace |
//! | `signature` | the signature of a delivery |
//! | `body` | the body of a delivery |
//! | `lane` | all steps of a lane from an event read to its settlement |
//!
//! `cargo test` runs each of them once, so that they keep working.

mod bodies;
mod events;
mod lanes;
mod matching;
mod signatures;

use criterion::Criterion;

/// The allocator of the server, so that an allocation costs the same here.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let mut criterion = Criterion::default().without_plots().configure_from_args();
    matching::measure(&mut criterion);
    signatures::measure(&mut criterion);
    bodies::measure(&mut criterion);
    lanes::measure(&mut criterion);
    criterion.final_summary();
}

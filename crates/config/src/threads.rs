//! Numbers of threads.

/// The number of threads that a setting asks for, where 0 means one per core.
pub(super) fn threads_or_cores(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        chosen => chosen,
    }
}

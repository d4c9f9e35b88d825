//! Freed memory that the allocator keeps.

/// Gives it back to the system. The allocator itself does so only when it is asked for memory again, which may be
/// never in a server that idles.
///
/// It takes some milliseconds, of a thread that may block. Nothing happens in a host with another allocator.
pub(super) fn give_back() {
    #[expect(unsafe_code, reason = "the crate of the allocator has no safe call for it")]
    // SAFETY: it looks at the heap of the calling thread, and at memory that no thread has. It may be called by any
    // thread at any time.
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}

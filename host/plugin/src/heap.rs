/// Gives memory that was freed back to the operating system. The compiler frees hundreds of megabytes in small pieces, most
/// of which glibc would keep.
#[allow(unsafe_code, reason = "a C function; the body says why the call is sound")]
pub(crate) fn release_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes no pointer, touches only memory that is free, and may be called by any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

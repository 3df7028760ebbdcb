//! Standard output and standard error, which their readers may close at any time, as `head` does. Rust's `println!` panics
//! then.

use std::fmt;
use std::io::{self, ErrorKind, Write, stderr, stdout};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// True once nobody reads standard output any more.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Prints to standard output.
macro_rules! out {
    ($($text:tt)*) => { $crate::output::print(format_args!($($text)*)) };
}

/// Prints a line to standard output.
macro_rules! outln {
    ($($text:tt)*) => { $crate::output::print(format_args!("{}\n", format_args!($($text)*))) };
}

/// Prints a line to standard error.
macro_rules! errln {
    ($($text:tt)*) => { $crate::output::print_error(format_args!($($text)*)) };
}

pub(crate) use {errln, out, outln};

/// Prints nothing if the reader is gone: the verb goes on to its end and its exit code. One that never ends checks
/// [`is_closed`].
pub(crate) fn print(text: fmt::Arguments<'_>) {
    let mut out = stdout().lock();
    // In one piece, so that a reader never sees half of it.
    match out.write_all(text.to_string().as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => CLOSED.store(true, Relaxed),
        Err(error) => {
            errln!("quotegate: could not write to standard output: {error}");
            std::process::exit(1);
        }
        Ok(()) => {}
    }
}

pub(crate) fn print_error(text: fmt::Arguments<'_>) {
    // There is nowhere else to report this.
    let _ = stderr().lock().write_all(format!("{text}\n").as_bytes());
}

/// True once nobody reads standard output any more.
pub(crate) fn is_closed() -> bool {
    CLOSED.load(Relaxed)
}

/// True if the reader of standard output has closed it, for those who write many lines through a buffer.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|error| error.kind() == ErrorKind::BrokenPipe)
}

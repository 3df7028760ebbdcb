//! When a quote may be written.
//!
//! Pure values and functions: time and randomness are passed in. Knows nothing of tokio, plugins or Firestore.

mod backoff;

pub use backoff::{Backoff, BackoffProblem};

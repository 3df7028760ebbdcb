//! When a quote may be written.
//!
//! | question | answer |
//! |---|---|
//! | which quote of a symbol is worth writing, and from when on | [`LatestTable`] |
//! | how many writes a second in all, and for one tenant | [`TokenBucket`] of a [`Rate`] |
//! | whose turn is it | [`Pacer`] |
//! | how long to wait after a failure | [`Backoff`] |
//!
//! Pure values and functions: time and randomness are passed in. Knows nothing of tokio, plugins or Firestore.

mod backoff;
mod bucket;
mod latest;
mod pacer;

pub use backoff::{Backoff, BackoffError};
pub use bucket::{Rate, RateError, TokenBucket};
pub use latest::{Accepted, LatestTable, Resolution};
pub use pacer::{Lane, Pacer};

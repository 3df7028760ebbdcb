//! When a quote may be written.
//!
//! | question | answer |
//! |---|---|
//! | which quote of a symbol to write, and when | [`LatestTable`] |
//! | how many writes per second, overall and per tenant | [`TokenBucket`] of a [`Rate`] |
//! | which tenant writes next | [`Pacer`] |
//! | how long to wait after a failure | [`Backoff`] |
//!
//! Pure: time and randomness are passed in. Knows nothing of tokio, plugins or Firestore.

mod backoff;
mod bucket;
mod latest;
mod pacer;

pub use backoff::{Backoff, BackoffError};
pub use bucket::{Rate, RateError, TokenBucket};
pub use latest::{Accepted, LatestTable, Resolution};
pub use pacer::{Lane, Pacer};

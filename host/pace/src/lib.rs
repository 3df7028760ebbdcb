//! When a quote may be written, and whose turn it is.
//!
//! | question | answer |
//! |---|---|
//! | which quote of a symbol to write, and when | [`LatestTable`] |
//! | how many writes per second, overall and per tenant | [`TokenBucket`] of a [`Rate`] |
//! | which tenant writes next | [`Pacer`] |
//! | which tenant runs next | [`FairQueue`] |
//! | how long to wait after a failure | [`Backoff`] |
//!
//! Pure: time and randomness are passed in. Knows nothing of tokio, plugins or Firestore.

mod backoff;
mod bucket;
mod fair_queue;
mod latest;
mod pacer;

pub use backoff::{Backoff, BackoffError};
pub use bucket::{Rate, RateError, TokenBucket};
pub use fair_queue::{DEFAULT_WEIGHT, FairQueue, MemberId, TurnLength};
pub use latest::{Accepted, LatestTable, Resolution};
pub use pacer::{Lane, Pacer};

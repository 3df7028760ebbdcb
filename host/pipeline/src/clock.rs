//! The wall clock.

use jiff::Timestamp;
use quotegate_market::UnixNanos;

/// The current time.
pub fn unix_now() -> UnixNanos {
    UnixNanos::try_from(Timestamp::now().as_nanosecond()).unwrap_or(UnixNanos::MAX)
}

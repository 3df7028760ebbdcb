use std::time::{SystemTime, UNIX_EPOCH};

use quotegate_market::UnixNanos;

/// The time of the wall clock, which two hosts compare to tell how long a message took.
pub(crate) fn wall_clock() -> UnixNanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixNanos::try_from(since.as_nanos()).unwrap_or(UnixNanos::MAX)
}

use jiff::Timestamp;

/// Nanoseconds since 1970-01-01 UTC.
pub(crate) fn unix_nanos() -> i64 {
    i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

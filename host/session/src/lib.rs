//! stub

/// stub
pub fn us_equities_open(_unix_nanos: i64, _extended_hours: bool) -> bool {
    true
}

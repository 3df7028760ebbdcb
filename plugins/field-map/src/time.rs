use quotegate_market_hours::Date;

const MICROS_A_DAY: i64 = 86_400_000_000;

/// The day in UTC, such as 2026-01-14.
pub(crate) fn iso_date(nanos: i64) -> String {
    let Date { year, month, day } = Date::from_days(nanos.div_euclid(MICROS_A_DAY * 1_000));
    format!("{year:04}-{month:02}-{day:02}")
}

/// The time in UTC, such as 2026-01-14T13:45:00.000001Z.
pub(crate) fn iso_text(nanos: i64) -> String {
    let micros = nanos.div_euclid(1_000).rem_euclid(MICROS_A_DAY);
    let seconds = micros / 1_000_000;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}.{:06}Z", iso_date(nanos), micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc_with_microseconds_before_and_after_1970() {
        assert_eq!(iso_text(1_768_398_300_000_001_999), "2026-01-14T13:45:00.000001Z");
        assert_eq!(iso_text(-1), "1969-12-31T23:59:59.999999Z");
    }
}

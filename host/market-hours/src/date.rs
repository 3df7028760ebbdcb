/// A day of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// The year.
    pub year: i32,
    /// From 1.
    pub month: u8,
    /// From 1.
    pub day: u8,
}

/// Local time in New York.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewYorkTime {
    /// The day.
    pub date: Date,
    /// Minutes since midnight, from 0 to 1439.
    pub minute: u16,
}

const SECONDS_PER_DAY: i64 = 86_400;
/// Eastern standard time and daylight saving time, in seconds east of UTC.
const STANDARD: i64 = -5 * 3600;
const DAYLIGHT: i64 = -4 * 3600;

/// Converts to New York time by the rule in force since 2007: daylight saving time from the second Sunday of March to the
/// first Sunday of November, changing at 2:00 local time.
pub fn new_york(unix_nanos: i64) -> NewYorkTime {
    let seconds = unix_nanos.div_euclid(1_000_000_000);
    let year = Date::from_days((seconds + STANDARD).div_euclid(SECONDS_PER_DAY)).year;
    let starts = Date { year, month: 3, day: nth_sunday(year, 3, 2) }.days() * SECONDS_PER_DAY + 2 * 3600 - STANDARD;
    let ends = Date { year, month: 11, day: nth_sunday(year, 11, 1) }.days() * SECONDS_PER_DAY + 2 * 3600 - DAYLIGHT;
    let offset = if (starts..ends).contains(&seconds) { DAYLIGHT } else { STANDARD };
    let local = seconds + offset;
    NewYorkTime {
        date: Date::from_days(local.div_euclid(SECONDS_PER_DAY)),
        minute: (local.rem_euclid(SECONDS_PER_DAY) / 60) as u16,
    }
}

fn nth_sunday(year: i32, month: u8, n: u8) -> u8 {
    nth_weekday(year, month, 0, n)
}

/// The day of the month of the n-th `weekday` (0: Sunday), from 1.
pub(crate) fn nth_weekday(year: i32, month: u8, weekday: u8, n: u8) -> u8 {
    let first = Date { year, month, day: 1 }.weekday();
    1 + (7 + weekday - first) % 7 + 7 * (n - 1)
}

impl Date {
    /// Days since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
    pub fn days(self) -> i64 {
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        // Counting years from March puts the leap day last.
        let year = i64::from(self.year) - i64::from(month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }

    /// The inverse of [`Date::days`]; same source.
    pub fn from_days(days: i64) -> Self {
        let days = days + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { year: year as i32, month: month as u8, day: day as u8 }
    }

    /// 0: Sunday, 6: Saturday.
    pub fn weekday(self) -> u8 {
        // 1970-01-01 was a Thursday.
        (self.days() + 4).rem_euclid(7) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn new_york_agrees_with_the_time_zone_database(second in 1_175_000_000_i64..4_102_444_800) {
            let moment = jiff::Timestamp::from_second(second).unwrap();
            let zoned = moment.in_tz("America/New_York").unwrap();
            let ours = new_york(second * 1_000_000_000);
            prop_assert_eq!(ours.date.year, i32::from(zoned.year()));
            prop_assert_eq!((ours.date.month, ours.date.day), (zoned.month() as u8, zoned.day() as u8));
            prop_assert_eq!(ours.minute, zoned.hour() as u16 * 60 + zoned.minute() as u16);
            prop_assert_eq!(ours.date.weekday(), zoned.weekday().to_sunday_zero_offset() as u8);
        }

        #[test]
        fn a_date_round_trips(days in -1_000_000_i64..1_000_000) {
            prop_assert_eq!(Date::from_days(days).days(), days);
        }
    }

    #[test]
    fn the_clock_changes_at_two() {
        let at = |text: &str| {
            let moment: jiff::Timestamp = text.parse().unwrap();
            new_york(i64::try_from(moment.as_nanosecond()).unwrap()).minute
        };
        assert_eq!((at("2026-03-08T06:59:00Z"), at("2026-03-08T07:00:00Z")), (60 + 59, 3 * 60));
        assert_eq!((at("2026-11-01T05:59:00Z"), at("2026-11-01T06:00:00Z")), (60 + 59, 60));
    }
}

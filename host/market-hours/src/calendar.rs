use crate::date::{Date, nth_weekday};

/// Whether the exchanges are open on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TradingDay {
    /// A weekend or a holiday.
    Holiday,
    /// A trading day.
    Open {
        /// When the regular session ends, in minutes after midnight in New York.
        close: u16,
    },
}

const CLOSE: u16 = 16 * 60;
const EARLY_CLOSE: u16 = 13 * 60;

const SUNDAY: u8 = 0;
const MONDAY: u8 = 1;
const THURSDAY: u8 = 4;
const FRIDAY: u8 = 5;
const SATURDAY: u8 = 6;

/// Whether the New York Stock Exchange is open on `date`.
pub fn trading_day(date: Date) -> TradingDay {
    let weekday = date.weekday();
    if weekday == SUNDAY || weekday == SATURDAY || is_holiday(date) {
        return TradingDay::Holiday;
    }
    TradingDay::Open { close: if is_early_close(date) { EARLY_CLOSE } else { CLOSE } }
}

fn is_holiday(date: Date) -> bool {
    let Date { year, month, day } = date;
    let is_nth = |weekday, n| day == nth_weekday(year, month, weekday, n);
    match month {
        // New Year's Day on a Saturday is not observed on the Friday, because that is the last day of the old year.
        1 => day == 1 || (day == 2 && date.weekday() == MONDAY) || is_nth(MONDAY, 3),
        2 => is_nth(MONDAY, 3),
        3 | 4 => date.days() == easter(year).days() - 2,
        5 => date.weekday() == MONDAY && day > 24,
        6 => year >= 2022 && is_observed(date, 19),
        7 => is_observed(date, 4),
        9 => is_nth(MONDAY, 1),
        11 => is_nth(THURSDAY, 4),
        12 => is_observed(date, 25),
        _ => false,
    }
}

/// A holiday on a Saturday is observed on the Friday before, one on a Sunday on the Monday after.
fn is_observed(date: Date, holiday: u8) -> bool {
    date.day == holiday
        || (date.day + 1 == holiday && date.weekday() == FRIDAY)
        || (date.day == holiday + 1 && date.weekday() == MONDAY)
}

/// The day after Thanksgiving, Christmas Eve, and July 3 if July 4 is a weekday.
fn is_early_close(date: Date) -> bool {
    let Date { year, month, day } = date;
    match month {
        7 => day == 3 && date.weekday() != FRIDAY,
        11 => day == nth_weekday(year, 11, THURSDAY, 4) + 1,
        12 => day == 24,
        _ => false,
    }
}

/// Easter Sunday (the anonymous Gregorian computus).
fn easter(year: i32) -> Date {
    let a = year % 19;
    let (b, c) = (year / 100, year % 100);
    let (d, e) = (b / 4, b % 4);
    let g = (8 * b + 13) / 25;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 22 * l) / 451;
    let sum = h + l - 7 * m + 114;
    Date { year, month: (sum / 31) as u8, day: (sum % 31 + 1) as u8 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holidays and early closes as published by the New York Stock Exchange, without the day of mourning on 2025-01-09,
    /// which follows no rule.
    const HOLIDAYS: &[(i32, &[(u8, u8)])] = &[
        (2022, &[(1, 17), (2, 21), (4, 15), (5, 30), (6, 20), (7, 4), (9, 5), (11, 24), (12, 26)]),
        (2023, &[(1, 2), (1, 16), (2, 20), (4, 7), (5, 29), (6, 19), (7, 4), (9, 4), (11, 23), (12, 25)]),
        (2024, &[(1, 1), (1, 15), (2, 19), (3, 29), (5, 27), (6, 19), (7, 4), (9, 2), (11, 28), (12, 25)]),
        (2025, &[(1, 1), (1, 20), (2, 17), (4, 18), (5, 26), (6, 19), (7, 4), (9, 1), (11, 27), (12, 25)]),
        (2026, &[(1, 1), (1, 19), (2, 16), (4, 3), (5, 25), (6, 19), (7, 3), (9, 7), (11, 26), (12, 25)]),
        (2027, &[(1, 1), (1, 18), (2, 15), (3, 26), (5, 31), (6, 18), (7, 5), (9, 6), (11, 25), (12, 24)]),
    ];
    const EARLY_CLOSES: &[(i32, &[(u8, u8)])] = &[
        (2022, &[(11, 25)]),
        (2023, &[(7, 3), (11, 24)]),
        (2024, &[(7, 3), (11, 29), (12, 24)]),
        (2025, &[(7, 3), (11, 28), (12, 24)]),
        (2026, &[(11, 27), (12, 24)]),
        (2027, &[(11, 26)]),
    ];

    fn weekdays(year: i32) -> impl Iterator<Item = Date> {
        let (from, to) = (Date { year, month: 1, day: 1 }, Date { year: year + 1, month: 1, day: 1 });
        (from.days()..to.days()).map(Date::from_days).filter(|date| (1..=5).contains(&date.weekday()))
    }

    #[test]
    fn holidays_match_those_published_by_the_exchange() {
        for (year, expected) in HOLIDAYS {
            let holidays = weekdays(*year).filter(|date| trading_day(*date) == TradingDay::Holiday);
            assert_eq!(holidays.map(|date| (date.month, date.day)).collect::<Vec<_>>(), *expected, "{year}");
        }
    }

    #[test]
    fn early_closes_match_those_published_by_the_exchange() {
        for (year, expected) in EARLY_CLOSES {
            let early = weekdays(*year).filter(|date| trading_day(*date) == TradingDay::Open { close: EARLY_CLOSE });
            assert_eq!(early.map(|date| (date.month, date.day)).collect::<Vec<_>>(), *expected, "{year}");
        }
    }
}

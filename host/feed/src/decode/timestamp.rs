//! Parses RFC 3339 times to nanoseconds. Hand-written, because it runs once per quote.

use quotegate_market::UnixNanos;
use quotegate_market_hours::Date;

const SECOND: i64 = 1_000_000_000;
const POWERS: [i64; 10] = [1_000_000_000, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];

/// Midnight of the last date seen: nearly all quotes of a day have the same date.
#[derive(Debug, Clone)]
pub(super) struct DateCache {
    date: [u8; 10],
    midnight: UnixNanos,
}

impl Default for DateCache {
    fn default() -> Self {
        Self { date: *b"1970-01-01", midnight: 0 }
    }
}

impl DateCache {
    fn midnight(&mut self, date: &[u8; 10]) -> Option<UnixNanos> {
        if *date != self.date {
            self.midnight = midnight(date)?;
            self.date = *date;
        }
        Some(self.midnight)
    }
}

/// Parses the UTC time (ending in `Z`) at the start of `bytes` and returns its length.
#[inline(always)]
pub(super) fn utc_prefix(bytes: &[u8], dates: &mut DateCache) -> Option<(UnixNanos, usize)> {
    let (local, taken) = local_prefix(bytes, dates)?;
    (*bytes.get(taken)? == b'Z').then_some((local, taken + 1))
}

/// Parses all of `text`, with `Z` or an offset such as `-04:00`.
pub(super) fn rfc3339(text: &[u8], dates: &mut DateCache) -> Option<UnixNanos> {
    let (local, taken) = local_prefix(text, dates)?;
    match &text[taken..] {
        [b'Z' | b'z'] => Some(local),
        &[sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two_digits(h1, h2)?, two_digits(m1, m2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = (hours * 60 + minutes) * 60 * SECOND;
            if sign == b'+' { local.checked_sub(offset) } else { local.checked_add(offset) }
        }
        _ => None,
    }
}

#[inline(always)]
fn local_prefix(bytes: &[u8], dates: &mut DateCache) -> Option<(UnixNanos, usize)> {
    let (date, rest) = bytes.split_first_chunk::<10>()?;
    let (&[t, h1, h2, c1, m1, m2, c2, s1, s2], rest) = rest.split_first_chunk::<9>()?;
    if !matches!(t, b'T' | b't') || c1 != b':' || c2 != b':' {
        return None;
    }
    let (hours, minutes, seconds) = (two_digits(h1, h2)?, two_digits(m1, m2)?, two_digits(s1, s2)?);
    // 60 is a leap second; it counts as the first second of the next minute.
    if hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let (fraction, digits) = fraction(rest)?;
    let of_day = (hours * 3600 + minutes * 60 + seconds) * SECOND + fraction;
    Some((dates.midnight(date)?.checked_add(of_day)?, 19 + digits))
}

/// The fraction in nanoseconds, and its length including the dot. Digits after the ninth are dropped.
#[inline(always)]
fn fraction(bytes: &[u8]) -> Option<(i64, usize)> {
    if bytes.first() != Some(&b'.') {
        return Some((0, 0));
    }
    let mut value = 0_i64;
    let mut digits = 0;
    for byte in &bytes[1..] {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        if digits < 9 {
            value = value * 10 + i64::from(digit);
        }
        digits += 1;
    }
    (digits > 0).then(|| (value * POWERS[digits.min(9)], digits + 1))
}

#[inline]
fn two_digits(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| i64::from(tens) * 10 + i64::from(ones))
}

/// Midnight of `YYYY-MM-DD`, for years that fit in an `i64` of nanoseconds.
fn midnight(date: &[u8; 10]) -> Option<UnixNanos> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = date else { return None };
    let (year, month, day) =
        (two_digits(y1, y2)? * 100 + two_digits(y3, y4)?, two_digits(m1, m2)?, two_digits(d1, d2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) || !(1678..=2261).contains(&year) {
        return None;
    }
    Some(Date { year: year as i32, month: month as u8, day: day as u8 }.days() * 86_400 * SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<i64> {
        rfc3339(text.as_bytes(), &mut DateCache::default())
    }

    #[test]
    fn every_number_of_fraction_digits_keeps_its_nanoseconds() {
        let second = 1_680_782_061_000_000_000;
        for (fraction, nanos) in [
            ("", 0),
            (".6", 600_000_000),
            (".208", 208_000_000),
            (".3355677", 335_567_700),
            (".670905508", 670_905_508),
            (".6709055089", 670_905_508),
        ] {
            assert_eq!(parse(&format!("2023-04-06T11:54:21{fraction}Z")), Some(second + nanos), "{fraction:?}");
        }
    }

    #[test]
    fn an_offset_is_subtracted() {
        assert_eq!(parse("2023-04-06T07:54:21-04:00"), parse("2023-04-06T11:54:21Z"));
        assert_eq!(parse("1970-01-01T05:30:00+05:30"), Some(0));
    }

    #[test]
    fn dates_at_the_edges_of_months_and_leap_years_are_right() {
        let day = 86_400 * SECOND;
        assert_eq!(parse("1970-01-02T00:00:00Z"), Some(day));
        assert_eq!(parse("1969-12-31T00:00:00Z"), Some(-day));
        assert_eq!(parse("2000-03-01T00:00:00Z").unwrap() - parse("2000-02-29T00:00:00Z").unwrap(), day);
        assert_eq!(parse("2024-12-31T00:00:00Z").unwrap() - parse("2024-01-01T00:00:00Z").unwrap(), 365 * day);
    }

    #[test]
    fn invalid_times_are_rejected() {
        for text in [
            "",
            "Z",
            "2023-04-06",
            "2023-04-06T11:54:21",
            "2023-04-06T11:54:21.Z",
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-04-06T24:00:00Z",
            "2023-04-06T11:60:00Z",
            "9999-01-01T00:00:00Z",
            "2023-04-06 11:54:21Z",
            "2023-04-06T11:54:21ZZ",
            "2023-04-06T11:54:21+4:00",
            "2o23-04-06T11:54:21Z",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_date_that_fails_does_not_spoil_the_cache() {
        let mut dates = DateCache::default();
        let good = rfc3339(b"2023-04-06T00:00:00Z", &mut dates);
        assert_eq!(rfc3339(b"2023-99-99T00:00:00Z", &mut dates), None);
        assert_eq!(rfc3339(b"2023-04-06T00:00:00Z", &mut dates), good);
        assert!(good.is_some());
    }
}

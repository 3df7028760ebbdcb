//! The calendar of the US stock exchanges: the trading session at any time.
//!
//! Uses its own integer arithmetic instead of a date library, because the same code also runs inside plugins, where
//! every byte counts; the tests compare it with a library. The rules are those published by the New York Stock Exchange.
//! Unscheduled closings, for a storm or a funeral, are not included.
//!
//! Knows nothing of clocks, quotes or symbols.

#![cfg_attr(not(test), no_std)]

mod calendar;
mod date;

pub use calendar::{TradingDay, trading_day};
pub use date::{Date, NewYorkTime, new_york};

/// A trading session. Times are in New York.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Session {
    /// Nights, weekends, holidays.
    Closed,
    /// 4:00 to 9:30.
    Pre,
    /// 9:30 to 16:00, or to 13:00 on early closes.
    Regular,
    /// The four hours after the regular session.
    Post,
}

const PRE: u16 = 4 * 60;
const OPEN: u16 = 9 * 60 + 30;
/// The length of after-hours trading.
const AFTER_HOURS: u16 = 4 * 60;

/// The session at a time in nanoseconds since 1970-01-01 UTC.
pub fn session_at(unix_nanos: i64) -> Session {
    let time = new_york(unix_nanos);
    let TradingDay::Open { close } = trading_day(time.date) else { return Session::Closed };
    match time.minute {
        minute if minute < PRE => Session::Closed,
        minute if minute < OPEN => Session::Pre,
        minute if minute < close => Session::Regular,
        minute if minute < close + AFTER_HOURS => Session::Post,
        _ => Session::Closed,
    }
}

/// True if US stocks are trading: in the regular session, and with `extended_hours` also before and after it.
pub fn us_equities_open(unix_nanos: i64, extended_hours: bool) -> bool {
    match session_at(unix_nanos) {
        Session::Closed => false,
        Session::Regular => true,
        Session::Pre | Session::Post => extended_hours,
    }
}

/// When the trading that [`us_equities_open`] reports began; `None` if there is none.
pub fn us_equities_open_since(unix_nanos: i64, extended_hours: bool) -> Option<i64> {
    const MINUTE: i64 = 60_000_000_000;
    if !us_equities_open(unix_nanos, extended_hours) {
        return None;
    }
    let opened = if extended_hours { PRE } else { OPEN };
    // Clocks change on Sundays, so every minute of a trading day has the same length.
    let minutes = i64::from(new_york(unix_nanos).minute) - i64::from(opened);
    Some(unix_nanos - unix_nanos.rem_euclid(MINUTE) - minutes * MINUTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(new_york: &str) -> i64 {
        let civil: jiff::civil::DateTime = new_york.parse().unwrap();
        i64::try_from(civil.in_tz("America/New_York").unwrap().timestamp().as_nanosecond()).unwrap()
    }

    #[test]
    fn a_day_has_its_sessions_in_winter_and_in_summer() {
        for day in ["2026-01-14", "2026-07-15"] {
            let sessions = [
                ("03:59:59", Session::Closed),
                ("04:00:00", Session::Pre),
                ("09:29:59", Session::Pre),
                ("09:30:00", Session::Regular),
                ("15:59:59", Session::Regular),
                ("16:00:00", Session::Post),
                ("19:59:59", Session::Post),
                ("20:00:00", Session::Closed),
            ];
            for (time, session) in sessions {
                assert_eq!(session_at(at(&format!("{day}T{time}"))), session, "{day} {time}");
            }
        }
    }

    #[test]
    fn an_early_close_moves_the_post_session() {
        let day_after_thanksgiving = "2026-11-27";
        for (time, session) in [("12:59", Session::Regular), ("13:00", Session::Post), ("17:00", Session::Closed)] {
            assert_eq!(session_at(at(&format!("{day_after_thanksgiving}T{time}:00"))), session, "{time}");
        }
    }

    #[test]
    fn extended_hours_are_open_only_on_request() {
        let morning = at("2026-01-14T08:00:00");
        assert!(us_equities_open(morning, true) && !us_equities_open(morning, false));
        assert!(!us_equities_open(at("2026-01-17T12:00:00"), true), "a Saturday");
    }

    proptest::proptest! {
        #[test]
        fn trading_is_open_since_the_first_moment_without_a_break(second in 1_175_000_000_i64..4_102_444_800, extended: bool) {
            const MINUTE: i64 = 60_000_000_000;
            let now = second * 1_000_000_000 + 123;
            let Some(since) = us_equities_open_since(now, extended) else {
                proptest::prop_assert!(!us_equities_open(now, extended));
                return Ok(());
            };
            proptest::prop_assert!(since <= now && !us_equities_open(since - 1, extended));
            let mut moment = since;
            while moment <= now {
                proptest::prop_assert!(us_equities_open(moment, extended));
                moment += MINUTE;
            }
        }
    }
}

//! The US stock exchanges' calendar: which session a moment is in.
//!
//! Own arithmetic on integers rather than a date library, because the same code also runs inside plugins, where every
//! byte counts; the tests hold it against one. Rules as published by the New York Stock Exchange; days on which the
//! exchanges closed for a storm or a funeral are not rules and not here.
//!
//! Knows nothing of clocks, quotes or symbols.

#![cfg_attr(not(test), no_std)]

mod calendar;
mod date;

pub use calendar::{TradingDay, trading_day};
pub use date::{Date, NewYorkTime, new_york};

/// What the exchanges are doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Session {
    /// Nights, weekends, holidays.
    Closed,
    /// 4:00 to 9:30.
    Pre,
    /// 9:30 to 16:00, or to 13:00 on early closes.
    Regular,
    /// The four hours after that.
    Post,
}

const PRE: u16 = 4 * 60;
const OPEN: u16 = 9 * 60 + 30;
/// How long after-hours trading goes on.
const AFTER_HOURS: u16 = 4 * 60;

/// The session at a moment, in nanoseconds since 1970-01-01 UTC.
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

/// True while quotes of US stocks are to be expected: in the regular session, and before and after it if
/// `extended_hours`.
pub fn us_equities_open(unix_nanos: i64, extended_hours: bool) -> bool {
    match session_at(unix_nanos) {
        Session::Closed => false,
        Session::Regular => true,
        Session::Pre | Session::Post => extended_hours,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(new_york: &str) -> i64 {
        let civil: jiff::civil::DateTime = new_york.parse().unwrap();
        i64::try_from(civil.in_tz("America/New_York").unwrap().timestamp().as_nanosecond()).unwrap()
    }

    #[test]
    fn a_day_goes_through_its_sessions_in_winter_and_in_summer() {
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
    fn an_early_close_moves_the_evening_forward() {
        let day_after_thanksgiving = "2026-11-27";
        for (time, session) in [("12:59", Session::Regular), ("13:00", Session::Post), ("17:00", Session::Closed)] {
            assert_eq!(session_at(at(&format!("{day_after_thanksgiving}T{time}:00"))), session, "{time}");
        }
    }

    #[test]
    fn extended_hours_count_only_when_asked_for() {
        let morning = at("2026-01-14T08:00:00");
        assert!(us_equities_open(morning, true) && !us_equities_open(morning, false));
        assert!(!us_equities_open(at("2026-01-17T12:00:00"), true), "a Saturday");
    }
}

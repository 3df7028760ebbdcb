//! The time in a heartbeat's `ts` when it follows the feed. Pure: everything is passed in.
//!
//! Trading gates and UIs compare `ts` with their clock, and look at nothing else. So it must be old when prices are, and
//! only then: neither a night nor a weekend is a fault.

use quotegate_document::UnixNanos;

/// What the time depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct DataTime {
    /// The time of writing.
    pub(super) now: UnixNanos,
    /// Since when quotes are expected; `None` while they are not.
    pub(super) open_since: Option<UnixNanos>,
    /// When the last quote arrived.
    pub(super) last_quote: Option<UnixNanos>,
    /// Since when the tenant's writes are paused; `None` if they are not.
    pub(super) paused_since: Option<UnixNanos>,
}

impl DataTime {
    /// The last moment at which nothing was missing: a quote arrived and could be written, or none was expected.
    ///
    /// A host that starts while the exchange is open begins at its opening, not at its own start. Otherwise a host that
    /// fails and is restarted every minute would keep gates open for ever.
    pub(super) fn get(self) -> UnixNanos {
        let Some(open_since) = self.open_since else { return self.now };
        let fed = self.last_quote.unwrap_or(open_since);
        fed.min(self.paused_since.unwrap_or(self.now)).max(open_since).min(self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quotegate_feed::Calendar;

    const SECOND: UnixNanos = 1_000_000_000;
    const HOUR: UnixNanos = 3600 * SECOND;
    /// A Wednesday at 9:30 in New York.
    const OPENING: UnixNanos = 1_768_401_000 * SECOND;
    const STOCKS: Calendar = Calendar::UsEquities { extended_hours: false };
    /// The limit of the trading gate that reads these documents.
    const GATE: UnixNanos = 120 * SECOND;

    fn at(calendar: Calendar, now: UnixNanos, last_quote: Option<UnixNanos>) -> DataTime {
        DataTime { now, open_since: calendar.open_since(now), last_quote, paused_since: None }
    }

    fn opens_gate(time: DataTime) -> bool {
        time.now - time.get() <= GATE
    }

    #[test]
    fn a_gate_closes_two_minutes_after_the_last_quote() {
        let (noon, last) = (OPENING + 2 * HOUR, Some(OPENING + 2 * HOUR - GATE));
        assert_eq!(at(STOCKS, noon, Some(noon - 5)).get(), noon - 5);
        assert!(opens_gate(at(STOCKS, noon, last)) && !opens_gate(at(STOCKS, noon + 1, last)));
    }

    #[test]
    fn quiet_nights_and_weekends_close_no_gate() {
        let friday_close = OPENING + 54 * HOUR + HOUR / 2;
        assert!(opens_gate(at(STOCKS, friday_close, Some(friday_close - SECOND))));
        for hours in [1, 20, 48, 65] {
            let now = friday_close + hours * HOUR;
            assert_eq!(at(STOCKS, now, Some(friday_close)).get(), now, "{hours} h after the close");
        }
    }

    #[test]
    fn at_the_opening_the_feed_has_as_long_as_a_gate_allows() {
        let yesterday = Some(OPENING - 18 * HOUR);
        assert!(opens_gate(at(STOCKS, OPENING, yesterday)));
        assert!(opens_gate(at(STOCKS, OPENING + GATE, yesterday)));
        assert!(!opens_gate(at(STOCKS, OPENING + GATE + 1, yesterday)));
    }

    #[test]
    fn a_restart_opens_no_gate_before_a_quote_arrives() {
        assert!(!opens_gate(at(STOCKS, OPENING + HOUR, None)));
        assert!(!opens_gate(at(Calendar::Always, OPENING, None)), "crypto");
        assert!(opens_gate(at(Calendar::Always, OPENING, Some(OPENING))));
    }

    #[test]
    fn feeds_without_known_hours_are_never_missed() {
        assert_eq!(at(Calendar::Never, OPENING, None).get(), OPENING);
    }

    #[test]
    fn a_pause_stops_the_time_although_quotes_arrive() {
        let noon = OPENING + 2 * HOUR;
        let paused = |since, now| DataTime { paused_since: Some(since), ..at(STOCKS, now, Some(now)) };
        assert_eq!(paused(noon, noon + HOUR).get(), noon);
        assert_eq!(paused(OPENING - HOUR, noon).get(), OPENING, "paused before the opening");
        let night = OPENING + 12 * HOUR;
        assert_eq!(paused(noon, night).get(), night, "nobody trades at night");
    }

    fn calendars() -> impl Strategy<Value = Calendar> {
        let extended = Calendar::UsEquities { extended_hours: true };
        prop::sample::select(vec![STOCKS, extended, Calendar::Always, Calendar::Never])
    }

    proptest! {
        #[test]
        fn the_time_never_runs_backwards_and_never_ahead(
            calendar in calendars(),
            start in OPENING..OPENING + 400 * 24 * HOUR,
            // How long each step takes, whether a quote arrives at its end, and whether writing is paused from then on.
            steps in prop::collection::vec((1..20 * HOUR, any::<bool>(), any::<bool>()), 1..40),
        ) {
            let (mut now, mut last_quote, mut paused_since) = (start, None, None::<UnixNanos>);
            let mut before = UnixNanos::MIN;
            for (pause, quote, paused) in steps {
                now += pause;
                if quote {
                    last_quote = Some(now);
                }
                let inputs = DataTime { now, open_since: calendar.open_since(now), last_quote, paused_since };
                let time = inputs.get();
                prop_assert!(time <= now);
                prop_assert!(time >= before, "backwards from {before} to {time}: {inputs:?}");
                // Without a pause, it is the newest quote's, unless none is expected.
                if paused_since.is_none() {
                    let fed = last_quote.filter(|last| inputs.open_since.is_some_and(|open| *last >= open));
                    prop_assert_eq!(time, fed.or(inputs.open_since).unwrap_or(now));
                }
                before = time;
                paused_since = paused.then(|| paused_since.unwrap_or(now));
            }
        }
    }
}

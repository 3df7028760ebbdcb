//! The rule by which UIs, the page and `quotegate status` decide between LIVE, STALE and OFFLINE.
//!
//! | state | when |
//! |---|---|
//! | OFFLINE | the host or the tenant has stopped, or the host does not answer |
//! | STALE | the feed is not connected; or no heartbeat was confirmed for two intervals, at least 30 s; or no quote arrived for 30 s |
//! | QUIET | the same as LIVE, but no quote arrived for 30 s and none was expected, because the exchange is closed |
//! | STANDBY | another host owns the feed, and this one could take over |
//! | LIVE | otherwise |
//!
//! The quotes of a replay are old, so only its heartbeats count.

use std::time::Duration;

use quotegate_market::UnixNanos;
use serde::{Deserialize, Serialize};

use crate::text::short_duration;

/// Quotes older than this are stale.
pub const STALE_AFTER: Duration = Duration::from_secs(30);

/// A heartbeat older than this is stale: the next one is late, too.
pub(crate) fn heartbeat_limit(interval: Duration) -> Duration {
    STALE_AFTER.max(2 * interval)
}

/// Whether a UI can trust what it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Liveness {
    /// Quotes and heartbeats arrive.
    Live,
    /// Everything is well, but the exchange is closed.
    Quiet,
    /// What is shown is old.
    Stale,
    /// Nothing arrives any more.
    Offline,
    /// Quotes and heartbeats are another host's work.
    Standby,
}

/// The state, and why it is not LIVE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LivenessReport {
    /// The state.
    pub state: Liveness,
    /// For people.
    pub reason: Option<String>,
}

impl Liveness {
    /// True if nothing is wrong.
    pub fn is_well(self) -> bool {
        matches!(self, Self::Live | Self::Quiet | Self::Standby)
    }

    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "LIVE",
            Self::Quiet => "QUIET",
            Self::Stale => "STALE",
            Self::Offline => "OFFLINE",
            Self::Standby => "STANDBY",
        }
    }
}

impl LivenessReport {
    fn live() -> Self {
        Self { state: Liveness::Live, reason: None }
    }

    fn because(state: Liveness, reason: impl Into<String>) -> Self {
        Self { state, reason: Some(reason.into()) }
    }
}

/// What the state depends on.
#[derive(Debug, Clone)]
pub(crate) struct LivenessInputs {
    pub(crate) now: UnixNanos,
    pub(crate) started: UnixNanos,
    pub(crate) last_quote: Option<UnixNanos>,
    pub(crate) last_heartbeat: Option<UnixNanos>,
    /// See [`heartbeat_limit`].
    pub(crate) heartbeat_limit: Duration,
    /// Why no quotes can arrive.
    pub(crate) feed_outage: Option<String>,
    /// Why no quotes are expected.
    pub(crate) quiet: Option<&'static str>,
    pub(crate) standby: Option<String>,
    pub(crate) standby_problem: Option<String>,
    pub(crate) stopping: bool,
    pub(crate) replaying: bool,
    pub(crate) source_ended: bool,
}

impl LivenessInputs {
    pub(crate) fn report(&self) -> LivenessReport {
        if self.stopping {
            return LivenessReport::because(Liveness::Offline, "the host is shutting down");
        }
        if self.source_ended {
            return LivenessReport::because(Liveness::Stale, "the source has ended");
        }
        match (&self.standby, &self.standby_problem) {
            (Some(_), Some(problem)) => {
                return LivenessReport::because(Liveness::Stale, format!("this standby cannot take over: {problem}"));
            }
            (Some(owner), None) => return LivenessReport::because(Liveness::Standby, owner.clone()),
            (None, _) => {}
        }
        if let Some(outage) = &self.feed_outage {
            return LivenessReport::because(Liveness::Stale, outage);
        }
        let heartbeat = age(self.now, self.last_heartbeat.unwrap_or(self.started));
        if heartbeat >= self.heartbeat_limit {
            let reason = format!("no heartbeat was confirmed for {}", short_duration(heartbeat));
            return LivenessReport::because(Liveness::Stale, reason);
        }
        if self.replaying {
            return LivenessReport::live();
        }
        match (self.last_quote.map(|last| age(self.now, last)), self.quiet) {
            (Some(quote), _) if quote < STALE_AFTER => LivenessReport::live(),
            (_, Some(quiet)) => LivenessReport::because(Liveness::Quiet, quiet),
            (Some(quote), None) => {
                LivenessReport::because(Liveness::Stale, format!("no quote arrived for {}", short_duration(quote)))
            }
            (None, None) => LivenessReport::because(Liveness::Stale, "no quote has arrived yet"),
        }
    }
}

fn age(now: UnixNanos, then: UnixNanos) -> Duration {
    Duration::from_nanos(now.saturating_sub(then).max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn of(change: impl FnOnce(&mut LivenessInputs)) -> (Liveness, String) {
        let mut inputs = LivenessInputs {
            now: 1000 * SECOND,
            started: 900 * SECOND,
            last_quote: Some(999 * SECOND),
            last_heartbeat: Some(990 * SECOND),
            heartbeat_limit: heartbeat_limit(Duration::from_secs(15)),
            feed_outage: None,
            quiet: None,
            standby: None,
            standby_problem: None,
            stopping: false,
            replaying: false,
            source_ended: false,
        };
        change(&mut inputs);
        let report = inputs.report();
        (report.state, report.reason.unwrap_or_default())
    }

    #[test]
    fn live_needs_a_recent_quote_and_a_recent_heartbeat() {
        assert_eq!(of(|_| {}), (Liveness::Live, String::new()));
        assert_eq!(of(|s| s.last_quote = Some(970 * SECOND + 1)).0, Liveness::Live);
        let silent = of(|s| s.last_quote = Some(970 * SECOND));
        assert_eq!(silent, (Liveness::Stale, "no quote arrived for 30 s".into()));
        assert_eq!(of(|s| s.last_quote = None).1, "no quote has arrived yet");
        let unwell = of(|s| s.last_heartbeat = Some(880 * SECOND));
        assert_eq!(unwell, (Liveness::Stale, "no heartbeat was confirmed for 2 min".into()));
        assert_eq!(of(|s| s.last_heartbeat = None).0, Liveness::Stale);
        assert_eq!(of(|s| s.stopping = true).0, Liveness::Offline);
    }

    #[test]
    fn a_lost_feed_is_stale_at_once() {
        let lost = of(|s| s.feed_outage = Some("the feed is not connected: reconnecting".into()));
        assert_eq!(lost, (Liveness::Stale, "the feed is not connected: reconnecting".into()));
    }

    #[test]
    fn a_heartbeat_is_late_after_two_intervals_but_not_before_30_s() {
        let at = |interval, age: i64| {
            of(|s| {
                s.heartbeat_limit = heartbeat_limit(Duration::from_secs(interval));
                (s.started, s.last_heartbeat) = (0, Some(s.now - age * SECOND));
            })
        };
        for (interval, limit) in [(1, 30), (15, 30), (20, 40), (60, 120), (600, 1200)] {
            assert_eq!(at(interval, limit - 1).0, Liveness::Live, "{interval}");
            assert_eq!(at(interval, limit).0, Liveness::Stale, "{interval}");
        }
    }

    #[test]
    fn silence_is_quiet_while_the_exchange_is_closed() {
        let closed = |s: &mut LivenessInputs| s.quiet = Some("the exchange is closed");
        for last in [None, Some(1)] {
            let night = of(|s| (s.last_quote, s.quiet) = (last, Some("the exchange is closed")));
            assert_eq!(night, (Liveness::Quiet, "the exchange is closed".into()));
        }
        assert_eq!(of(closed).0, Liveness::Live, "quotes outside the regular session");
        let lost = |s: &mut LivenessInputs| (s.feed_outage, s.last_quote) = (Some("gone".into()), None);
        assert_eq!(of(|s| (closed(s), lost(s)).1).0, Liveness::Stale, "a feed that is lost at night");
    }

    #[test]
    fn a_standby_is_fresh_while_it_could_take_over() {
        let standby = |s: &mut LivenessInputs| (s.standby, s.last_quote) = (Some("host-a owns the feed".into()), None);
        assert_eq!(of(standby), (Liveness::Standby, "host-a owns the feed".into()));
        let cut_off = of(|s| {
            standby(s);
            s.standby_problem = Some("Firestore does not answer".into());
        });
        assert_eq!(cut_off, (Liveness::Stale, "this standby cannot take over: Firestore does not answer".into()));
    }

    #[test]
    fn old_quotes_do_not_make_a_replay_stale() {
        let replayed = |s: &mut LivenessInputs| (s.replaying, s.last_quote) = (true, Some(1));
        assert_eq!(of(replayed).0, Liveness::Live);
        assert_eq!(of(|s| s.source_ended = true).1, "the source has ended");
    }
}

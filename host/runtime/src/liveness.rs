//! The one rule by which UIs, the page and `quotegate status` say LIVE, STALE or OFFLINE.
//!
//! | word | when |
//! |---|---|
//! | OFFLINE | the host or the tenant has stopped, or nobody answers |
//! | STALE | for 30 s no quote came, or no heartbeat was confirmed |
//! | LIVE | else |
//!
//! A replay has quotes of another day, so only its heartbeats count.

use std::time::Duration;

use quotegate_market::UnixNanos;
use serde::{Deserialize, Serialize};

/// Older than this is stale.
pub const STALE_AFTER: Duration = Duration::from_secs(30);

/// Whether what a UI shows can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Liveness {
    /// Quotes and heartbeats come.
    Live,
    /// What is shown is old.
    Stale,
    /// Nothing comes any more.
    Offline,
}

/// The word, and why it is not LIVE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The word.
    pub state: Liveness,
    /// For people.
    pub reason: Option<String>,
}

impl Liveness {
    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "LIVE",
            Self::Stale => "STALE",
            Self::Offline => "OFFLINE",
        }
    }
}

impl Verdict {
    fn because(state: Liveness, reason: impl Into<String>) -> Self {
        Self { state, reason: Some(reason.into()) }
    }
}

/// What the word depends on.
#[derive(Debug, Clone)]
pub(crate) struct Signs {
    pub(crate) now: UnixNanos,
    pub(crate) started: UnixNanos,
    pub(crate) last_quote: Option<UnixNanos>,
    pub(crate) last_heartbeat: Option<UnixNanos>,
    pub(crate) stopping: bool,
    pub(crate) replaying: bool,
    pub(crate) source_ended: bool,
}

impl Signs {
    pub(crate) fn verdict(&self) -> Verdict {
        if self.stopping {
            return Verdict::because(Liveness::Offline, "the host is shutting down");
        }
        if self.source_ended {
            return Verdict::because(Liveness::Stale, "the source has ended");
        }
        let heartbeat = age(self.now, self.last_heartbeat.unwrap_or(self.started));
        if heartbeat >= STALE_AFTER {
            let reason = format!("no heartbeat was confirmed for {}", words(heartbeat));
            return Verdict::because(Liveness::Stale, reason);
        }
        if self.replaying {
            return Verdict { state: Liveness::Live, reason: None };
        }
        let Some(last) = self.last_quote else { return Verdict::because(Liveness::Stale, "no quote came yet") };
        let quote = age(self.now, last);
        if quote >= STALE_AFTER {
            return Verdict::because(Liveness::Stale, format!("no quote came for {}", words(quote)));
        }
        Verdict { state: Liveness::Live, reason: None }
    }
}

fn age(now: UnixNanos, then: UnixNanos) -> Duration {
    Duration::from_nanos(now.saturating_sub(then).max(0).unsigned_abs())
}

/// A time as people say it: `45 s`, `12 min`, `7 h`, `3 days`.
pub fn words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..90 => format!("{seconds} s"),
        seconds @ 90..5400 => format!("{} min", seconds / 60),
        seconds @ 5400..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn of(change: impl FnOnce(&mut Signs)) -> (Liveness, String) {
        let mut signs = Signs {
            now: 1000 * SECOND,
            started: 900 * SECOND,
            last_quote: Some(999 * SECOND),
            last_heartbeat: Some(990 * SECOND),
            stopping: false,
            replaying: false,
            source_ended: false,
        };
        change(&mut signs);
        let verdict = signs.verdict();
        (verdict.state, verdict.reason.unwrap_or_default())
    }

    #[test]
    fn quotes_and_heartbeats_must_both_be_young() {
        assert_eq!(of(|_| {}), (Liveness::Live, String::new()));
        assert_eq!(of(|s| s.last_quote = Some(970 * SECOND + 1)).0, Liveness::Live);
        let silent = of(|s| s.last_quote = Some(970 * SECOND));
        assert_eq!(silent, (Liveness::Stale, "no quote came for 30 s".into()));
        assert_eq!(of(|s| s.last_quote = None).1, "no quote came yet");
        let unwell = of(|s| s.last_heartbeat = Some(880 * SECOND));
        assert_eq!(unwell, (Liveness::Stale, "no heartbeat was confirmed for 2 min".into()));
        assert_eq!(of(|s| s.last_heartbeat = None).0, Liveness::Stale);
        assert_eq!(of(|s| s.stopping = true).0, Liveness::Offline);
    }

    #[test]
    fn quotes_of_another_day_are_no_reason_in_a_replay() {
        let replayed = |s: &mut Signs| (s.replaying, s.last_quote) = (true, Some(1));
        assert_eq!(of(replayed).0, Liveness::Live);
        assert_eq!(of(|s| s.source_ended = true).1, "the source has ended");
    }

    #[test]
    fn ages_are_said_in_one_unit() {
        let said = [5, 89, 90, 5399, 5400, 172_799, 172_800].map(|seconds| words(Duration::from_secs(seconds)));
        assert_eq!(said, ["5 s", "89 s", "1 min", "89 min", "1 h", "47 h", "2 days"]);
    }
}

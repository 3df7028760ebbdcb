//! The rule by which UIs, the page and `quotegate status` decide between LIVE, STALE and OFFLINE.
//!
//! | state | when |
//! |---|---|
//! | OFFLINE | the host or the tenant has stopped, or the host does not answer |
//! | STALE | for 30 s, no quote arrived or no heartbeat was confirmed |
//! | LIVE | otherwise |
//!
//! The quotes of a replay are old, so only its heartbeats count.

use std::time::Duration;

use quotegate_market::UnixNanos;
use serde::{Deserialize, Serialize};

use crate::text::short_duration;

/// Anything older than this is stale.
pub const STALE_AFTER: Duration = Duration::from_secs(30);

/// Whether a UI can trust what it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Liveness {
    /// Quotes and heartbeats arrive.
    Live,
    /// What is shown is old.
    Stale,
    /// Nothing arrives any more.
    Offline,
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
    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "LIVE",
            Self::Stale => "STALE",
            Self::Offline => "OFFLINE",
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
        let heartbeat = age(self.now, self.last_heartbeat.unwrap_or(self.started));
        if heartbeat >= STALE_AFTER {
            let reason = format!("no heartbeat was confirmed for {}", short_duration(heartbeat));
            return LivenessReport::because(Liveness::Stale, reason);
        }
        if self.replaying {
            return LivenessReport::live();
        }
        let Some(last) = self.last_quote else {
            return LivenessReport::because(Liveness::Stale, "no quote has arrived yet");
        };
        let quote = age(self.now, last);
        if quote >= STALE_AFTER {
            let reason = format!("no quote arrived for {}", short_duration(quote));
            return LivenessReport::because(Liveness::Stale, reason);
        }
        LivenessReport::live()
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
    fn old_quotes_do_not_make_a_replay_stale() {
        let replayed = |s: &mut LivenessInputs| (s.replaying, s.last_quote) = (true, Some(1));
        assert_eq!(of(replayed).0, Liveness::Live);
        assert_eq!(of(|s| s.source_ended = true).1, "the source has ended");
    }
}

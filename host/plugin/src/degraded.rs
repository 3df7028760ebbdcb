use std::time::{Duration, Instant};

/// Remembers when a plugin last lost quotes without failing: its documents were refused, or calls were skipped.
#[derive(Debug)]
pub(crate) struct Degraded {
    now: Instant,
    last: Option<Instant>,
    logged: Option<Instant>,
}

/// A plugin that is being called and loses nothing for this long is ready again.
const RECOVERY: Duration = Duration::from_secs(10);
/// Every quote may be lost; the log gets one line per interval.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

impl Degraded {
    pub(crate) fn new(now: Instant) -> Self {
        Self { now, last: None, logged: None }
    }

    pub(crate) fn advance(&mut self, now: Instant) {
        self.now = now;
    }

    /// Notes a loss. True if it should be logged.
    pub(crate) fn record(&mut self, now: Instant) -> bool {
        (self.now, self.last) = (now, Some(now));
        let log = self.logged.is_none_or(|logged| now.saturating_duration_since(logged) >= LOG_INTERVAL);
        if log {
            self.logged = Some(now);
        }
        log
    }

    pub(crate) fn is_recent(&self) -> bool {
        self.last.is_some_and(|last| self.now.saturating_duration_since(last) < RECOVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_logged_once_a_minute_and_forgotten_after_ten_quiet_seconds() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut degraded = Degraded::new(start);
        assert!(!degraded.is_recent());
        let logged: Vec<u64> = (0..=120).filter(|seconds| degraded.record(after(*seconds))).collect();
        assert_eq!(logged, [0, 60, 120]);
        degraded.advance(after(129));
        assert!(degraded.is_recent());
        degraded.advance(after(130));
        assert!(!degraded.is_recent());
    }
}

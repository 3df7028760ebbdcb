//! Two watchdogs: one detects a dead socket, the other a live socket that delivers no quotes. Pure: time is passed in.

use std::time::Duration;

use tokio::time::Instant;

/// Detects a dead socket: some frame must arrive within a timeout after each ping. Any frame counts, because a pong can
/// be late behind a burst of quotes while the socket is fine.
#[derive(Debug)]
pub(crate) struct SocketWatchdog {
    interval: Duration,
    timeout: Duration,
    next_ping: Instant,
    /// When the oldest unanswered ping was sent.
    unanswered: Option<Instant>,
}

/// What [`SocketWatchdog::check`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SocketCheck {
    Wait,
    /// Send a ping now.
    Ping,
    Dead,
}

impl SocketWatchdog {
    pub(crate) fn new(interval: Duration, timeout: Duration, now: Instant) -> Self {
        Self { interval, timeout, next_ping: now + interval, unanswered: None }
    }

    pub(crate) fn heard(&mut self) {
        self.unanswered = None;
    }

    /// When to call [`SocketWatchdog::check`] next.
    pub(crate) fn wake_at(&self) -> Instant {
        self.unanswered.map_or(self.next_ping, |sent| self.next_ping.min(sent + self.timeout))
    }

    pub(crate) fn check(&mut self, now: Instant) -> SocketCheck {
        if self.unanswered.is_some_and(|sent| now >= sent + self.timeout) {
            return SocketCheck::Dead;
        }
        if now < self.next_ping {
            return SocketCheck::Wait;
        }
        self.next_ping = now + self.interval;
        self.unanswered.get_or_insert(now);
        SocketCheck::Ping
    }
}

/// Detects a silent feed: while quotes are expected, one of any symbol must arrive within `stale_after`. Control messages,
/// pongs and skipped messages do not count.
#[derive(Debug)]
pub(crate) struct DataWatchdog {
    stale_after: Option<Duration>,
    /// The last quote, or the last moment when silence was normal.
    fresh: Instant,
}

impl DataWatchdog {
    pub(crate) fn new(stale_after: Option<Duration>, now: Instant) -> Self {
        Self { stale_after, fresh: now }
    }

    pub(crate) fn quote_arrived(&mut self, now: Instant) {
        self.fresh = now;
    }

    /// When to call [`DataWatchdog::is_stale`] next; `None`: never.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        Some(self.fresh + self.stale_after?)
    }

    /// `expected`: the exchange is open and at least one symbol is subscribed. Otherwise the timeout restarts, so that
    /// the first quote after the open has the full time to arrive.
    pub(crate) fn is_stale(&mut self, expected: bool, now: Instant) -> bool {
        if !expected {
            self.fresh = now;
        }
        self.wake_at().is_some_and(|deadline| now >= deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_unanswered_ping_means_a_dead_socket() {
        let start = Instant::now();
        let mut socket = SocketWatchdog::new(10 * SECOND, 5 * SECOND, start);
        assert_eq!(socket.check(start + 9 * SECOND), SocketCheck::Wait);
        assert_eq!(socket.check(start + 10 * SECOND), SocketCheck::Ping);
        assert_eq!(socket.wake_at(), start + 15 * SECOND);
        socket.heard();
        assert_eq!(socket.check(start + 15 * SECOND), SocketCheck::Wait);
        assert_eq!(socket.check(start + 20 * SECOND), SocketCheck::Ping);
        assert_eq!(socket.check(start + 25 * SECOND), SocketCheck::Dead);
    }

    #[test]
    fn frequent_pings_do_not_delay_the_timeout() {
        let start = Instant::now();
        let mut socket = SocketWatchdog::new(SECOND, 3 * SECOND, start);
        let checks: Vec<_> = (1..=4).map(|n| socket.check(start + n * SECOND)).collect();
        assert_eq!(checks, [SocketCheck::Ping, SocketCheck::Ping, SocketCheck::Ping, SocketCheck::Dead]);
    }

    #[test]
    fn quiet_hours_restart_the_timeout() {
        let start = Instant::now();
        let mut data = DataWatchdog::new(Some(60 * SECOND), start);
        assert!(!data.is_stale(false, start + 3600 * SECOND));
        assert!(!data.is_stale(true, start + 3659 * SECOND));
        assert!(data.is_stale(true, start + 3660 * SECOND));
        data.quote_arrived(start + 3661 * SECOND);
        assert!(!data.is_stale(true, start + 3662 * SECOND));
    }

    #[test]
    fn without_a_limit_nothing_is_ever_stale() {
        let start = Instant::now();
        assert!(!DataWatchdog::new(None, start).is_stale(true, start + 1_000_000 * SECOND));
    }
}

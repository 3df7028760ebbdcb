//! Two watchdogs, for two ways of dying: the socket that is gone, and the socket that answers but brings nothing.
//! Pure: time is passed in.

use std::time::Duration;

use tokio::time::Instant;

/// Watches the socket: something must arrive within a time after each ping. Any frame will do, for behind a flood of
/// quotes a pong may be late though the socket is well.
#[derive(Debug)]
pub(crate) struct SocketWatchdog {
    interval: Duration,
    timeout: Duration,
    next_ping: Instant,
    /// When the oldest ping went out after which nothing has arrived.
    unanswered: Option<Instant>,
}

/// What is to be done about the socket now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pulse {
    Wait,
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

    pub(crate) fn check(&mut self, now: Instant) -> Pulse {
        if self.unanswered.is_some_and(|sent| now >= sent + self.timeout) {
            return Pulse::Dead;
        }
        if now < self.next_ping {
            return Pulse::Wait;
        }
        self.next_ping = now + self.interval;
        self.unanswered.get_or_insert(now);
        Pulse::Ping
    }
}

/// Watches the data: while quotes are to be expected, one must arrive now and then, of whichever symbol. Control
/// messages, pongs and messages that were skipped do not count.
#[derive(Debug)]
pub(crate) struct DataWatchdog {
    stale_after: Option<Duration>,
    /// The last quote, or the last moment at which silence was in order.
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

    /// `expected`: the exchange is open and the session holds a symbol. Where it is not, the wait starts again, so that
    /// the first quote after the opening has the whole time to arrive.
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
    fn a_ping_without_any_answer_is_death_and_with_one_is_not() {
        let start = Instant::now();
        let mut socket = SocketWatchdog::new(10 * SECOND, 5 * SECOND, start);
        assert_eq!(socket.check(start + 9 * SECOND), Pulse::Wait);
        assert_eq!(socket.check(start + 10 * SECOND), Pulse::Ping);
        assert_eq!(socket.wake_at(), start + 15 * SECOND);
        socket.heard();
        assert_eq!(socket.check(start + 15 * SECOND), Pulse::Wait);
        assert_eq!(socket.check(start + 20 * SECOND), Pulse::Ping);
        assert_eq!(socket.check(start + 25 * SECOND), Pulse::Dead);
    }

    #[test]
    fn pings_more_frequent_than_the_timeout_do_not_put_death_off() {
        let start = Instant::now();
        let mut socket = SocketWatchdog::new(SECOND, 3 * SECOND, start);
        let pulses: Vec<_> = (1..=4).map(|n| socket.check(start + n * SECOND)).collect();
        assert_eq!(pulses, [Pulse::Ping, Pulse::Ping, Pulse::Ping, Pulse::Dead]);
    }

    #[test]
    fn quiet_hours_restart_the_wait() {
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

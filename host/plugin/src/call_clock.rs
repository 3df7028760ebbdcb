use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::ticker::ticks;

/// Decides when a call has reached its time limit, and how much processor time it used.
///
/// Epoch ticks follow wall time, but on a busy machine a thread may not be scheduled for longer than a plugin's limit. So
/// the first milliseconds are measured in wall time, which costs nothing, and the rest in CPU time, which costs a system
/// call that short calls never make. An endless loop ends at its limit; a call that was only waiting for a core continues.
#[derive(Debug, Default)]
pub(crate) struct CallClock {
    limit: Duration,
    /// Wall time of the first part.
    first: Duration,
    /// When the first part ended, in wall time and in CPU time of the thread.
    first_over: Option<(Instant, Duration)>,
}

impl CallClock {
    /// After this many times its limit, a call is stopped however little CPU time it got.
    const MAX_WALL_TIME: u32 = 10;
    /// The longest first part.
    const FIRST: Duration = Duration::from_millis(4);
    /// The longest that a call runs before it is asked again, so that a shutdown can stop it.
    const MAX_TICKS: u64 = 16;

    /// Begins a call. Returns the ticks until [`CallClock::more`] must be called.
    pub(crate) fn begin(&mut self, limit: Duration) -> u64 {
        *self = Self { limit, first: (limit / 2).min(Self::FIRST), first_over: None };
        ticks(self.first)
    }

    /// How many ticks the call may continue; `None` if it must stop.
    pub(crate) fn more(&mut self) -> Option<u64> {
        self.more_at(Instant::now(), thread_time())
    }

    /// The processor time of a call that took `wall`.
    pub(crate) fn used(&self, wall: Duration) -> Duration {
        match self.first_over {
            None => wall,
            Some((_, then)) => (self.first + thread_time().saturating_sub(then)).min(wall),
        }
    }

    fn more_at(&mut self, now: Instant, used: Duration) -> Option<u64> {
        let (since, used_then) = *self.first_over.get_or_insert((now, used));
        let left = (self.limit - self.first).saturating_sub(used.saturating_sub(used_then));
        let waited_too_long = now.duration_since(since) >= self.limit * Self::MAX_WALL_TIME;
        (!left.is_zero() && !waited_too_long).then(|| ticks(left).min(Self::MAX_TICKS))
    }
}

/// CPU time of this thread.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // CPU time is never negative.
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_call_that_runs_continuously_ends_at_its_limit() {
        let (mut clock, start) = (CallClock::default(), Instant::now());
        assert_eq!(clock.begin(50 * MS), 5);
        let (mut ran, mut ticks) = (4, Some(0));
        while let Some(more) = ticks {
            ran += u32::try_from(more).unwrap();
            ticks = clock.more_at(start + ran * MS, ran * MS);
        }
        assert!((50..=52).contains(&ran), "{ran} ms");
        assert_eq!(clock.begin(2 * MS), 2);
        assert_eq!(clock.more_at(start + MS, MS), Some(2));
        assert_eq!(clock.more_at(start + 2 * MS, 2 * MS), None);
    }

    #[test]
    fn a_call_that_waited_for_a_core_continues_but_not_forever() {
        let (mut clock, start) = (CallClock::default(), Instant::now());
        clock.begin(50 * MS);
        assert_eq!(clock.more_at(start + 400 * MS, MS), Some(16));
        assert_eq!(clock.more_at(start + 800 * MS, 11 * MS), Some(16));
        assert_eq!(clock.more_at(start + 900 * MS, 12 * MS), None);
        clock.begin(50 * MS);
        assert_eq!(clock.more_at(start + 2000 * MS, 12 * MS), Some(16));
    }
}

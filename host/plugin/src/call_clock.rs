use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::ticker::ticks;

/// Decides when a call has reached its time limit.
///
/// Epoch ticks follow wall time, but on a busy machine a thread may not be scheduled for longer than a plugin's limit. So
/// the first half of the limit is measured in wall time, which costs nothing, and the second half in CPU time, which costs
/// a system call that short calls never make. An endless loop ends at its limit; a call that was only waiting for a
/// core continues.
#[derive(Debug, Default)]
pub(crate) struct CallClock {
    limit: Duration,
    /// When the first half ended, in wall time and in CPU time of the thread.
    half_over: Option<(Instant, Duration)>,
}

impl CallClock {
    /// After this many times its limit, a call is stopped however little CPU time it got.
    const MAX_WALL_TIME: u32 = 10;

    /// Begins a call. Returns the ticks until [`CallClock::more`] must be called.
    pub(crate) fn begin(&mut self, limit: Duration) -> u64 {
        *self = Self { limit, half_over: None };
        ticks(limit / 2)
    }

    /// How many ticks the call may continue; `None` if it must stop.
    pub(crate) fn more(&mut self) -> Option<u64> {
        self.more_at(Instant::now(), thread_time())
    }

    fn more_at(&mut self, now: Instant, used: Duration) -> Option<u64> {
        let (since, used_then) = *self.half_over.get_or_insert((now, used));
        let left = (self.limit / 2).saturating_sub(used.saturating_sub(used_then));
        let waited_too_long = now.duration_since(since) >= self.limit * Self::MAX_WALL_TIME;
        (!left.is_zero() && !waited_too_long).then(|| ticks(left))
    }
}

/// CPU time of this thread.
fn thread_time() -> Duration {
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
        assert_eq!(clock.begin(50 * MS), 26);
        assert_eq!(clock.more_at(start + 26 * MS, 26 * MS), Some(26));
        assert_eq!(clock.more_at(start + 52 * MS, 52 * MS), None);
    }

    #[test]
    fn a_call_that_waited_for_a_core_continues_but_not_forever() {
        let (mut clock, start) = (CallClock::default(), Instant::now());
        clock.begin(50 * MS);
        assert_eq!(clock.more_at(start + 400 * MS, MS), Some(26));
        assert_eq!(clock.more_at(start + 800 * MS, 11 * MS), Some(16));
        assert_eq!(clock.more_at(start + 900 * MS, 12 * MS), None);
        clock.begin(50 * MS);
        assert_eq!(clock.more_at(start + 2000 * MS, 12 * MS), Some(26));
    }
}

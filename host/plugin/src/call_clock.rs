use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::ticker::ticks;

/// Decides when a call has run long enough.
///
/// Epoch ticks count by the clock on the wall, and on a busy machine a thread may not run at all for longer than a
/// plugin's limit. So the first half of the limit goes by that clock, which costs nothing to read, and only a call that
/// is still there then has its second half measured in processor time, which costs a system call. An endless loop ends
/// at its limit, an innocent call goes on.
#[derive(Debug, Default)]
pub(crate) struct CallClock {
    limit: Duration,
    /// When the first half was over, by the clock and in processor time of the thread.
    half_over: Option<(Instant, Duration)>,
}

impl CallClock {
    /// However little it was let run, a call is stopped after so many times its limit.
    const PATIENCE: u32 = 10;

    /// Begins a call; gives the ticks until [`CallClock::more`] is to be asked.
    pub(crate) fn begin(&mut self, limit: Duration) -> u64 {
        *self = Self { limit, half_over: None };
        ticks(limit / 2)
    }

    /// The ticks that the call may have now; `None`: it is to be stopped.
    pub(crate) fn more(&mut self) -> Option<u64> {
        self.more_at(Instant::now(), thread_time())
    }

    fn more_at(&mut self, now: Instant, used: Duration) -> Option<u64> {
        let (since, used_then) = *self.half_over.get_or_insert((now, used));
        let left = (self.limit / 2).saturating_sub(used.saturating_sub(used_then));
        let patience_is_over = now.duration_since(since) >= self.limit * Self::PATIENCE;
        (!left.is_zero() && !patience_is_over).then(|| ticks(left))
    }
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // Neither part of a time that has been used is negative.
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_call_that_runs_all_the_time_ends_at_its_limit() {
        let (mut clock, start) = (CallClock::default(), Instant::now());
        assert_eq!(clock.begin(50 * MS), 26);
        assert_eq!(clock.more_at(start + 26 * MS, 26 * MS), Some(26));
        assert_eq!(clock.more_at(start + 52 * MS, 52 * MS), None);
    }

    #[test]
    fn a_call_that_was_held_up_goes_on_but_not_for_ever() {
        let (mut clock, start) = (CallClock::default(), Instant::now());
        clock.begin(50 * MS);
        assert_eq!(clock.more_at(start + 400 * MS, MS), Some(26));
        assert_eq!(clock.more_at(start + 800 * MS, 11 * MS), Some(16));
        assert_eq!(clock.more_at(start + 900 * MS, 12 * MS), None);
        clock.begin(50 * MS);
        assert_eq!(clock.more_at(start + 2000 * MS, 12 * MS), Some(26));
    }
}

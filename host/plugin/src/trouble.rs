use std::time::{Duration, Instant};

/// What costs a plugin's quotes though it lives on: documents that are refused, calls that are left out. Time is passed in.
#[derive(Debug)]
pub(crate) struct Trouble {
    now: Instant,
    last: Option<Instant>,
    told: Option<Instant>,
}

/// So long after the last trouble, while being called, all is well.
const CALM: Duration = Duration::from_secs(10);
/// Trouble comes with every quote; a line about it does not.
const TELL_EVERY: Duration = Duration::from_secs(60);

impl Trouble {
    pub(crate) fn new(now: Instant) -> Self {
        Self { now, last: None, told: None }
    }

    /// A call is made, or is to be made.
    pub(crate) fn pass_time(&mut self, now: Instant) {
        self.now = now;
    }

    /// True when it is to be told.
    pub(crate) fn happened(&mut self, now: Instant) -> bool {
        (self.now, self.last) = (now, Some(now));
        let tell = self.told.is_none_or(|told| now.saturating_duration_since(told) >= TELL_EVERY);
        if tell {
            self.told = Some(now);
        }
        tell
    }

    pub(crate) fn is_recent(&self) -> bool {
        self.last.is_some_and(|last| self.now.saturating_duration_since(last) < CALM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_once_a_minute_and_forgotten_when_it_is_calm() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut trouble = Trouble::new(start);
        assert!(!trouble.is_recent());
        let told: Vec<u64> = (0..=120).filter(|seconds| trouble.happened(after(*seconds))).collect();
        assert_eq!(told, [0, 60, 120]);
        trouble.pass_time(after(129));
        assert!(trouble.is_recent());
        trouble.pass_time(after(130));
        assert!(!trouble.is_recent());
    }
}

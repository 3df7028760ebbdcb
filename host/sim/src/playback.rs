use quotegate_market::{Quote, Symbol};
use tokio::time::{Duration, Instant};

use crate::{Scenario, ScenarioFrame, ScenarioFrames};

/// Plays a scenario to one client, shifted to the current time.
#[derive(Debug)]
pub(crate) struct Playback {
    frames: ScenarioFrames,
    /// The next frame; `None` at the end.
    next: Option<ScenarioFrame>,
    /// When the playback began.
    began: Instant,
    /// What to add to the scenario's times to get current ones.
    shift: i64,
    scenario_began: i64,
}

impl Playback {
    pub(crate) fn begin(scenario: Scenario, seed: u64, now: Instant, time: i64) -> Self {
        let scenario_began = scenario.begins();
        let mut frames = scenario.frames(seed);
        Self { next: frames.next(), frames, began: now, shift: time - scenario_began, scenario_began }
    }

    /// The next frame, if it is due.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Vec<(Symbol, Quote)>> {
        let due = self.next.as_ref()?.received_time - self.scenario_began;
        if now.duration_since(self.began) < Duration::from_nanos(u64::try_from(due).unwrap_or(0)) {
            return None;
        }
        let mut quotes = std::mem::replace(&mut self.next, self.frames.next())?.quotes;
        quotes.iter_mut().for_each(|(_, quote)| quote.event_time += self.shift);
        Some(quotes)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.next.is_none()
    }
}

use std::fmt;
use std::iter::Peekable;
use std::str::FromStr;

use fastrand::Rng;
use quotegate_market::{Encoding, Quote, Symbol};

use crate::listing::LISTINGS;
use crate::opening_bell::{BEGINS, BELL, OpeningBell};
use crate::wire::FrameBuilder;

/// A scripted market with its own stocks and times: the same seed gives the same quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Twelve minutes of 20 stocks around the opening bell: bursts, locked and crossed markets, two halts.
    OpeningBell,
}

const OPENING_BELL: &str = "opening-bell";

/// The string is not a [`Scenario`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown scenario {0:?}: choose {OPENING_BELL}")]
pub struct ParseScenarioError(String);

impl FromStr for Scenario {
    type Err = ParseScenarioError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == OPENING_BELL { Ok(Self::OpeningBell) } else { Err(ParseScenarioError(text.to_owned())) }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpeningBell => f.write_str(OPENING_BELL),
        }
    }
}

/// Quotes that a server sends in one frame, and when they arrive.
#[derive(Debug, Clone, PartialEq)]
pub struct ScenarioFrame {
    /// Nanoseconds since 1970-01-01 UTC, on the scenario's day.
    pub received_time: i64,
    /// In order, each with its arrival time.
    pub quotes: Vec<(Symbol, Quote)>,
}

impl Scenario {
    /// The symbols, busiest first.
    pub fn symbols(self) -> Vec<Symbol> {
        LISTINGS.iter().filter_map(|listing| Symbol::new(listing.symbol).ok()).collect()
    }

    /// When the scenario begins, in nanoseconds since 1970-01-01 UTC.
    pub fn begins(self) -> i64 {
        BELL + BEGINS
    }

    /// All frames of the scenario.
    pub fn frames(self, seed: u64) -> ScenarioFrames {
        let symbols = self.symbols();
        ScenarioFrames { quotes: OpeningBell::new(seed).peekable(), symbols, rng: Rng::with_seed(!seed), received: 0 }
    }
}

impl ScenarioFrame {
    /// The text of the websocket message.
    pub fn json(&self) -> String {
        let mut frame = FrameBuilder::new(Encoding::Json);
        self.quotes.iter().for_each(|(symbol, quote)| frame.push(symbol, quote));
        frame.take().into_text().map_or_else(|_| String::new(), |text| text.as_str().to_owned())
    }
}

/// The frames of a [`Scenario`].
#[derive(Debug)]
pub struct ScenarioFrames {
    quotes: Peekable<OpeningBell>,
    symbols: Vec<Symbol>,
    /// For network delays, separate from the quotes' own random numbers.
    rng: Rng,
    received: i64,
}

/// Maximum quotes per frame.
const MAX_FRAME_QUOTES: usize = 128;

impl Iterator for ScenarioFrames {
    type Item = ScenarioFrame;

    fn next(&mut self) -> Option<Self::Item> {
        let (_, first) = self.quotes.peek()?;
        let congestion = congestion(first.event_time - BELL);
        let until = first.event_time + 500_000 + (congestion * 25e6) as i64;
        let mut quotes = Vec::new();
        while quotes.len() < MAX_FRAME_QUOTES
            && let Some((index, quote)) = self.quotes.next_if(|(_, quote)| quote.event_time <= until)
        {
            quotes.extend(self.symbols.get(index).map(|symbol| (symbol.clone(), quote)));
        }
        let sent = quotes.last().map_or(until, |(_, quote)| quote.event_time);
        let delay = 9_000_000 + self.rng.i64(0..4_000_000) + (congestion * 45e6) as i64;
        self.received = (sent + delay).max(self.received + 1_000);
        quotes.iter_mut().for_each(|(_, quote)| quote.received_time = self.received);
        Some(ScenarioFrame { received_time: self.received, quotes })
    }
}

/// Falls from 1 at the bell toward 0. Congested quotes arrive later and in larger frames.
fn congestion(since_bell: i64) -> f64 {
    if since_bell < 0 { 0.0 } else { 1.0 / (1.0 + since_bell as f64 / 1.5e9) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_frames() {
        let frames = |seed| Scenario::OpeningBell.frames(seed).map(|frame| frame.json()).collect::<Vec<_>>();
        assert_eq!(frames(1), frames(1));
        assert_ne!(frames(1), frames(2));
    }

    #[test]
    fn arrival_times_and_each_stocks_quote_times_increase() {
        for seed in 0..20 {
            let mut last = std::collections::BTreeMap::new();
            let mut arrived = 0;
            for frame in Scenario::OpeningBell.frames(seed) {
                assert!(frame.received_time > arrived && !frame.quotes.is_empty());
                arrived = frame.received_time;
                for (symbol, quote) in frame.quotes {
                    assert!(quote.event_time < arrived && quote.received_time == arrived);
                    let before = last.insert(symbol, quote.event_time);
                    assert!(before.is_none_or(|before| before < quote.event_time));
                }
            }
            assert_eq!(last.len(), 20, "every stock is quoted");
        }
    }

    #[test]
    fn a_scenario_has_one_name() {
        assert_eq!(Scenario::OpeningBell.to_string().parse(), Ok(Scenario::OpeningBell));
        let error = "closing-bell".parse::<Scenario>().unwrap_err().to_string();
        assert!(error.contains("opening-bell"), "{error}");
    }
}

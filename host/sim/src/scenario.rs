use std::fmt;
use std::iter::Peekable;
use std::str::FromStr;

use fastrand::Rng;
use quotegate_market::{Encoding, Quote, Symbol};

use crate::listing::LISTINGS;
use crate::opening_bell::{BEGINS, BELL, OpeningBell};
use crate::wire::FrameBuilder;

/// A story that the market tells, with its own stocks and its own times: the same seed tells it the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Twelve minutes of 20 stocks around the opening bell: bursts, locked and crossed markets, two halts.
    OpeningBell,
}

const NAMED: [(&str, Scenario); 1] = [("opening-bell", Scenario::OpeningBell)];

/// A text that names no [`Scenario`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no scenario {0:?}: choose one of {list}", list = NAMED.map(|(name, _)| name).join(", "))]
pub struct UnknownScenario(String);

impl FromStr for Scenario {
    type Err = UnknownScenario;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = NAMED.iter().find(|(name, _)| *name == text).map(|(_, scenario)| *scenario);
        named.ok_or_else(|| UnknownScenario(text.to_owned()))
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMED.iter().find(|(_, scenario)| scenario == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

/// Quotes that a server sent together, and when they arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct ScenarioFrame {
    /// Nanoseconds since 1970-01-01 UTC, of the story's own day.
    pub received_time: i64,
    /// In order, each with the time when it arrived.
    pub quotes: Vec<(Symbol, Quote)>,
}

impl Scenario {
    /// The stocks, the busiest first.
    pub fn symbols(self) -> Vec<Symbol> {
        LISTINGS.iter().filter_map(|listing| Symbol::new(listing.symbol).ok()).collect()
    }

    /// When the story begins, in nanoseconds since 1970-01-01 UTC.
    pub fn begins(self) -> i64 {
        BELL + BEGINS
    }

    /// The story from beginning to end.
    pub fn frames(self, seed: u64) -> ScenarioFrames {
        let symbols = self.symbols();
        ScenarioFrames { story: OpeningBell::new(seed).peekable(), symbols, rng: Rng::with_seed(!seed), received: 0 }
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
    story: Peekable<OpeningBell>,
    symbols: Vec<Symbol>,
    /// For the way to here, so that the story does not depend on it.
    rng: Rng,
    received: i64,
}

/// No server waits for more.
const MOST_QUOTES: usize = 128;

impl Iterator for ScenarioFrames {
    type Item = ScenarioFrame;

    fn next(&mut self) -> Option<Self::Item> {
        let (_, first) = self.story.peek()?;
        let congestion = congestion(first.event_time - BELL);
        let until = first.event_time + 500_000 + (congestion * 25e6) as i64;
        let mut quotes = Vec::new();
        while quotes.len() < MOST_QUOTES
            && let Some((place, quote)) = self.story.next_if(|(_, quote)| quote.event_time <= until)
        {
            quotes.extend(self.symbols.get(place).map(|symbol| (symbol.clone(), quote)));
        }
        let sent = quotes.last().map_or(until, |(_, quote)| quote.event_time);
        let way = 9_000_000 + self.rng.i64(0..4_000_000) + (congestion * 45e6) as i64;
        self.received = (sent + way).max(self.received + 1_000);
        quotes.iter_mut().for_each(|(_, quote)| quote.received_time = self.received);
        Some(ScenarioFrame { received_time: self.received, quotes })
    }
}

/// From 1 at the bell to nothing: then quotes travel in larger frames, and longer.
fn congestion(since_bell: i64) -> f64 {
    if since_bell < 0 { 0.0 } else { 1.0 / (1.0 + since_bell as f64 / 1.5e9) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_tells_the_same_story() {
        let frames = |seed| Scenario::OpeningBell.frames(seed).map(|frame| frame.json()).collect::<Vec<_>>();
        assert_eq!(frames(1), frames(1));
        assert_ne!(frames(1), frames(2));
    }

    #[test]
    fn arrivals_and_each_stocks_quotes_go_forward() {
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
        let problem = "closing-bell".parse::<Scenario>().unwrap_err().to_string();
        assert!(problem.contains("opening-bell"), "{problem}");
    }
}

//! Twelve minutes around the opening bell of a day in January 2026.
//!
//! Before the bell the market is thin, with wide or one-sided quotes. At the bell everything is quoted at once, sometimes
//! locked or crossed, and calms down within minutes. One stock rallies and is halted for five minutes by its price bands;
//! another is halted for news before the bell and opens late. Both resume with wide spreads.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;
use quotegate_market::Quote;

use crate::listing::LISTINGS;
use crate::stock::{Liquidity, Stock, bell_curve, draw};

const SECOND: i64 = 1_000_000_000;
/// The bell: 2026-01-14, 9:30 in New York. All times of the scenario are relative to it.
pub(crate) const BELL: i64 = 1_768_401_000 * SECOND;
pub(crate) const BEGINS: i64 = -300 * SECOND;
const ENDS: i64 = 420 * SECOND;

/// A trading halt. Price moves are in basis points.
struct Halt {
    symbol: &'static str,
    from: i64,
    to: i64,
    /// The move before the halt.
    run_up: f64,
    /// The move during the halt.
    jump: f64,
}

const HALTS: [Halt; 2] = [
    Halt { symbol: "GME", from: 72 * SECOND, to: 372 * SECOND, run_up: 1100.0, jump: 150.0 },
    Halt { symbol: "BA", from: -150 * SECOND, to: 240 * SECOND, run_up: 0.0, jump: -420.0 },
];
/// Duration of the run-up before a halt, in seconds, one step per second.
const RUN_UP: i64 = 40;
/// Extra quotes after a halt.
const RESUME_QUOTES: usize = 30;

/// A scheduled event; stocks are indexes into [`LISTINGS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A quote of a random stock.
    Any,
    Quote(usize),
    Open(usize),
    RunUp(usize),
    Halt(usize),
    Resume(usize),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    Before,
    Halted,
    Open { since: i64 },
    Resumed { since: i64 },
}

/// The scenario's quotes in order of time, each with the index of its stock in [`LISTINGS`].
#[derive(Debug)]
pub(crate) struct OpeningBell {
    rng: Rng,
    stocks: Vec<(Stock, Phase)>,
    /// The whole market's move so far, as a fraction of the price.
    market: f64,
    moved_at: i64,
    /// The second number keeps simultaneous events in order.
    events: BinaryHeap<Reverse<(i64, u64, Event)>>,
    event_count: u64,
}

impl OpeningBell {
    pub(crate) fn new(seed: u64) -> Self {
        let stocks = LISTINGS.map(|listing| (Stock::new(listing, BEGINS), Phase::Before)).into();
        let mut bell = Self {
            rng: Rng::with_seed(seed),
            stocks,
            market: 0.0,
            moved_at: BEGINS,
            events: BinaryHeap::new(),
            event_count: 0,
        };
        bell.schedule(BEGINS, Event::Any);
        for (index, listing) in LISTINGS.iter().enumerate() {
            let halt = HALTS.iter().find(|halt| halt.symbol == listing.symbol);
            if halt.is_none_or(|halt| halt.from > 0) {
                // Nasdaq's opening auction is instant; on New York's floor, people take part.
                let latest = if listing.tape == b'A' { 2_500_000_000 } else { 120_000_000 };
                let delay = bell.rng.i64(0..latest);
                bell.schedule(delay, Event::Open(index));
            }
            if let Some(halt) = halt {
                bell.schedule_halt(index, halt);
            }
        }
        bell
    }

    fn schedule(&mut self, at: i64, event: Event) {
        self.event_count += 1;
        self.events.push(Reverse((at, self.event_count, event)));
    }

    fn schedule_halt(&mut self, index: usize, halt: &Halt) {
        let [from, to] = [halt.from, halt.to].map(|at| at + self.rng.i64(0..50_000_000));
        self.schedule(from, Event::Halt(index));
        self.schedule(to, Event::Resume(index));
        let steps = if halt.run_up == 0.0 { 0 } else { RUN_UP };
        for step in 1..=steps {
            let early = self.rng.i64(1..SECOND);
            self.schedule(from - step * SECOND + early, Event::RunUp(index));
        }
        // Many traders wait for the resume.
        for _ in 0..RESUME_QUOTES {
            let part = self.rng.f64();
            self.schedule(to + 1 + (part * part * 40e9) as i64, Event::Quote(index));
        }
    }

    /// Applies an event. Returns a quote, unless the stock is halted.
    fn apply(&mut self, at: i64, event: Event) -> Option<(usize, Quote)> {
        let seconds = (at - self.moved_at) as f64 / 1e9;
        self.moved_at = at;
        self.market += 0.4e-4 * volatility_factor(at) * seconds.sqrt() * bell_curve(&mut self.rng);
        match event {
            Event::Any => {
                let index = draw(LISTINGS.iter().map(|listing| listing.activity), &mut self.rng);
                self.schedule_next(at);
                if self.rng.u32(0..1000) < if at < 0 { 4 } else { 15 } {
                    self.apply_news(at);
                }
                self.quote(index, at, None)
            }
            Event::Quote(index) => self.quote(index, at, None),
            Event::Open(index) => {
                let gap = 15.0 * bell_curve(&mut self.rng);
                self.begin(index, Phase::Open { since: at }, gap);
                self.quote(index, at, Some("O"))
            }
            Event::RunUp(index) => {
                let step = halt(index).map_or(0.0, |halt| halt.run_up / RUN_UP as f64);
                self.stocks[index].0.jump(step);
                self.quote(index, at, None)
            }
            Event::Halt(index) => {
                self.stocks[index].1 = Phase::Halted;
                Some((index, self.stocks[index].0.withdrawn(BELL + at)))
            }
            Event::Resume(index) => {
                self.begin(index, Phase::Resumed { since: at }, halt(index).map_or(0.0, |halt| halt.jump));
                self.quote(index, at, Some("O"))
            }
        }
    }

    fn begin(&mut self, index: usize, phase: Phase, jump: f64) {
        let (stock, now) = &mut self.stocks[index];
        stock.jump(jump);
        *now = phase;
    }

    fn schedule_next(&mut self, at: i64) {
        // Gaps are uniform between 0 and twice the mean.
        let next = at + 1 + (2.0 * self.rng.f64() / quotes_per_second(at) * 1e9) as i64;
        if next < ENDS {
            self.schedule(next, Event::Any);
        }
    }

    /// News: the market moves, and most stocks get a new quote within 0.4 ms.
    fn apply_news(&mut self, at: i64) {
        self.market += 1.5e-4 * bell_curve(&mut self.rng);
        for index in 0..self.stocks.len() {
            if self.rng.u8(0..10) < 6 {
                let delay = self.rng.i64(1_000..400_000);
                self.schedule(at + delay, Event::Quote(index));
            }
        }
    }

    fn quote(&mut self, index: usize, at: i64, letters: Option<&str>) -> Option<(usize, Quote)> {
        let (stock, phase) = &mut self.stocks[index];
        let liquidity = liquidity(*phase, at, stock.listing.activity)?;
        stock.walk(at, volatility_factor(at), &mut self.rng);
        // Sometimes one side is not automated. The bid's letter comes first, then the ask's.
        let usual = match self.rng.u32(0..1000) {
            0..=2 if stock.listing.tape != b'C' => "RA",
            3..=5 if stock.listing.tape != b'C' => "BR",
            _ => "R",
        };
        Some((index, stock.quote(BELL + at, self.market, &liquidity, letters.unwrap_or(usual), &mut self.rng)))
    }
}

impl Iterator for OpeningBell {
    type Item = (usize, Quote);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Reverse((at, _, event)) = self.events.pop()?;
            if let Some(quote) = self.apply(at, event) {
                return Some(quote);
            }
        }
    }
}

fn halt(index: usize) -> Option<&'static Halt> {
    HALTS.iter().find(|halt| halt.symbol == LISTINGS[index].symbol)
}

/// The number of quotes per second over all stocks.
fn quotes_per_second(at: i64) -> f64 {
    let seconds = at as f64 / 1e9;
    if at < 0 {
        return 2.0 + 6.0 / (1.0 - seconds / 20.0);
    }
    let falling = |height: f64, half: f64| height / ((1.0 + seconds / half) * (1.0 + seconds / half));
    4.0 + falling(150.0, 15.0) + falling(2400.0, 0.5)
}

/// Volatility, as a multiple of the calm one.
fn volatility_factor(at: i64) -> f64 {
    if at < 0 { 0.7 } else { 1.0 + 4.0 / (1.0 + at as f64 / 20e9) }
}

/// A stock's liquidity; `None` while it is halted.
fn liquidity(phase: Phase, at: i64, activity: u32) -> Option<Liquidity> {
    // Falls to one half after `half` seconds, to one quarter after three times that.
    let fading = |since: i64, half: f64| 1.0 / (1.0 + (at - since) as f64 / 1e9 / half);
    let quiet = activity < 10;
    Some(match phase {
        Phase::Halted => return None,
        Phase::Before => Liquidity {
            wide: if quiet { 9.0 } else { 3.0 },
            depth: 0.3,
            crossed: 0.002,
            locked: 0.004,
            one_sided: if quiet { 0.06 } else { 0.003 },
            far: if quiet { 0.05 } else { 0.001 },
        },
        Phase::Open { since } => Liquidity {
            wide: 1.0 + 5.0 * fading(since, 4.0),
            depth: 1.0 - 0.7 * fading(since, 10.0),
            crossed: 0.001 + 0.012 * fading(since, 2.0),
            locked: 0.004 + 0.02 * fading(since, 3.0),
            one_sided: 0.0008,
            far: 0.0,
        },
        Phase::Resumed { since } => Liquidity {
            wide: 1.5 + 40.0 * fading(since, 6.0),
            depth: 1.0 - 0.8 * fading(since, 20.0),
            crossed: 0.002,
            locked: 0.006,
            one_sided: 0.02 * fading(since, 10.0),
            far: 0.0,
        },
    })
}

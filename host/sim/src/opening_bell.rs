//! Twelve minutes around the opening bell of a day in January 2026.
//!
//! Before it the market is thin: wide, one-sided, a quote here and there. At the bell everything is quoted at once, some
//! of it locked or crossed, and settles within minutes. One stock runs up and is paused for five minutes by its price
//! bands; another is halted for news before the bell and opens late. Both come back wide.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;
use quotegate_market::Quote;

use crate::listing::LISTINGS;
use crate::stock::{Mood, Stock, bell_curve};

const SECOND: i64 = 1_000_000_000;
/// The bell: 2026-01-14, 9:30 in New York. All times of the story count from it.
pub(crate) const BELL: i64 = 1_768_401_000 * SECOND;
pub(crate) const BEGINS: i64 = -300 * SECOND;
const ENDS: i64 = 420 * SECOND;

/// Halts: from, to, and how many basis points the price moves, in the time before or while nobody sees it.
struct Halt {
    symbol: &'static str,
    from: i64,
    to: i64,
    run_up: f64,
    jump: f64,
}

const HALTS: [Halt; 2] = [
    Halt { symbol: "GME", from: 72 * SECOND, to: 372 * SECOND, run_up: 1100.0, jump: 150.0 },
    Halt { symbol: "BA", from: -150 * SECOND, to: 240 * SECOND, run_up: 0.0, jump: -420.0 },
];
/// The run-up before a halt takes so long, a step a second.
const RUN_UP: i64 = 40;
/// Quotes after a halt, beyond the usual ones.
const RUSH: usize = 30;

/// What happens next to a stock, by its place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cue {
    /// Whoever's turn it is.
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

/// The story: each quote with the place of its stock in [`LISTINGS`], in the order of time.
#[derive(Debug)]
pub(crate) struct OpeningBell {
    rng: Rng,
    stocks: Vec<(Stock, Phase)>,
    /// What the whole market has moved, as a part of its price.
    market: f64,
    moved_at: i64,
    /// The second number keeps cues of one moment in order.
    cues: BinaryHeap<Reverse<(i64, u64, Cue)>>,
    cued: u64,
}

impl OpeningBell {
    pub(crate) fn new(seed: u64) -> Self {
        let stocks = LISTINGS.map(|listing| (Stock::new(listing, BEGINS), Phase::Before)).into();
        let mut story =
            Self { rng: Rng::with_seed(seed), stocks, market: 0.0, moved_at: BEGINS, cues: BinaryHeap::new(), cued: 0 };
        story.cue(BEGINS, Cue::Any);
        for (place, listing) in LISTINGS.iter().enumerate() {
            let halt = HALTS.iter().find(|halt| halt.symbol == listing.symbol);
            if halt.is_none_or(|halt| halt.from > 0) {
                // Nasdaq's auction is over in an instant; on the floor of New York people take part.
                let latest = if listing.tape == b'A' { 2_500_000_000 } else { 120_000_000 };
                let delay = story.rng.i64(0..latest);
                story.cue(delay, Cue::Open(place));
            }
            if let Some(halt) = halt {
                story.cue_halt(place, halt);
            }
        }
        story
    }

    fn cue(&mut self, at: i64, cue: Cue) {
        self.cued += 1;
        self.cues.push(Reverse((at, self.cued, cue)));
    }

    fn cue_halt(&mut self, place: usize, halt: &Halt) {
        let [from, to] = [halt.from, halt.to].map(|at| at + self.rng.i64(0..50_000_000));
        self.cue(from, Cue::Halt(place));
        self.cue(to, Cue::Resume(place));
        let steps = if halt.run_up == 0.0 { 0 } else { RUN_UP };
        for step in 1..=steps {
            let early = self.rng.i64(1..SECOND);
            self.cue(from - step * SECOND + early, Cue::RunUp(place));
        }
        // Who waited for it is there at once.
        for _ in 0..RUSH {
            let part = self.rng.f64();
            self.cue(to + 1 + (part * part * 40e9) as i64, Cue::Quote(place));
        }
    }

    /// What the cue comes to: a quote, or nothing of a stock that is halted.
    fn act(&mut self, at: i64, cue: Cue) -> Option<(usize, Quote)> {
        let seconds = (at - self.moved_at) as f64 / 1e9;
        self.moved_at = at;
        self.market += 0.4e-4 * liveliness(at) * seconds.sqrt() * bell_curve(&mut self.rng);
        match cue {
            Cue::Any => {
                let place = self.choose();
                self.cue_next(at);
                if self.rng.u32(0..1000) < if at < 0 { 4 } else { 15 } {
                    self.shake(at);
                }
                self.quote(place, at, None)
            }
            Cue::Quote(place) => self.quote(place, at, None),
            Cue::Open(place) => {
                let gap = 15.0 * bell_curve(&mut self.rng);
                self.begin(place, Phase::Open { since: at }, gap);
                self.quote(place, at, Some("O"))
            }
            Cue::RunUp(place) => {
                let step = halt(place).map_or(0.0, |halt| halt.run_up / RUN_UP as f64);
                self.stocks[place].0.jump(step);
                self.quote(place, at, None)
            }
            Cue::Halt(place) => {
                self.stocks[place].1 = Phase::Halted;
                Some((place, self.stocks[place].0.withdrawn(BELL + at)))
            }
            Cue::Resume(place) => {
                self.begin(place, Phase::Resumed { since: at }, halt(place).map_or(0.0, |halt| halt.jump));
                self.quote(place, at, Some("O"))
            }
        }
    }

    fn begin(&mut self, place: usize, phase: Phase, jump: f64) {
        let (stock, now) = &mut self.stocks[place];
        stock.jump(jump);
        *now = phase;
    }

    fn cue_next(&mut self, at: i64) {
        // Gaps between nothing and twice the mean.
        let next = at + 1 + (2.0 * self.rng.f64() / quotes_a_second(at) * 1e9) as i64;
        if next < ENDS {
            self.cue(next, Cue::Any);
        }
    }

    /// News: the market moves, and most stocks are quoted anew within a blink.
    fn shake(&mut self, at: i64) {
        self.market += 1.5e-4 * bell_curve(&mut self.rng);
        for place in 0..self.stocks.len() {
            if self.rng.u8(0..10) < 6 {
                let delay = self.rng.i64(1_000..400_000);
                self.cue(at + delay, Cue::Quote(place));
            }
        }
    }

    fn choose(&mut self) -> usize {
        let all: u32 = LISTINGS.iter().map(|listing| listing.activity).sum();
        let mut at = self.rng.u32(0..all);
        let beyond = |listing: &crate::listing::Listing| {
            let beyond = at >= listing.activity;
            at = at.saturating_sub(if beyond { listing.activity } else { 0 });
            beyond
        };
        LISTINGS.iter().map(beyond).take_while(|beyond| *beyond).count()
    }

    fn quote(&mut self, place: usize, at: i64, letters: Option<&str>) -> Option<(usize, Quote)> {
        let (stock, phase) = &mut self.stocks[place];
        let mood = mood(*phase, at, stock.listing.activity)?;
        stock.walk(at, liveliness(at), &mut self.rng);
        // Now and then one side is not automated: the bid's letter first, then the ask's.
        let usual = match self.rng.u32(0..1000) {
            0..=2 if stock.listing.tape != b'C' => "RA",
            3..=5 if stock.listing.tape != b'C' => "BR",
            _ => "R",
        };
        Some((place, stock.quote(BELL + at, self.market, &mood, letters.unwrap_or(usual), &mut self.rng)))
    }
}

impl Iterator for OpeningBell {
    type Item = (usize, Quote);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Reverse((at, _, cue)) = self.cues.pop()?;
            if let Some(quote) = self.act(at, cue) {
                return Some(quote);
            }
        }
    }
}

fn halt(place: usize) -> Option<&'static Halt> {
    HALTS.iter().find(|halt| halt.symbol == LISTINGS[place].symbol)
}

/// Over all stocks.
fn quotes_a_second(at: i64) -> f64 {
    let seconds = at as f64 / 1e9;
    if at < 0 {
        return 2.0 + 6.0 / (1.0 - seconds / 20.0);
    }
    let falling = |height: f64, half: f64| height / ((1.0 + seconds / half) * (1.0 + seconds / half));
    4.0 + falling(150.0, 15.0) + falling(2400.0, 0.5)
}

/// How far prices move in a second, against a calm one.
fn liveliness(at: i64) -> f64 {
    if at < 0 { 0.7 } else { 1.0 + 4.0 / (1.0 + at as f64 / 20e9) }
}

/// `None` while it is halted.
fn mood(phase: Phase, at: i64, activity: u32) -> Option<Mood> {
    // Falls to a half in so many seconds, to a quarter in three times as many.
    let fading = |since: i64, half: f64| 1.0 / (1.0 + (at - since) as f64 / 1e9 / half);
    let quiet = activity < 10;
    Some(match phase {
        Phase::Halted => return None,
        Phase::Before => Mood {
            wide: if quiet { 9.0 } else { 3.0 },
            depth: 0.3,
            crossed: 0.002,
            locked: 0.004,
            one_sided: if quiet { 0.06 } else { 0.003 },
            far: if quiet { 0.05 } else { 0.001 },
        },
        Phase::Open { since } => Mood {
            wide: 1.0 + 5.0 * fading(since, 4.0),
            depth: 1.0 - 0.7 * fading(since, 10.0),
            crossed: 0.001 + 0.012 * fading(since, 2.0),
            locked: 0.004 + 0.02 * fading(since, 3.0),
            one_sided: 0.0008,
            far: 0.0,
        },
        Phase::Resumed { since } => Mood {
            wide: 1.5 + 40.0 * fading(since, 6.0),
            depth: 1.0 - 0.8 * fading(since, 20.0),
            crossed: 0.002,
            locked: 0.006,
            one_sided: 0.02 * fading(since, 10.0),
            far: 0.0,
        },
    })
}

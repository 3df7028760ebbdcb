use fastrand::Rng;
use quotegate_market::{Quote, conditions};

use crate::listing::{EXCHANGES, Listing, round_lot};

/// A stock in a scenario: its price and the exchanges that quote it.
#[derive(Debug)]
pub(crate) struct Stock {
    pub(crate) listing: Listing,
    /// Its own move so far, apart from the market's, as a fraction of its price.
    own_move: f64,
    moved_at: i64,
    bid_exchange: u8,
    ask_exchange: u8,
}

/// How liquid a stock is, compared with a calm market.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Liquidity {
    /// Spread, as a multiple of the calm one.
    pub(crate) wide: f64,
    /// Size at the best price, as a multiple of the calm one.
    pub(crate) depth: f64,
    /// How often bid and ask are crossed, locked, or one is missing.
    pub(crate) crossed: f64,
    pub(crate) locked: f64,
    pub(crate) one_sided: f64,
    /// How often both sides are far from the price.
    pub(crate) far: f64,
}

impl Stock {
    pub(crate) fn new(listing: Listing, at: i64) -> Self {
        Self { listing, own_move: 0.0, moved_at: at, bid_exchange: 0, ask_exchange: 0 }
    }

    /// Moves the price randomly up to the time `at`; `factor` scales the calm volatility.
    pub(crate) fn walk(&mut self, at: i64, factor: f64, rng: &mut Rng) {
        let seconds = (at - self.moved_at).max(0) as f64 / 1e9;
        self.moved_at = at;
        self.jump(self.listing.volatility * factor * seconds.sqrt() * bell_curve(rng));
    }

    /// Moves the price by this many basis points.
    pub(crate) fn jump(&mut self, basis_points: f64) {
        self.own_move += basis_points * 1e-4;
    }

    /// A quote at `time`. `market` is the whole market's move so far, as a fraction of the price.
    pub(crate) fn quote(
        &mut self,
        time: i64,
        market: f64,
        liquidity: &Liquidity,
        letters: &str,
        rng: &mut Rng,
    ) -> Quote {
        let mid = self.listing.cents * (1.0 + market + self.own_move);
        let (bid, ask) = self.prices(mid, liquidity, rng);
        self.choose_exchanges(bid >= ask, rng);
        let one_sided = bid == 0 || ask == 0;
        // Only Nasdaq's tape has a letter for one-sided quotes.
        let letters = if one_sided && self.listing.tape == b'C' { "Y" } else { letters };
        Quote {
            bid_price: bid as f64 / 100.0,
            bid_size: self.size(bid, liquidity, rng),
            ask_price: ask as f64 / 100.0,
            ask_size: self.size(ask, liquidity, rng),
            bid_exchange: if bid == 0 { 0 } else { self.bid_exchange },
            ask_exchange: if ask == 0 { 0 } else { self.ask_exchange },
            tape: self.listing.tape,
            conditions: conditions::pack(letters.as_bytes().chunks(1)),
            event_time: time,
            received_time: 0,
        }
    }

    /// The empty, non-firm quote when trading halts.
    pub(crate) fn withdrawn(&self, time: i64) -> Quote {
        let conditions = conditions::pack([&b"N"[..]]);
        Quote { tape: self.listing.tape, conditions, event_time: time, ..Quote::default() }
    }

    /// Bid and ask in cents.
    fn prices(&self, mid: f64, liquidity: &Liquidity, rng: &mut Rng) -> (i64, i64) {
        let half = (self.listing.spread * 1e-4 * mid * liquidity.wide * (0.3 + 0.4 * rng.f64())).max(0.5);
        let (bid, ask) = ((mid - half).round() as i64, (mid + half).round() as i64);
        let (bid, ask) = (bid, ask.max(bid + 1));
        let middle = mid.round() as i64;
        let mut draw = rng.f64();
        let mut falls_to = |part: f64| {
            draw -= part;
            draw < 0.0
        };
        if falls_to(liquidity.crossed) {
            (middle + rng.i64(1..=2), middle - rng.i64(0..=1))
        } else if falls_to(liquidity.locked) {
            (middle, middle)
        } else if falls_to(liquidity.one_sided) {
            if rng.bool() { (bid, 0) } else { (0, ask) }
        } else if falls_to(liquidity.far) {
            // Whole dollars, as people type them.
            let away = 0.05 + 0.1 * rng.f64();
            (((mid * (1.0 - away)) / 100.0) as i64 * 100, ((mid * (1.0 + away)) / 100.0 + 1.0) as i64 * 100)
        } else {
            (bid, ask)
        }
    }

    /// Often keeps the exchanges. With `apart`, bid and ask get different ones, because an exchange cannot be locked or
    /// crossed with itself.
    fn choose_exchanges(&mut self, apart: bool, rng: &mut Rng) {
        let (letters, weights) = &EXCHANGES[usize::from(self.listing.tape == b'C')];
        let new = |rng: &mut Rng| letters[draw(weights.iter().copied(), rng)];
        let change = |held: u8, rng: &mut Rng| if held != 0 && rng.u8(0..10) < 6 { held } else { new(rng) };
        self.bid_exchange = change(self.bid_exchange, rng);
        self.ask_exchange = change(self.ask_exchange, rng);
        while apart && self.bid_exchange == self.ask_exchange {
            self.ask_exchange = new(rng);
        }
    }

    /// Shares at a price: round lots with a long tail, sometimes an odd lot.
    fn size(&self, cents: i64, liquidity: &Liquidity, rng: &mut Rng) -> f64 {
        if cents == 0 {
            return 0.0;
        }
        let lot = round_lot(cents);
        let tail = rng.f64();
        let most = f64::from(self.listing.depth) * liquidity.depth * 2.0;
        let lots = 1 + (tail * tail * tail * most) as u32;
        let odd = if rng.u8(0..100) < 4 { rng.u32(1..lot.max(2)) } else { 0 };
        f64::from(if odd > 0 { (lots - 1) * lot + odd } else { lots * lot })
    }
}

/// A random index, weighted.
pub(crate) fn draw(weights: impl Iterator<Item = u32> + Clone, rng: &mut Rng) -> usize {
    let mut at = rng.u32(0..weights.clone().sum());
    weights
        .take_while(|weight| {
            let beyond = at >= *weight;
            at = at.saturating_sub(*weight);
            beyond
        })
        .count()
}

/// Approximates a normal distribution of variance 1 with arithmetic that is exact on every CPU. The sample recording must
/// be identical everywhere, and logarithms are not.
pub(crate) fn bell_curve(rng: &mut Rng) -> f64 {
    let mut side = || 2.0 * rng.f64() - 1.0;
    side() + side() + side()
}

use fastrand::Rng;
use quotegate_market::{Quote, Symbol, conditions};

/// Symbols with random prices: the same seed gives the same quotes in the same order.
#[derive(Debug)]
pub(crate) struct Market {
    walks: Vec<RandomWalk>,
    rng: Rng,
}

#[derive(Debug)]
struct RandomWalk {
    symbol: Symbol,
    /// In cents.
    mid: i64,
    tape: u8,
}

impl Market {
    pub(crate) fn new(symbols: Vec<Symbol>, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let walk =
            |symbol| RandomWalk { symbol, mid: rng.i64(500..60_000), tape: *rng.choice(b"ABC").unwrap_or(&b'A') };
        let walks = symbols.into_iter().map(walk).collect();
        Self { walks, rng }
    }

    pub(crate) fn symbols(&self) -> impl Iterator<Item = &Symbol> {
        self.walks.iter().map(|walk| &walk.symbol)
    }

    /// A quote of one of the symbols at the indexes `chosen`, more often of the first ones. `time` is its exchange time.
    pub(crate) fn quote(&mut self, chosen: &[usize], time: i64) -> Option<(&Symbol, Quote)> {
        // Squaring favors the front: a tenth of the symbols gets about a third of the quotes.
        let at = (self.rng.f64().powi(2) * chosen.len() as f64) as usize;
        let walk = self.walks.get_mut(*chosen.get(at)?)?;
        let rng = &mut self.rng;
        walk.mid = (walk.mid + rng.i64(-3..=3)).clamp(100, 10_000_000);
        // Sometimes locked, crossed or one-sided, as on the real tapes.
        let (bid, ask) = match rng.u16(0..1000) {
            0..=4 => (walk.mid, walk.mid),
            5..=7 => (walk.mid + 1, walk.mid - 1),
            8 => (0, walk.mid + 1),
            9 => (walk.mid - 1, 0),
            _ => (walk.mid - rng.i64(1..=3), walk.mid + rng.i64(1..=3)),
        };
        // Mostly round lots.
        let size = |rng: &mut Rng, price| {
            let size = if rng.u8(0..10) == 0 { rng.u32(1..100) } else { 100 * rng.u32(1..50) };
            if price == 0 { 0.0 } else { f64::from(size) }
        };
        let quote = Quote {
            bid_price: bid as f64 / 100.0,
            bid_size: size(rng, bid),
            ask_price: ask as f64 / 100.0,
            ask_size: size(rng, ask),
            bid_exchange: b'V',
            ask_exchange: b'V',
            tape: walk.tape,
            conditions: conditions::pack([&b"R"[..]]),
            event_time: time,
            received_time: 0,
        };
        Some((&walk.symbol, quote))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Universe;

    fn quotes(seed: u64) -> Vec<(Symbol, Quote)> {
        let mut market = Market::new(Universe::Count(50).symbols(), seed);
        let all: Vec<_> = (0..50).collect();
        (0..5000).map(|time| market.quote(&all, time).map(|(symbol, quote)| (symbol.clone(), quote)).unwrap()).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_quotes() {
        assert_eq!(quotes(7), quotes(7));
        assert_ne!(quotes(7), quotes(8));
    }

    #[test]
    fn most_quotes_are_ordinary_and_some_are_locked_crossed_or_one_sided() {
        let quotes = quotes(7);
        let count = |fits: fn(&Quote) -> bool| quotes.iter().filter(|(_, quote)| fits(quote)).count();
        assert!(count(|q| q.bid_price == q.ask_price) > 0);
        assert!(count(|q| q.ask_price > 0.0 && q.bid_price > q.ask_price) > 0);
        assert!(count(|q| q.mid().is_none()) > 0);
        assert!(count(|q| q.mid().is_some() && q.bid_price < q.ask_price) > 4500);
    }
}

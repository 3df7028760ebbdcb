use fastrand::Rng;
use quotegate_market::{Quote, Symbol, conditions};

/// Prices that walk: the same seed gives the same quotes in the same order.
#[derive(Debug)]
pub(crate) struct Market {
    stocks: Vec<Stock>,
    rng: Rng,
}

#[derive(Debug)]
struct Stock {
    symbol: Symbol,
    /// In cents.
    mid: i64,
    tape: u8,
}

impl Market {
    pub(crate) fn new(symbols: Vec<Symbol>, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let stock = |symbol| Stock { symbol, mid: rng.i64(500..60_000), tape: *rng.choice(b"ABC").unwrap_or(&b'A') };
        let stocks = symbols.into_iter().map(stock).collect();
        Self { stocks, rng }
    }

    pub(crate) fn symbols(&self) -> impl Iterator<Item = &Symbol> {
        self.stocks.iter().map(|stock| &stock.symbol)
    }

    /// The next quote of one of the stocks at `chosen`, the first of which are the busiest. `time` is its exchange time.
    pub(crate) fn quote(&mut self, chosen: &[usize], time: i64) -> Option<(&Symbol, Quote)> {
        // The square skews towards the front: a tenth of the symbols gets about a third of the quotes.
        let at = (self.rng.f64().powi(2) * chosen.len() as f64) as usize;
        let stock = self.stocks.get_mut(*chosen.get(at)?)?;
        let rng = &mut self.rng;
        stock.mid = (stock.mid + rng.i64(-3..=3)).clamp(100, 10_000_000);
        // Now and then a market that is locked, crossed or halted on one side, as on the tapes.
        let (bid, ask) = match rng.u16(0..1000) {
            0..=4 => (stock.mid, stock.mid),
            5..=7 => (stock.mid + 1, stock.mid - 1),
            8 => (0, stock.mid + 1),
            9 => (stock.mid - 1, 0),
            _ => (stock.mid - rng.i64(1..=3), stock.mid + rng.i64(1..=3)),
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
            tape: stock.tape,
            conditions: conditions::pack([&b"R"[..]]),
            event_time: time,
            received_time: 0,
        };
        Some((&stock.symbol, quote))
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
    fn markets_lock_cross_halt_and_are_mostly_ordinary() {
        let quotes = quotes(7);
        let count = |fits: fn(&Quote) -> bool| quotes.iter().filter(|(_, quote)| fits(quote)).count();
        assert!(count(|q| q.bid_price == q.ask_price) > 0);
        assert!(count(|q| q.ask_price > 0.0 && q.bid_price > q.ask_price) > 0);
        assert!(count(|q| q.mid().is_none()) > 0);
        assert!(count(|q| q.mid().is_some() && q.bid_price < q.ask_price) > 4500);
    }
}

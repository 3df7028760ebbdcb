use std::collections::HashMap;

use fastrand::Rng;
use quotegate_market::{Quote, Symbol, conditions};

/// Symbols with random prices, and the latest quote of each: the same seed gives the same quotes in the same order. All
/// clients see the same market, on the stream and over REST.
#[derive(Debug)]
pub(crate) struct Market {
    walks: Vec<RandomWalk>,
    places: HashMap<Symbol, usize>,
    rng: Rng,
}

#[derive(Debug)]
struct RandomWalk {
    symbol: Symbol,
    /// In cents.
    mid: i64,
    tape: u8,
    /// False for a symbol of which only the quotes are known that a test has sent.
    is_simulated: bool,
    latest: Option<Quote>,
}

impl Market {
    pub(crate) fn new(symbols: Vec<Symbol>, seed: u64) -> Self {
        let mut market = Self { walks: Vec::new(), places: HashMap::new(), rng: Rng::with_seed(seed) };
        for symbol in symbols {
            market.simulate(&symbol);
        }
        market
    }

    /// From now on the symbol is quoted.
    pub(crate) fn simulate(&mut self, symbol: &Symbol) {
        let place = self.place(symbol);
        self.walks[place].is_simulated = true;
    }

    /// The indexes of the quoted symbols that fit.
    pub(crate) fn simulated(&self, fits: impl Fn(&Symbol) -> bool) -> Vec<usize> {
        let walks = self.walks.iter().enumerate();
        walks.filter(|(_, walk)| walk.is_simulated && fits(&walk.symbol)).map(|(at, _)| at).collect()
    }

    pub(crate) fn symbol(&self, at: usize) -> Option<&Symbol> {
        self.walks.get(at).map(|walk| &walk.symbol)
    }

    /// A quote of one of the symbols at the indexes `chosen`, more often of the first ones. `time` is its exchange time.
    pub(crate) fn quote(&mut self, chosen: &[usize], time: i64) -> Option<(&Symbol, Quote)> {
        // Squaring favors the front: a tenth of the symbols gets about a third of the quotes.
        let at = (self.rng.f64().powi(2) * chosen.len() as f64) as usize;
        let at = *chosen.get(at)?;
        let quote = self.walks.get_mut(at)?.step(&mut self.rng, time);
        Some((&self.walks[at].symbol, quote))
    }

    /// Keeps a quote that did not come from here, unless a newer one is known.
    pub(crate) fn record(&mut self, symbol: &Symbol, quote: &Quote) {
        let place = self.place(symbol);
        let latest = &mut self.walks[place].latest;
        if latest.is_none_or(|latest| latest.event_time <= quote.event_time) {
            *latest = Some(*quote);
        }
    }

    /// The latest quote. A simulated symbol without one gets its first, at `time`; `None`: it stays without.
    pub(crate) fn latest(&mut self, symbol: &Symbol, time: Option<i64>) -> Option<Quote> {
        let walk = &mut self.walks[*self.places.get(symbol)?];
        match (walk.latest, time) {
            (None, Some(time)) if walk.is_simulated => Some(walk.step(&mut self.rng, time)),
            (latest, _) => latest,
        }
    }

    fn place(&mut self, symbol: &Symbol) -> usize {
        if let Some(place) = self.places.get(symbol) {
            return *place;
        }
        let (mid, tape) = (self.rng.i64(500..60_000), *self.rng.choice(b"ABC").unwrap_or(&b'A'));
        self.walks.push(RandomWalk { symbol: symbol.clone(), mid, tape, is_simulated: false, latest: None });
        self.places.insert(symbol.clone(), self.walks.len() - 1);
        self.walks.len() - 1
    }
}

impl RandomWalk {
    fn step(&mut self, rng: &mut Rng, time: i64) -> Quote {
        self.mid = (self.mid + rng.i64(-3..=3)).clamp(100, 10_000_000);
        // Sometimes locked, crossed or one-sided, as on the real tapes.
        let (bid, ask) = match rng.u16(0..1000) {
            0..=4 => (self.mid, self.mid),
            5..=7 => (self.mid + 1, self.mid - 1),
            8 => (0, self.mid + 1),
            9 => (self.mid - 1, 0),
            _ => (self.mid - rng.i64(1..=3), self.mid + rng.i64(1..=3)),
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
            tape: self.tape,
            conditions: conditions::pack([&b"R"[..]]),
            event_time: time,
            received_time: 0,
        };
        self.latest = Some(quote);
        quote
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Universe;

    fn quotes(seed: u64) -> Vec<(Symbol, Quote)> {
        let mut market = Market::new(Universe::Count(50).symbols(), seed);
        let all = market.simulated(|_| true);
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

    #[test]
    fn the_latest_quote_is_the_newest_that_was_sent() {
        let [known, other] = ["SPY", "OTHER"].map(|name| Symbol::new(name).unwrap());
        let mut market = Market::new(vec![known.clone()], 1);
        assert_eq!((market.latest(&known, None), market.latest(&other, Some(1))), (None, None));
        let first = market.latest(&known, Some(5)).unwrap();
        assert_eq!((first.event_time, market.latest(&known, Some(9))), (5, Some(first)));
        let sent = market.quote(&[0], 7).map(|(_, quote)| quote);
        assert_eq!(market.latest(&known, Some(9)), sent);
        let quote = |event_time| Quote { event_time, ..Quote::default() };
        market.record(&other, &quote(3));
        market.record(&other, &quote(2));
        assert_eq!(market.latest(&other, Some(9)), Some(quote(3)));
        assert_eq!(market.simulated(|_| true), [0], "a symbol that a test has sent is not simulated");
    }
}

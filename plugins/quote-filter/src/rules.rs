use quotegate_plugin_sdk::{Column, ColumnFilter, Columns, QuoteColumns};

use crate::config::{Config, Settings, Treatment};
use crate::letters::Letters;
use crate::movement::Movement;
use crate::sessions::Sessions;

/// The names of the reasons; the first is verdict byte 1.
pub const REASONS: [&str; 11] =
    ["symbol", "one_sided", "crossed", "locked", "price", "size", "spread", "exchange", "condition", "session", "move"];

/// A verdict while the rules are at work: as wide as a price, so that the compiler judges several quotes at a time.
type Verdict = u64;

const SYMBOL: Verdict = 1;
const ONE_SIDED: Verdict = 2;
const CROSSED: Verdict = 3;
const LOCKED: Verdict = 4;
const PRICE: Verdict = 5;
const SIZE: Verdict = 6;
const SPREAD: Verdict = 7;
const EXCHANGE: Verdict = 8;
const CONDITION: Verdict = 9;
const SESSION: Verdict = 10;
const MOVE: Verdict = 11;

/// Checked settings and what was learned of the symbols so far.
#[derive(Debug)]
pub struct Rules {
    config: Config,
    /// By symbol number: whether its quotes may pass.
    allowed: Vec<bool>,
    exchanges: Option<Letters>,
    conditions: Option<Letters>,
    sessions: Option<Sessions>,
    movement: Option<Movement>,
    /// Kept for its memory.
    verdicts: Vec<Verdict>,
}

impl ColumnFilter for Rules {
    type Config = Settings;
    const REASONS: &'static [&'static str] = &REASONS;

    fn new(_tenant: &str, settings: Settings) -> Result<Self, String> {
        Config::new(settings).map(Self::of)
    }

    fn columns(&self) -> Columns {
        use Column::{AskExchange, AskPrice, AskSize, BidExchange, BidPrice, BidSize, Conditions, EventTime};
        let config = &self.config;
        let shapes = [config.crossed, config.locked, config.one_sided].contains(&Treatment::Refuse);
        let limits = [config.min_price, config.max_price, config.max_spread_bps, config.min_size];
        let prices =
            shapes || limits.iter().any(Option::is_some) || self.exchanges.is_some() || self.movement.is_some();
        let wanted: [(bool, &[Column]); 5] = [
            (prices, &[BidPrice, AskPrice]),
            (config.min_size.is_some(), &[BidSize, AskSize]),
            (self.exchanges.is_some(), &[BidExchange, AskExchange]),
            (self.conditions.is_some(), &[Conditions]),
            (self.sessions.is_some(), &[EventTime]),
        ];
        wanted.iter().filter(|(wanted, _)| *wanted).fold(Columns::default(), |set, (_, columns)| set.with(columns))
    }

    fn learn_symbol(&mut self, name: &str) {
        let Config { allow_symbols, deny_symbols, .. } = &self.config;
        let listed = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, name));
        self.allowed.push((allow_symbols.is_empty() || listed(allow_symbols)) && !listed(deny_symbols));
        if let Some(movement) = &mut self.movement {
            movement.learn_symbol();
        }
    }

    /// The first reason of [`REASONS`] that applies. A symbol number that was never learned is refused where a rule
    /// asks for the symbol.
    fn judge(&mut self, quotes: &QuoteColumns) -> Vec<u8> {
        let mut verdicts = std::mem::take(&mut self.verdicts);
        verdicts.clear();
        verdicts.resize(quotes.symbol.len(), 0);
        self.judge_symbols(quotes, &mut verdicts);
        self.judge_shapes(quotes, &mut verdicts);
        self.judge_limits(quotes, &mut verdicts);
        self.judge_origin(quotes, &mut verdicts);
        self.judge_movement(quotes, &mut verdicts);
        let answer = verdicts.iter().map(|verdict| verdict.to_le_bytes()[0]).collect();
        self.verdicts = verdicts;
        answer
    }
}

impl Rules {
    /// Rules of these settings, with no symbol known yet.
    #[must_use]
    pub fn of(config: Config) -> Self {
        Self {
            allowed: Vec::new(),
            exchanges: Letters::new(&config.allow_exchanges, &config.deny_exchanges),
            conditions: Letters::new(&config.allow_conditions, &config.deny_conditions),
            sessions: Sessions::new(&config.sessions),
            movement: Movement::new(config.min_move_bps, config.min_move),
            verdicts: Vec::new(),
            config,
        }
    }

    fn judge_symbols(&self, quotes: &QuoteColumns, verdicts: &mut [Verdict]) {
        if self.config.allow_symbols.is_empty() && self.config.deny_symbols.is_empty() {
            return;
        }
        for (verdict, &number) in verdicts.iter_mut().zip(&quotes.symbol) {
            let allowed = self.allowed.get(number as usize).copied().unwrap_or(false);
            *verdict = if allowed { 0 } else { SYMBOL };
        }
    }

    fn judge_shapes(&self, quotes: &QuoteColumns, verdicts: &mut [Verdict]) {
        let (config, bids, asks) = (&self.config, &quotes.bid_price, &quotes.ask_price);
        if config.one_sided == Treatment::Refuse {
            refuse(verdicts, ONE_SIDED, bids, asks, |bid, ask| (bid == 0.0) | (ask == 0.0));
        }
        if config.crossed == Treatment::Refuse {
            refuse(verdicts, CROSSED, bids, asks, |bid, ask| (ask != 0.0) & (bid > ask));
        }
        if config.locked == Treatment::Refuse {
            refuse(verdicts, LOCKED, bids, asks, |bid, ask| (bid != 0.0) & (bid == ask));
        }
    }

    fn judge_limits(&self, quotes: &QuoteColumns, verdicts: &mut [Verdict]) {
        let (config, bids, asks) = (&self.config, &quotes.bid_price, &quotes.ask_price);
        if let Some(min) = config.min_price {
            let low = move |price: f64| (price != 0.0) & (price < min);
            refuse(verdicts, PRICE, bids, asks, |bid, ask| low(bid) | low(ask));
        }
        if let Some(max) = config.max_price {
            refuse(verdicts, PRICE, bids, asks, |bid, ask| (bid > max) | (ask > max));
        }
        if let Some(min) = config.min_size {
            // A side without a quote has no size to judge; `one_sided` is the rule for it.
            refuse(verdicts, SIZE, bids, &quotes.bid_size, |bid, size| (bid != 0.0) & (size < min));
            refuse(verdicts, SIZE, asks, &quotes.ask_size, |ask, size| (ask != 0.0) & (size < min));
        }
        if let Some(max) = config.max_spread_bps {
            // spread / middle * 10,000 > max, without a division.
            refuse(verdicts, SPREAD, bids, asks, |bid, ask| {
                (bid != 0.0) & (ask != 0.0) & ((ask - bid) * 20_000.0 > max * (ask + bid))
            });
        }
    }

    fn judge_origin(&mut self, quotes: &QuoteColumns, verdicts: &mut [Verdict]) {
        if let Some(exchanges) = &self.exchanges {
            // A side without a quote has no exchange to judge.
            let wrong = |price: f64, exchange: u8| (price != 0.0) & !exchanges.pass(exchange);
            refuse(verdicts, EXCHANGE, &quotes.bid_price, &quotes.bid_exchange, wrong);
            refuse(verdicts, EXCHANGE, &quotes.ask_price, &quotes.ask_exchange, wrong);
        }
        if let Some(conditions) = &self.conditions {
            refuse(verdicts, CONDITION, &quotes.conditions, &quotes.symbol, |packed, _| !conditions.all_pass(packed));
        }
        if let Some(sessions) = &mut self.sessions {
            refuse(verdicts, SESSION, &quotes.event_time, &quotes.symbol, |time, _| !sessions.pass(time));
        }
    }

    /// Comes last, because only a quote that no other rule refuses is one to hold the next against.
    fn judge_movement(&mut self, quotes: &QuoteColumns, verdicts: &mut [Verdict]) {
        let Some(movement) = &mut self.movement else { return };
        let prices = quotes.bid_price.iter().zip(&quotes.ask_price);
        for ((verdict, &symbol), (&bid, &ask)) in verdicts.iter_mut().zip(&quotes.symbol).zip(prices) {
            if *verdict == 0 && !movement.accept(symbol, bid, ask) {
                *verdict = MOVE;
            }
        }
    }
}

/// Gives `reason` to every quote that has none yet and for which `wrong` holds.
fn refuse<A: Copy, B: Copy>(
    verdicts: &mut [Verdict],
    reason: Verdict,
    left: &[A],
    right: &[B],
    mut wrong: impl FnMut(A, B) -> bool,
) {
    for ((verdict, &left), &right) in verdicts.iter_mut().zip(left).zip(right) {
        let fresh = (*verdict == 0) & wrong(left, right);
        *verdict |= if fresh { reason } else { 0 };
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |stem| name.starts_with(stem))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use quotegate_plugin_sdk::QuoteView;
    use quotegate_plugin_sdk::testing::{filter_columns, quote};

    use super::*;

    fn verdicts(config: &str, quotes: &[QuoteView<'_>]) -> Vec<Verdict> {
        filter_columns::<Rules>(config, quotes).unwrap().into_iter().map(Verdict::from).collect()
    }

    /// The verdict for one quote of 10 shares a side.
    fn verdict(config: &str, symbol: &str, bid: f64, ask: f64) -> Verdict {
        verdicts(config, &[quote(symbol).bid(bid).ask(ask).sizes(10.0, 10.0)])[0]
    }

    #[test]
    fn no_settings_keep_everything() {
        assert_eq!(verdict("{}", "SPY", 2.0, 1.0), 0);
        assert_eq!(verdict("{}", "SPY", 0.0, 0.0), 0);
    }

    #[test]
    fn a_denied_symbol_is_refused_even_where_a_pattern_allows_it() {
        let config = r#"{"allow_symbols": ["SP*"], "deny_symbols": ["SPXL"]}"#;
        assert_eq!(verdict(config, "SPY", 1.0, 2.0), 0);
        assert_eq!(verdict(config, "SPXL", 1.0, 2.0), SYMBOL);
        assert_eq!(verdict(config, "QQQ", 1.0, 2.0), SYMBOL);
    }

    #[test]
    fn each_shape_of_a_quote_has_its_own_reason() {
        let config = r#"{"crossed": "refuse", "locked": "refuse", "one_sided": "refuse"}"#;
        assert_eq!(verdict(config, "SPY", 2.0, 1.0), CROSSED);
        assert_eq!(verdict(config, "SPY", 2.0, 2.0), LOCKED);
        assert_eq!(verdict(config, "SPY", 2.0, 0.0), ONE_SIDED);
        assert_eq!(verdict(config, "SPY", 1.0, 2.0), 0);
    }

    #[test]
    fn a_limit_itself_passes() {
        let prices = r#"{"min_price": 1, "max_price": 2}"#;
        assert_eq!(verdict(prices, "SPY", 1.0, 2.0), 0);
        assert_eq!(verdict(prices, "SPY", 0.5, 2.0), PRICE);
        assert_eq!(verdict(prices, "SPY", 1.0, 2.5), PRICE);
        assert_eq!(verdict(r#"{"min_size": 10}"#, "SPY", 1.0, 2.0), 0);
        assert_eq!(verdict(r#"{"min_size": 11}"#, "SPY", 1.0, 2.0), SIZE);
        // 99 to 101 is 200 basis points of 100.
        assert_eq!(verdict(r#"{"max_spread_bps": 200}"#, "SPY", 99.0, 101.0), 0);
        assert_eq!(verdict(r#"{"max_spread_bps": 199}"#, "SPY", 99.0, 101.0), SPREAD);
    }

    #[test]
    fn limits_pass_over_a_side_without_a_quote() {
        let config = r#"{"min_price": 1, "min_size": 10, "max_spread_bps": 1}"#;
        assert_eq!(verdict(config, "SPY", 0.0, 2.0), 0);
    }

    #[test]
    fn the_first_reason_in_the_list_wins() {
        let config = r#"{"deny_symbols": ["BAD"], "crossed": "refuse", "max_price": 5, "min_size": 50}"#;
        assert_eq!(verdict(config, "BAD", 9.0, 8.0), SYMBOL);
        assert_eq!(verdict(config, "SPY", 9.0, 8.0), CROSSED);
        assert_eq!(verdict(config, "SPY", 8.0, 9.0), PRICE);
        assert_eq!(verdict(config, "SPY", 1.0, 2.0), SIZE);
    }

    #[test]
    fn the_size_of_the_ask_counts_as_that_of_the_bid() {
        let sides = [(10.0, 9.0), (9.0, 10.0), (10.0, 10.0)];
        let quotes = sides.map(|(bid, ask)| quote("SPY").bid(1.0).ask(2.0).sizes(bid, ask));
        assert_eq!(verdicts(r#"{"min_size": 10}"#, &quotes), [SIZE, SIZE, 0]);
    }

    #[test]
    fn exchanges_of_both_sides_must_pass_and_none_named_passes() {
        let both = quote("SPY").bid(1.0).ask(2.0);
        let quotes = [both.exchanges('V', 'V'), both.exchanges('V', 'Q'), both.exchanges('Q', 'V'), both];
        assert_eq!(verdicts(r#"{"allow_exchanges": ["V"]}"#, &quotes), [0, EXCHANGE, EXCHANGE, 0]);
        assert_eq!(verdicts(r#"{"deny_exchanges": ["V"]}"#, &quotes), [EXCHANGE, EXCHANGE, EXCHANGE, 0]);
        let one_side = quote("SPY").bid(1.0).exchanges('V', 'Q');
        assert_eq!(verdicts(r#"{"allow_exchanges": ["V"]}"#, &[one_side]), [0]);
    }

    #[test]
    fn every_condition_of_a_quote_must_pass() {
        let quotes = ["R", "RA", "A", ""].map(|letters| quote("SPY").bid(1.0).ask(2.0).conditions(letters));
        assert_eq!(verdicts(r#"{"allow_conditions": ["R"]}"#, &quotes), [0, CONDITION, CONDITION, 0]);
        assert_eq!(verdicts(r#"{"deny_conditions": ["A"]}"#, &quotes), [0, CONDITION, CONDITION, 0]);
    }

    #[test]
    fn sessions_follow_new_york_through_daylight_saving() {
        // 13:45 UTC on 2026-01-14 (8:45 in New York) and on 2026-07-15 (9:45); a Saturday noon.
        let quotes =
            [1_768_398_300, 1_784_123_100, 1_768_669_200].map(|second: i64| quote("SPY").at(second * 1_000_000_000));
        assert_eq!(verdicts(r#"{"sessions": ["regular"]}"#, &quotes), [SESSION, 0, SESSION]);
        assert_eq!(verdicts(r#"{"sessions": ["pre", "closed"]}"#, &quotes), [0, SESSION, 0]);
    }

    #[test]
    fn a_move_is_held_against_the_last_quote_of_its_symbol_that_passed() {
        let spy = |bid: f64| quote("SPY").bid(bid).ask(200.0);
        let quotes = [spy(100.0), spy(100.5), quote("QQQ").bid(100.5).ask(200.0), spy(100.75), spy(101.0), spy(101.5)];
        assert_eq!(verdicts(r#"{"min_move": 1}"#, &quotes), [0, MOVE, 0, MOVE, 0, MOVE]);
        assert_eq!(verdicts(r#"{"min_move_bps": 75}"#, &quotes), [0, MOVE, 0, 0, MOVE, MOVE]);
        assert_eq!(verdicts(r#"{"min_move": 1, "min_move_bps": 75}"#, &quotes), [0, MOVE, 0, MOVE, 0, MOVE]);
    }

    #[test]
    fn a_side_that_goes_away_is_a_move_and_a_refused_quote_is_not_held_against() {
        let config = r#"{"min_move": 5, "max_price": 150}"#;
        let quotes = [quote("SPY").bid(100.0).ask(101.0), quote("SPY").bid(160.0).ask(161.0), quote("SPY").bid(100.0)];
        assert_eq!(verdicts(config, &quotes), [0, PRICE, 0]);
        assert_eq!(verdicts(config, &[quotes[0], quotes[1], quotes[0]]), [0, PRICE, MOVE]);
    }

    #[test]
    fn only_the_columns_that_the_settings_need_are_asked_for() {
        let columns = |config| Rules::of(Config::from_json(config).unwrap()).columns();
        assert_eq!(columns(r#"{"deny_symbols": ["SPY"]}"#), Columns::default());
        let prices = Columns::default().with(&[Column::BidPrice, Column::AskPrice]);
        assert_eq!(columns(r#"{"max_spread_bps": 5}"#), prices);
        assert_eq!(columns(r#"{"min_move": 5}"#), prices);
        assert_eq!(columns(r#"{"min_size": 5}"#), prices.with(&[Column::BidSize, Column::AskSize]));
        assert_eq!(columns(r#"{"sessions": ["pre"]}"#), Columns::default().with(&[Column::EventTime]));
    }

    /// Also holds the columns that are asked for against those that are read: the others are emptied.
    #[test]
    fn a_long_batch_gets_the_verdicts_that_its_quotes_get_one_by_one() {
        let config = r#"{"deny_symbols": ["B"], "crossed": "refuse", "min_size": 20, "max_spread_bps": 300,
            "deny_exchanges": ["Q"], "deny_conditions": ["A"], "sessions": ["regular"], "min_move": 0.5}"#;
        let mut random = fastrand::Rng::with_seed(7);
        let quotes: Vec<_> = (0..5_000)
            .map(|_| {
                let bid = f64::from(random.u32(90..110));
                quote(["A", "B", "C"][random.usize(..3)])
                    .bid(bid)
                    .ask(bid + f64::from(random.i32(-1..5)))
                    .sizes(f64::from(random.u32(10..200)), f64::from(random.u32(10..200)))
                    .exchanges(['V', 'Q'][random.usize(..2)], 'V')
                    .conditions(["", "R", "RA"][random.usize(..3)])
                    .at(1_784_123_100_000_000_000 + random.i64(0..40_000) * 1_000_000_000)
            })
            .collect();
        let whole = verdicts(config, &quotes);
        let mut rules = Rules::of(Config::from_json(config).unwrap());
        ["A", "B", "C"].iter().for_each(|name| rules.learn_symbol(name));
        for (quote, expected) in quotes.iter().zip(&whole) {
            let mut columns = QuoteColumns::default();
            let number = ["A", "B", "C"].iter().position(|name| *name == quote.symbol).unwrap();
            columns.push(u32::try_from(number).unwrap(), quote);
            columns.tape.clear();
            columns.received_time.clear();
            assert_eq!(
                rules.judge(&columns).into_iter().map(Verdict::from).collect::<Vec<_>>(),
                [*expected],
                "{quote:?}"
            );
        }
        for reason in [0, SYMBOL, CROSSED, SIZE, SPREAD, EXCHANGE, CONDITION, SESSION, MOVE] {
            assert!(whole.contains(&reason), "reason {reason} was never given");
        }
    }
}

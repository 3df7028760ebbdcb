/// One column of [`QuoteColumns`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Column {
    /// See [`QuoteColumns::bid_price`].
    BidPrice = 1,
    /// See [`QuoteColumns::bid_size`].
    BidSize = 1 << 1,
    /// See [`QuoteColumns::ask_price`].
    AskPrice = 1 << 2,
    /// See [`QuoteColumns::ask_size`].
    AskSize = 1 << 3,
    /// See [`QuoteColumns::bid_exchange`].
    BidExchange = 1 << 4,
    /// See [`QuoteColumns::ask_exchange`].
    AskExchange = 1 << 5,
    /// See [`QuoteColumns::tape`].
    Tape = 1 << 6,
    /// See [`QuoteColumns::conditions`].
    Conditions = 1 << 7,
    /// See [`QuoteColumns::event_time`].
    EventTime = 1 << 8,
    /// See [`QuoteColumns::received_time`].
    ReceivedTime = 1 << 9,
}

impl Column {
    /// All columns, in the order of the WIT.
    pub const ALL: [Self; 10] = [
        Self::BidPrice,
        Self::BidSize,
        Self::AskPrice,
        Self::AskSize,
        Self::BidExchange,
        Self::AskExchange,
        Self::Tape,
        Self::Conditions,
        Self::EventTime,
        Self::ReceivedTime,
    ];
}

/// A set of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Columns(u16);

impl Columns {
    /// Every column.
    pub const ALL: Self = Self((1 << 10) - 1);

    /// The same set plus these columns.
    #[must_use]
    pub fn with(self, columns: &[Column]) -> Self {
        Self(columns.iter().fold(self.0, |bits, &column| bits | column as u16))
    }

    /// Whether the set has this column.
    pub fn contains(self, column: Column) -> bool {
        self.0 & column as u16 != 0
    }

    /// The set as bits, in the order of the WIT.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn bits(self) -> u16 {
        self.0
    }
}

/// A batch of quotes with one column per field: row i of all columns is one quote. A column that the filter did not ask
/// for is empty; all others have the same length. Batch boundaries mean nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QuoteColumns {
    /// The symbols, as the numbers assigned in order by [`crate::ColumnFilter::learn_symbol`].
    pub symbol: Vec<u32>,
    /// Best bid in USD; 0 if this side has no quote.
    pub bid_price: Vec<f64>,
    /// Size at the bid, in the unit of the feed.
    pub bid_size: Vec<f64>,
    /// Best ask in USD; 0 if this side has no quote.
    pub ask_price: Vec<f64>,
    /// Size at the ask, in the unit of the feed.
    pub ask_size: Vec<f64>,
    /// Exchange of the bid, one ASCII letter; 0 if none.
    pub bid_exchange: Vec<u8>,
    /// Exchange of the ask, one ASCII letter; 0 if none.
    pub ask_exchange: Vec<u8>,
    /// Tape, one ASCII letter; 0 if none.
    pub tape: Vec<u8>,
    /// Up to four letters, see [`Conditions`].
    pub conditions: Vec<u32>,
    /// When the exchange made the quote, in nanoseconds since 1970 UTC.
    pub event_time: Vec<i64>,
    /// When it arrived at the host, in nanoseconds since 1970 UTC.
    pub received_time: Vec<i64>,
}

/// Up to four ASCII condition letters, the first in the lowest byte; unused bytes are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conditions(pub u32);

impl Conditions {
    /// Packs the first four letters of `text`.
    pub fn new(text: &str) -> Self {
        Self(text.bytes().take(4).enumerate().fold(0, |packed, (at, letter)| packed | u32::from(letter) << (8 * at)))
    }

    /// The letters, in order.
    pub fn letters(self) -> impl Iterator<Item = char> {
        self.0.to_le_bytes().into_iter().take_while(|&letter| letter != 0).map(char::from)
    }
}

/// One quote.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct QuoteView<'a> {
    /// Its symbol, such as SPY or BTC/USD.
    pub symbol: &'a str,
    /// Best bid in USD; 0 if this side has no quote.
    pub bid_price: f64,
    /// Size at the bid, in the unit of the feed.
    pub bid_size: f64,
    /// Best ask in USD; 0 if this side has no quote.
    pub ask_price: f64,
    /// Size at the ask, in the unit of the feed.
    pub ask_size: f64,
    /// Exchange of the bid.
    pub bid_exchange: Option<char>,
    /// Exchange of the ask.
    pub ask_exchange: Option<char>,
    /// Tape (A, B: CTA; C, O: UTP).
    pub tape: Option<char>,
    /// Its condition letters.
    pub conditions: Conditions,
    /// When the exchange made it, in nanoseconds since 1970 UTC.
    pub event_time: i64,
    /// When it arrived at the host, in nanoseconds since 1970 UTC.
    pub received_time: i64,
}

impl QuoteView<'_> {
    /// The midpoint of bid and ask, if both sides have a quote: 148.395 between 148.39 and 148.40, without the noise of
    /// floating-point numbers.
    pub fn mid(&self) -> Option<f64> {
        self.is_two_sided().then(|| mid(self.bid_price, self.ask_price))
    }

    /// Ask minus bid in USD, if both sides have a quote; negative for a crossed quote.
    pub fn spread(&self) -> Option<f64> {
        self.is_two_sided().then_some(self.ask_price - self.bid_price)
    }

    /// The spread in basis points of the midpoint.
    pub fn spread_bps(&self) -> Option<f64> {
        // The noise of this midpoint does not matter here, and filters compute this for every quote.
        let mid = f64::midpoint(self.bid_price, self.ask_price);
        self.spread().map(|spread| spread / mid * 10_000.0)
    }

    fn is_two_sided(&self) -> bool {
        self.bid_price > 0.0 && self.ask_price > 0.0
    }

    /// (bid size - ask size) / (bid size + ask size): 1 is all bid, -1 all ask. `None` if both are 0.
    pub fn imbalance(&self) -> Option<f64> {
        let sum = self.bid_size + self.ask_size;
        (sum > 0.0).then(|| (self.bid_size - self.ask_size) / sum)
    }
}

/// As the host computes it for documents without a map: exact as long as both prices are decimals of at most 15 digits.
fn mid(bid: f64, ask: f64) -> f64 {
    let units = |price: f64, scale: f64| {
        let units = (price * scale).round_ties_even();
        (units < (1_u64 << 51) as f64 && units / scale == price).then_some(units)
    };
    let mut scale = 100.0;
    while scale <= 1e15 {
        if let (Some(bid), Some(ask)) = (units(bid, scale), units(ask, scale)) {
            return (bid + ask) / (2.0 * scale);
        }
        scale *= 10.0;
    }
    f64::midpoint(bid, ask)
}

impl QuoteColumns {
    /// Adds one quote to every column, with its symbol as a number.
    pub fn push(&mut self, symbol: u32, quote: &QuoteView<'_>) {
        let byte = |letter: Option<char>| letter.and_then(|letter| u8::try_from(letter).ok()).unwrap_or(0);
        self.symbol.push(symbol);
        self.bid_price.push(quote.bid_price);
        self.bid_size.push(quote.bid_size);
        self.ask_price.push(quote.ask_price);
        self.ask_size.push(quote.ask_size);
        self.bid_exchange.push(byte(quote.bid_exchange));
        self.ask_exchange.push(byte(quote.ask_exchange));
        self.tape.push(byte(quote.tape));
        self.conditions.push(quote.conditions.0);
        self.event_time.push(quote.event_time);
        self.received_time.push(quote.received_time);
    }

    /// Clears all columns that are not in the set, as the host does.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn keep_only(&mut self, columns: Columns) {
        fn clear<T>(kept: bool, column: &mut Vec<T>) {
            if !kept {
                column.clear();
            }
        }
        clear(columns.contains(Column::BidPrice), &mut self.bid_price);
        clear(columns.contains(Column::BidSize), &mut self.bid_size);
        clear(columns.contains(Column::AskPrice), &mut self.ask_price);
        clear(columns.contains(Column::AskSize), &mut self.ask_size);
        clear(columns.contains(Column::BidExchange), &mut self.bid_exchange);
        clear(columns.contains(Column::AskExchange), &mut self.ask_exchange);
        clear(columns.contains(Column::Tape), &mut self.tape);
        clear(columns.contains(Column::Conditions), &mut self.conditions);
        clear(columns.contains(Column::EventTime), &mut self.event_time);
        clear(columns.contains(Column::ReceivedTime), &mut self.received_time);
    }

    /// The quote in row `row`; empty columns give 0 or none.
    pub(crate) fn view<'a>(&self, row: usize, symbol: &'a str) -> QuoteView<'a> {
        fn at<T: Copy + Default>(column: &[T], row: usize) -> T {
            column.get(row).copied().unwrap_or_default()
        }
        let letter = |byte: u8| (byte != 0).then_some(char::from(byte));
        QuoteView {
            symbol,
            bid_price: at(&self.bid_price, row),
            bid_size: at(&self.bid_size, row),
            ask_price: at(&self.ask_price, row),
            ask_size: at(&self.ask_size, row),
            bid_exchange: letter(at(&self.bid_exchange, row)),
            ask_exchange: letter(at(&self.ask_exchange, row)),
            tape: letter(at(&self.tape, row)),
            conditions: Conditions(at(&self.conditions, row)),
            event_time: at(&self.event_time, row),
            received_time: at(&self.received_time, row),
        }
    }
}

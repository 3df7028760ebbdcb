use crate::UnixNanos;
use crate::mid::mid;

/// An exchange code: one ASCII letter, or 0 if the feed sent none.
pub type Exchange = u8;

/// One quote. Prices are in USD; a price of 0 means that this side has no quote (see `bp` in Alpaca's REST docs).
/// Sizes are as Alpaca sends them: shares since November 2025, round lots before.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Quote {
    /// Best bid, or 0.
    pub bid_price: f64,
    /// Size at the bid.
    pub bid_size: f64,
    /// Best ask, or 0.
    pub ask_price: f64,
    /// Size at the ask.
    pub ask_size: f64,
    /// Exchange of the bid.
    pub bid_exchange: Exchange,
    /// Exchange of the ask.
    pub ask_exchange: Exchange,
    /// A and B: CTA; C and O: UTP; 0 if the feed has no tapes (crypto, options).
    pub tape: u8,
    /// Up to four condition letters, see [`conditions`].
    pub conditions: u32,
    /// The exchange's time of the quote.
    pub event_time: UnixNanos,
    /// When its frame arrived.
    pub received_time: UnixNanos,
}

impl Quote {
    /// The bid; `None` if this side has no quote.
    pub fn bid(&self) -> Option<f64> {
        (self.bid_price > 0.0).then_some(self.bid_price)
    }

    /// The ask; `None` if this side has no quote.
    pub fn ask(&self) -> Option<f64> {
        (self.ask_price > 0.0).then_some(self.ask_price)
    }

    /// The midpoint, rounded to one decimal more than bid and ask have; `None` unless both sides have a quote.
    pub fn mid(&self) -> Option<f64> {
        Some(mid(self.bid()?, self.ask()?))
    }
}

/// Up to four condition letters packed into a `u32`, the first in the lowest byte. One letter applies to both sides; two
/// apply to the bid and the ask.
pub mod conditions {
    /// Packs the first letter of each condition, up to four.
    pub fn pack<'a>(letters: impl IntoIterator<Item = &'a [u8]>) -> u32 {
        let firsts = letters.into_iter().filter_map(|text| text.first());
        firsts.take(4).enumerate().fold(0, |packed, (at, &letter)| packed | u32::from(letter) << (8 * at))
    }

    /// The letters of `packed`, in order.
    pub fn letters(packed: u32) -> impl Iterator<Item = char> {
        packed.to_le_bytes().into_iter().take_while(|&letter| letter != 0).map(char::from)
    }
}

macro_rules! columns {
    ($($(#[$doc:meta])* $name:ident: $kind:ty),* $(,)?) => {
        /// Many quotes, one column per field: row `i` of every column is one quote. All columns have the same length.
        ///
        /// `symbol` is a [`crate::SymbolId`] in the feed, and the tenant's slot number after the router.
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct QuoteColumns {
            /// The number of the symbol.
            pub symbol: Vec<u32>,
            $($(#[$doc])* pub $name: Vec<$kind>,)*
        }

        impl QuoteColumns {
            /// Columns with room for `rows` quotes.
            pub fn with_capacity(rows: usize) -> Self {
                Self { symbol: Vec::with_capacity(rows), $($name: Vec::with_capacity(rows),)* }
            }

            /// Adds one quote.
            #[inline]
            pub fn push(&mut self, symbol: u32, quote: &Quote) {
                self.symbol.push(symbol);
                $(self.$name.push(quote.$name);)*
            }

            /// The quote in row `row`. Panics if there is no such row.
            #[inline]
            pub fn quote(&self, row: usize) -> Quote {
                Quote { $($name: self.$name[row],)* }
            }

            /// Overwrites row `row`.
            #[inline]
            pub fn set(&mut self, row: usize, symbol: u32, quote: &Quote) {
                self.symbol[row] = symbol;
                $(self.$name[row] = quote.$name;)*
            }

            /// Copies row `from` over row `to`.
            #[inline]
            pub fn copy_row(&mut self, from: usize, to: usize) {
                self.symbol[to] = self.symbol[from];
                $(self.$name[to] = self.$name[from];)*
            }

            /// Keeps the first `rows` rows.
            pub fn truncate(&mut self, rows: usize) {
                self.symbol.truncate(rows);
                $(self.$name.truncate(rows);)*
            }

            /// Appends every row of `other`.
            pub fn append(&mut self, other: &Self) {
                self.symbol.extend_from_slice(&other.symbol);
                $(self.$name.extend_from_slice(&other.$name);)*
            }

            /// Adds quotes, column by column.
            pub fn extend<'a>(&mut self, quotes: impl Iterator<Item = (u32, &'a Quote)> + Clone) {
                self.symbol.extend(quotes.clone().map(|(symbol, _)| symbol));
                $(self.$name.extend(quotes.clone().map(|(_, quote)| quote.$name));)*
            }
        }
    };
}

columns! {
    /// See [`Quote::bid_price`].
    bid_price: f64,
    /// See [`Quote::bid_size`].
    bid_size: f64,
    /// See [`Quote::ask_price`].
    ask_price: f64,
    /// See [`Quote::ask_size`].
    ask_size: f64,
    /// See [`Quote::bid_exchange`].
    bid_exchange: Exchange,
    /// See [`Quote::ask_exchange`].
    ask_exchange: Exchange,
    /// See [`Quote::tape`].
    tape: u8,
    /// See [`Quote::conditions`].
    conditions: u32,
    /// See [`Quote::event_time`].
    event_time: UnixNanos,
    /// See [`Quote::received_time`].
    received_time: UnixNanos,
}

impl QuoteColumns {
    /// The number of quotes.
    pub fn len(&self) -> usize {
        self.symbol.len()
    }

    /// True if there are no quotes.
    pub fn is_empty(&self) -> bool {
        self.symbol.is_empty()
    }

    /// Removes all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Keeps the newest quote of each symbol by the exchange's time, in order, and returns how many were removed. `newest`
    /// is memory that can be used again.
    pub fn conflate(&mut self, newest: &mut Vec<u32>) -> usize {
        const NONE: u32 = u32::MAX;
        let before = self.len();
        newest.fill(NONE);
        for row in 0..before {
            let symbol = self.symbol[row] as usize;
            if symbol >= newest.len() {
                newest.resize(symbol + 1, NONE);
            }
            let held = newest[symbol];
            if held == NONE || self.event_time[row] >= self.event_time[held as usize] {
                newest[symbol] = row as u32;
            }
        }
        let mut kept = 0;
        for row in 0..before {
            if newest[self.symbol[row] as usize] == row as u32 {
                self.copy_row(row, kept);
                kept += 1;
            }
        }
        self.truncate(kept);
        before - kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_without_a_quote_has_no_mid() {
        let quote = Quote { bid_price: 10.0, ask_price: 0.0, ..Quote::default() };
        assert_eq!((quote.bid(), quote.ask(), quote.mid()), (Some(10.0), None, None));
    }

    #[test]
    fn conditions_keep_order_and_stop_at_four() {
        let packed = conditions::pack([&b"R"[..], b"Z", b"", b"A", b"B", b"C"]);
        assert_eq!(conditions::letters(packed).collect::<String>(), "RZAB");
        assert_eq!(conditions::letters(0).count(), 0);
    }

    #[test]
    fn a_row_is_read_back_unchanged() {
        let quote = Quote { bid_price: 1.5, ask_price: 2.5, tape: b'C', event_time: 7, ..Quote::default() };
        let mut columns = QuoteColumns::with_capacity(2);
        columns.push(3, &Quote::default());
        columns.push(4, &quote);
        columns.copy_row(1, 0);
        columns.truncate(1);
        assert_eq!((columns.len(), columns.symbol[0], columns.quote(0)), (1, 4, quote));
    }
}

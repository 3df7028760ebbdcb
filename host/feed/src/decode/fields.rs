//! What one message said, before it is judged.

use quotegate_market::{Quote, UnixNanos};

/// What `T` says a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    /// No `T`, or one that is no text.
    #[default]
    Missing,
    /// `q`.
    Quote,
    /// `success`, `error` or `subscription`.
    Control,
    /// Anything else: trades, bars, and what Alpaca may add.
    Unknown,
}

impl Kind {
    #[inline]
    pub(super) fn of(text: &[u8]) -> Self {
        match text {
            [b'q'] => Self::Quote,
            b"success" | b"error" | b"subscription" => Self::Control,
            _ => Self::Unknown,
        }
    }
}

/// The keys of a quote that may be absent, each one bit of [`Fields::wrong`].
#[derive(Debug, Clone, Copy)]
pub(super) enum Optional {
    BidPrice,
    BidSize,
    AskPrice,
    AskSize,
    BidExchange,
    AskExchange,
    Tape,
    Conditions,
}

/// The fields of a message as far as a quote has them. `T` may come last, so nothing is judged before the end.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) kind: Kind,
    pub(super) symbol: Option<&'a [u8]>,
    pub(super) event_time: Option<UnixNanos>,
    pub(super) quote: Quote,
    /// A bit for each [`Optional`] whose last value had the wrong type. Fatal for a quote, none of our business
    /// elsewhere: `c` is a number in bars.
    pub(super) wrong: u16,
}

impl Fields<'_> {
    pub(super) fn is_wrong(&self) -> bool {
        self.wrong != 0
    }

    /// Keeps a number; `None` for one that was of the wrong type.
    #[inline(always)]
    pub(super) fn set_number(&mut self, key: Optional, value: Option<f64>) {
        let slot = match key {
            Optional::BidPrice => &mut self.quote.bid_price,
            Optional::BidSize => &mut self.quote.bid_size,
            Optional::AskPrice => &mut self.quote.ask_price,
            _ => &mut self.quote.ask_size,
        };
        *slot = value.unwrap_or(0.0);
        self.mark(key, value.is_none());
    }

    /// Keeps an exchange or tape; `None` for one that was of the wrong type.
    #[inline(always)]
    pub(super) fn set_letter(&mut self, key: Optional, value: Option<u8>) {
        let slot = match key {
            Optional::BidExchange => &mut self.quote.bid_exchange,
            Optional::AskExchange => &mut self.quote.ask_exchange,
            _ => &mut self.quote.tape,
        };
        *slot = value.unwrap_or(0);
        self.mark(key, value.is_none());
    }

    /// Keeps packed conditions; `None` for what was neither null, nor text, nor a list of texts.
    #[inline(always)]
    pub(super) fn set_conditions(&mut self, value: Option<u32>) {
        self.quote.conditions = value.unwrap_or(0);
        self.mark(Optional::Conditions, value.is_none());
    }

    #[inline(always)]
    fn mark(&mut self, key: Optional, wrong: bool) {
        let bit = 1 << key as u16;
        self.wrong = if wrong { self.wrong | bit } else { self.wrong & !bit };
    }
}

/// The letter that names an exchange or tape: the first, if it is ASCII.
#[inline]
pub(super) fn letter(text: &[u8]) -> u8 {
    text.first().copied().filter(u8::is_ascii).unwrap_or(0)
}

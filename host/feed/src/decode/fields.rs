//! The parsed fields of one message, not validated yet.

use quotegate_market::{Quote, UnixNanos};

/// The message type, from `T`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    /// No `T`, or it is not a string.
    #[default]
    Missing,
    /// `q`.
    Quote,
    /// `success`, `error` or `subscription`.
    Control,
    /// Anything else: trades, bars, and types that Alpaca may add.
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

/// The optional keys of a quote, each one bit of [`Fields::wrong`].
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

/// The fields that a quote has. `T` may come last, so nothing is validated before the end of the message.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) kind: Kind,
    pub(super) symbol: Option<&'a [u8]>,
    pub(super) event_time: Option<UnixNanos>,
    pub(super) quote: Quote,
    /// One bit for each [`Optional`] whose last value had the wrong type. That makes a quote invalid, but not other
    /// messages: `c` is a number in bars.
    pub(super) wrong: u16,
}

impl Fields<'_> {
    pub(super) fn is_wrong(&self) -> bool {
        self.wrong != 0
    }

    /// Sets a number; `None` if it had the wrong type.
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

    /// Sets an exchange or tape; `None` if it had the wrong type.
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

    /// Sets packed conditions; `None` if the value was neither null, nor a string, nor a list of strings.
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

/// The letter of an exchange or tape: the first one, if it is ASCII.
#[inline]
pub(super) fn letter(text: &[u8]) -> u8 {
    text.first().copied().filter(u8::is_ascii).unwrap_or(0)
}

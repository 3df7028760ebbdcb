//! Frames to columns. Owns the wire format of messages; knows nothing of sockets.

mod fields;
mod json;
mod key;
mod msgpack;
mod number;
mod slow;
#[cfg(test)]
mod tests;
mod timestamp;

use quotegate_market::{QuoteColumns, SymbolTable, UnixNanos};
use serde::{Deserialize, Serialize};

use crate::control::Control;
use crate::frame::Payload;
use fields::{Fields, Kind};
use timestamp::DateCache;

/// A quote this far ahead of our clock is not believed: kept as the latest, it would hide every true quote after it.
pub const MAX_AHEAD: UnixNanos = 60 * 1_000_000_000;

/// Messages that were stepped over, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Skipped {
    /// A `T` that is neither a quote nor a control message.
    pub unknown_type: u64,
    /// Broken syntax, a missing or wrong field. What follows a cut in a frame counts as one.
    pub malformed: u64,
    /// A quote more than [`MAX_AHEAD`] ahead of our clock.
    pub from_future: u64,
    /// A symbol that is no legal name, or one more than the symbol table holds.
    pub refused_symbol: u64,
}

impl Skipped {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.unknown_type + self.malformed + self.from_future + self.refused_symbol
    }
}

/// Decodes frames into columns that it owns, until the caller has used and cleared them. In steady state (symbols known,
/// columns grown) no quote costs an allocation.
#[derive(Debug, Default)]
pub struct Decoder {
    symbols: SymbolTable,
    quotes: QuoteColumns,
    controls: Vec<Control>,
    skipped: Skipped,
    dates: DateCache,
}

impl Decoder {
    /// A decoder that adds new names to `symbols`.
    pub fn new(symbols: SymbolTable) -> Self {
        Self { symbols, ..Self::default() }
    }

    /// Adds what one frame holds to [`Decoder::quotes`] and [`Decoder::take_controls`], and counts what it holds besides.
    /// Never fails: a frame cut short keeps the messages before the cut.
    pub fn decode(&mut self, payload: Payload<'_>, received_time: UnixNanos) {
        match payload {
            Payload::Text(text) => self.decode_json(text, received_time),
            // No array in MessagePack starts with `[`, so JSON in a binary frame gives itself away.
            Payload::Binary(bytes) if bytes.first() == Some(&b'[') => match std::str::from_utf8(bytes) {
                Ok(text) => self.decode_json(text, received_time),
                Err(_) => self.skipped.malformed += 1,
            },
            Payload::Binary(bytes) => self.decode_msgpack(bytes, received_time),
        }
    }

    /// The quotes since the last [`Decoder::clear_quotes`], in the order of their arrival.
    pub fn quotes(&self) -> &QuoteColumns {
        &self.quotes
    }

    /// What the numbers in the symbol column stand for.
    pub fn symbols(&self) -> &SymbolTable {
        &self.symbols
    }

    /// Forgets the quotes, keeps their memory.
    pub fn clear_quotes(&mut self) {
        self.quotes.clear();
    }

    /// The control messages since the last call, in the order of their arrival.
    pub fn take_controls(&mut self) -> Vec<Control> {
        std::mem::take(&mut self.controls)
    }

    /// What was skipped since the last call.
    pub fn take_skipped(&mut self) -> Skipped {
        std::mem::take(&mut self.skipped)
    }

    fn decode_json(&mut self, text: &str, received_time: UnixNanos) {
        let bytes = text.as_bytes();
        let start = json::skip_space(bytes, 0);
        if bytes.get(start) != Some(&b'[') {
            self.skipped.malformed += 1;
            return;
        }
        let mut at = json::skip_space(bytes, start + 1);
        if bytes.get(at) == Some(&b']') {
            self.expect_end(json::skip_space(bytes, at + 1) == bytes.len());
            return;
        }
        loop {
            let Some(end) = self.json_message(text, at, received_time) else {
                self.skipped.malformed += 1;
                return;
            };
            at = json::skip_space(bytes, end);
            match bytes.get(at) {
                Some(b',') => at = json::skip_space(bytes, at + 1),
                Some(b']') => return self.expect_end(json::skip_space(bytes, at + 1) == bytes.len()),
                _ => {
                    self.skipped.malformed += 1;
                    return;
                }
            }
        }
    }

    /// Reads the message at `at` and says where it ends; `None` when that cannot be known.
    #[inline(always)]
    fn json_message(&mut self, text: &str, at: usize, received_time: UnixNanos) -> Option<usize> {
        let mut fields = Fields::default();
        match json::object(text, at, &mut fields, &mut self.dates) {
            Ok(end) if fields.kind == Kind::Quote => {
                self.accept(&fields, received_time);
                Some(end)
            }
            _ => self.slow_json_message(text, at, received_time),
        }
    }

    #[cold]
    fn slow_json_message(&mut self, text: &str, at: usize, received_time: UnixNanos) -> Option<usize> {
        let (value, length) = slow::value(text.get(at..)?)?;
        match slow::Members::of(value) {
            None => self.skipped.malformed += 1,
            Some(members) => {
                let texts = members.texts();
                let fields = members.fields(&texts, &mut self.dates);
                if fields.kind == Kind::Control {
                    self.keep_control(serde_json::from_str(value.get()).ok().as_ref().and_then(Control::from_value));
                } else {
                    self.accept(&fields, received_time);
                }
            }
        }
        Some(at + length)
    }

    fn decode_msgpack(&mut self, bytes: &[u8], received_time: UnixNanos) {
        let mut reader = msgpack::Reader::new(bytes);
        let Some(length) = reader.array() else {
            self.skipped.malformed += 1;
            return;
        };
        for _ in 0..length {
            let mut start = reader;
            let mut fields = Fields::default();
            match reader.message(&mut fields, &mut self.dates) {
                Ok(true) if fields.kind == Kind::Control => {
                    self.keep_control(start.value().ok().as_ref().and_then(Control::from_value));
                }
                Ok(true) => self.accept(&fields, received_time),
                Ok(false) => self.skipped.malformed += 1,
                Err(msgpack::Broken) => {
                    self.skipped.malformed += 1;
                    return;
                }
            }
        }
        self.expect_end(reader.is_at_end());
    }

    /// Judges a message: the one place for both encodings and both paths.
    #[inline(always)]
    fn accept(&mut self, fields: &Fields<'_>, received_time: UnixNanos) {
        let (Kind::Quote, Some(symbol), Some(event_time), false) =
            (fields.kind, fields.symbol, fields.event_time, fields.is_wrong())
        else {
            return self.skip(fields.kind);
        };
        if event_time > received_time.saturating_add(MAX_AHEAD) {
            self.skipped.from_future += 1;
            return;
        }
        let Some(symbol) = self.symbols.intern(symbol) else {
            self.skipped.refused_symbol += 1;
            return;
        };
        let mut quote = fields.quote;
        quote.event_time = event_time;
        quote.received_time = received_time;
        self.quotes.push(symbol.0, &quote);
    }

    #[cold]
    fn skip(&mut self, kind: Kind) {
        if kind == Kind::Unknown {
            self.skipped.unknown_type += 1;
        } else {
            self.skipped.malformed += 1;
        }
    }

    fn keep_control(&mut self, control: Option<Control>) {
        match control {
            Some(control) => self.controls.push(control),
            None => self.skipped.malformed += 1,
        }
    }

    fn expect_end(&mut self, at_end: bool) {
        self.skipped.malformed += u64::from(!at_end);
    }
}

//! Decodes frames into columns. Owns the format of messages; knows nothing of sockets.

mod fallback;
mod fields;
mod json;
mod key;
mod latest_quotes;
mod msgpack;
mod number;
#[cfg(test)]
mod tests;
mod timestamp;

use quotegate_market::{Quote, QuoteColumns, Symbol, SymbolTable, UnixNanos};
use serde::{Deserialize, Serialize};

use crate::control_message::ControlMessage;
use crate::frame::Payload;
use fields::{Fields, Kind};
pub(crate) use latest_quotes::{LatestQuotes, latest_quotes};
use timestamp::DateCache;

/// A quote further ahead of our clock than this is skipped: as the latest, it would hide every real quote after it.
pub const MAX_AHEAD: UnixNanos = 60 * 1_000_000_000;

/// Skipped messages, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Skipped {
    /// `T` is neither a quote nor a control message.
    pub unknown_type: u64,
    /// Broken syntax, or a missing or invalid field. The rest of a broken frame counts as one.
    pub malformed: u64,
    /// A quote more than [`MAX_AHEAD`] ahead of our clock.
    pub from_future: u64,
    /// An invalid symbol, or the symbol table is full.
    pub refused_symbol: u64,
}

impl Skipped {
    pub(crate) fn add(&mut self, other: Self) {
        self.unknown_type += other.unknown_type;
        self.malformed += other.malformed;
        self.from_future += other.from_future;
        self.refused_symbol += other.refused_symbol;
    }

    /// The sum over all reasons.
    pub fn total(&self) -> u64 {
        self.unknown_type + self.malformed + self.from_future + self.refused_symbol
    }
}

/// Decodes frames into columns, which the caller reads and then clears. In steady state (known symbols, columns at full
/// size) a quote costs no allocation.
#[derive(Debug, Default)]
pub struct Decoder {
    symbols: SymbolTable,
    quotes: QuoteColumns,
    control_messages: Vec<ControlMessage>,
    skipped: Skipped,
    dates: DateCache,
}

impl Decoder {
    /// A decoder that adds new names to `symbols`.
    pub fn new(symbols: SymbolTable) -> Self {
        Self { symbols, ..Self::default() }
    }

    /// Decodes one frame into quotes and control messages, and counts what it skips. Never fails: the messages before a
    /// broken part of a frame are kept.
    pub fn decode(&mut self, payload: Payload<'_>, received_time: UnixNanos) {
        let decoded = match payload {
            Payload::Text(text) => self.decode_json(text, received_time),
            // No MessagePack array starts with `[`, so this is JSON in a binary frame.
            Payload::Binary(bytes) if bytes.first() == Some(&b'[') => {
                std::str::from_utf8(bytes).ok().and_then(|text| self.decode_json(text, received_time))
            }
            Payload::Binary(bytes) => self.decode_msgpack(bytes, received_time),
        };
        self.skipped.malformed += u64::from(decoded.is_none());
    }

    /// The quotes since the last [`Decoder::clear_quotes`], in order of arrival.
    pub fn quotes(&self) -> &QuoteColumns {
        &self.quotes
    }

    /// The symbols behind the ids in the symbol column.
    pub fn symbols(&self) -> &SymbolTable {
        &self.symbols
    }

    /// Removes the quotes and keeps their memory.
    pub fn clear_quotes(&mut self) {
        self.quotes.clear();
    }

    /// Adds a quote that did not come in a frame. False if the symbol table is full.
    pub(crate) fn add_quote(&mut self, symbol: &Symbol, quote: &Quote) -> bool {
        let symbol = self.symbols.intern(symbol.as_str().as_bytes());
        symbol.map(|symbol| self.quotes.push(symbol.0, quote)).is_some()
    }

    /// The control messages since the last call, in order of arrival.
    pub fn take_control_messages(&mut self) -> Vec<ControlMessage> {
        std::mem::take(&mut self.control_messages)
    }

    /// What was skipped since the last call.
    pub fn take_skipped(&mut self) -> Skipped {
        std::mem::take(&mut self.skipped)
    }

    /// `None` if the frame is malformed from some point on.
    fn decode_json(&mut self, text: &str, received_time: UnixNanos) -> Option<()> {
        let bytes = text.as_bytes();
        let start = json::skip_space(bytes, 0);
        if bytes.get(start) != Some(&b'[') {
            return None;
        }
        let mut at = json::skip_space(bytes, start + 1);
        if bytes.get(at) != Some(&b']') {
            loop {
                at = json::skip_space(bytes, self.json_message(text, at, received_time)?);
                match bytes.get(at)? {
                    b',' => at = json::skip_space(bytes, at + 1),
                    b']' => break,
                    _ => return None,
                }
            }
        }
        (json::skip_space(bytes, at + 1) == bytes.len()).then_some(())
    }

    /// Reads the message at `at` and returns where it ends; `None` if its end cannot be found.
    #[inline(always)]
    fn json_message(&mut self, text: &str, at: usize, received_time: UnixNanos) -> Option<usize> {
        let mut fields = Fields::default();
        match json::object(text, at, &mut fields, &mut self.dates) {
            Ok(end) if fields.kind == Kind::Quote => {
                self.store(&fields, received_time);
                Some(end)
            }
            _ => self.fallback_json_message(text, at, received_time),
        }
    }

    #[cold]
    fn fallback_json_message(&mut self, text: &str, at: usize, received_time: UnixNanos) -> Option<usize> {
        let (value, length) = fallback::value(text.get(at..)?)?;
        match fallback::Members::of(value) {
            None => self.skipped.malformed += 1,
            Some(members) => {
                let texts = members.texts();
                let fields = members.fields(&texts, &mut self.dates);
                if fields.kind == Kind::Control {
                    self.keep_control_message(serde_json::from_str(value.get()).ok());
                } else {
                    self.store(&fields, received_time);
                }
            }
        }
        Some(at + length)
    }

    /// `None` if the frame is malformed from some point on.
    fn decode_msgpack(&mut self, bytes: &[u8], received_time: UnixNanos) -> Option<()> {
        let mut reader = msgpack::Reader::new(bytes);
        for _ in 0..reader.array()? {
            let start = reader;
            let mut fields = Fields::default();
            match reader.message(&mut fields, &mut self.dates).ok()? {
                true if fields.kind == Kind::Control => {
                    self.keep_control_message(start.control_message(&reader));
                }
                true => self.store(&fields, received_time),
                false => self.skipped.malformed += 1,
            }
        }
        reader.is_at_end().then_some(())
    }

    /// Checks a quote and stores it. Used by both encodings, on the fast path and the fallback.
    #[inline(always)]
    fn store(&mut self, fields: &Fields<'_>, received_time: UnixNanos) {
        let (Kind::Quote, Some(symbol), Some(event_time), false) =
            (fields.kind, fields.symbol, fields.event_time, fields.is_wrong())
        else {
            return self.count_skipped(fields.kind);
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
    fn count_skipped(&mut self, kind: Kind) {
        if kind == Kind::Unknown {
            self.skipped.unknown_type += 1;
        } else {
            self.skipped.malformed += 1;
        }
    }

    fn keep_control_message(&mut self, message: Option<ControlMessage>) {
        match message {
            Some(message) => self.control_messages.push(message),
            None => self.skipped.malformed += 1,
        }
    }
}

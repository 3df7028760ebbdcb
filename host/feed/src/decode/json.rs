//! The fast path for JSON: one pass over the bytes of one message, no allocation.
//!
//! It reads what Alpaca sends. For anything unusual (an escape, a nested value, a wrong type, broken syntax) it returns
//! [`NeedsFallback`], and the caller decodes that message with serde_json (`fallback.rs`), so correctness never depends
//! on this file alone.

use quotegate_market::conditions;

use super::fields::{Fields, Kind, letter};
use super::key;
use super::number;
use super::timestamp::{DateCache, rfc3339, utc_prefix};

/// The fast path cannot decode this message.
#[derive(Debug)]
pub(super) struct NeedsFallback;

/// Reads the object at `at` into `fields` and returns where it ends. After [`NeedsFallback`], `fields` are meaningless.
#[inline]
pub(super) fn object<'a>(
    text: &'a str,
    at: usize,
    fields: &mut Fields<'a>,
    dates: &mut DateCache,
) -> Result<usize, NeedsFallback> {
    let mut cursor = Cursor { bytes: text.as_bytes(), at };
    cursor.expect(b'{')?;
    cursor.space();
    if cursor.eat(b'}') {
        return Ok(cursor.at);
    }
    loop {
        cursor.member(fields, dates)?;
        cursor.space();
        if cursor.eat(b',') {
            cursor.space();
        } else {
            cursor.expect(b'}')?;
            return Ok(cursor.at);
        }
    }
}

/// The position of the first non-whitespace byte at or after `at`.
#[inline]
pub(super) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline(always)]
    fn space(&mut self) {
        if matches!(self.peek(), Some(0..=b' ')) {
            self.at = skip_space(self.bytes, self.at);
        }
    }

    #[inline(always)]
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8) -> Result<(), NeedsFallback> {
        if self.eat(byte) { Ok(()) } else { Err(NeedsFallback) }
    }

    #[inline(always)]
    fn member(&mut self, fields: &mut Fields<'a>, dates: &mut DateCache) -> Result<(), NeedsFallback> {
        let name = self.key()?;
        self.space();
        self.expect(b':')?;
        self.space();
        match name {
            key::KIND => fields.kind = Kind::of(self.text()?),
            key::SYMBOL => fields.symbol = Some(self.text()?),
            key::BID_EXCHANGE => fields.quote.bid_exchange = self.letter()?,
            key::BID_PRICE => fields.quote.bid_price = self.number()?,
            key::BID_SIZE => fields.quote.bid_size = self.number()?,
            key::ASK_EXCHANGE => fields.quote.ask_exchange = self.letter()?,
            key::ASK_PRICE => fields.quote.ask_price = self.number()?,
            key::ASK_SIZE => fields.quote.ask_size = self.number()?,
            key::CONDITIONS => fields.quote.conditions = self.conditions()?,
            key::TAPE => fields.quote.tape = self.letter()?,
            key::TIME => fields.event_time = Some(self.time(dates)?),
            _ => self.skip()?,
        }
        Ok(())
    }

    /// The key as a number: all keys of a quote have one or two letters.
    #[inline(always)]
    fn key(&mut self) -> Result<u16, NeedsFallback> {
        match self.bytes.get(self.at..) {
            Some(&[b'"', first, b'"', ..]) if is_key_letter(first) => {
                self.at += 3;
                Ok(key::one(first))
            }
            Some(&[b'"', first, second, b'"', ..]) if is_key_letter(first) && is_key_letter(second) => {
                self.at += 4;
                Ok(key::two(first, second))
            }
            _ => self.text().map(|_| key::OTHER),
        }
    }

    #[inline(always)]
    fn text(&mut self) -> Result<&'a [u8], NeedsFallback> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => break,
                None | Some(b'\\' | 0..=0x1f) => return Err(NeedsFallback),
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        Ok(&self.bytes[start..self.at - 1])
    }

    #[inline(always)]
    fn letter(&mut self) -> Result<u8, NeedsFallback> {
        match self.bytes.get(self.at..) {
            Some(&[b'"', only, b'"', ..]) if is_plain(only) => {
                self.at += 3;
                Ok(only)
            }
            Some(&[b'n', ..]) => self.null().map(|()| 0),
            _ => self.text().map(letter),
        }
    }

    #[inline(always)]
    fn number(&mut self) -> Result<f64, NeedsFallback> {
        match number::prefix(&self.bytes[self.at..]) {
            Some((value, taken)) => {
                self.at += taken;
                Ok(value)
            }
            None => self.null().map(|()| 0.0),
        }
    }

    #[inline(always)]
    fn time(&mut self, dates: &mut DateCache) -> Result<i64, NeedsFallback> {
        if let Some((b'"', rest)) = self.bytes[self.at..].split_first()
            && let Some((time, taken)) = utc_prefix(rest, dates)
            && rest.get(taken) == Some(&b'"')
        {
            self.at += taken + 2;
            return Ok(time);
        }
        rfc3339(self.text()?, dates).ok_or(NeedsFallback)
    }

    #[inline(always)]
    fn conditions(&mut self) -> Result<u32, NeedsFallback> {
        match self.bytes.get(self.at..) {
            Some(&[b'[', b'"', only, b'"', b']', ..]) if is_plain(only) => {
                self.at += 5;
                Ok(u32::from(only))
            }
            Some(&[b'[', ..]) => self.condition_list(),
            Some(&[b'n', ..]) => self.null().map(|()| 0),
            _ => self.text().map(|text| conditions::pack([text])),
        }
    }

    fn condition_list(&mut self) -> Result<u32, NeedsFallback> {
        self.expect(b'[')?;
        self.space();
        if self.eat(b']') {
            return Ok(0);
        }
        let (mut packed, mut shift) = (0, 0);
        loop {
            if let Some(&first) = self.text()?.first()
                && shift < u32::BITS
            {
                packed |= u32::from(first) << shift;
                shift += 8;
            }
            self.space();
            if !self.eat(b',') {
                self.expect(b']')?;
                return Ok(packed);
            }
            self.space();
        }
    }

    /// Skips the value of a key that a quote does not have.
    fn skip(&mut self) -> Result<(), NeedsFallback> {
        match self.peek() {
            Some(b'"') => self.text().map(|_| ()),
            Some(b'-' | b'0'..=b'9') => self.number().map(|_| ()),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            _ => self.null(),
        }
    }

    fn null(&mut self) -> Result<(), NeedsFallback> {
        self.literal(b"null")
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), NeedsFallback> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(NeedsFallback);
        }
        self.at += word.len();
        Ok(())
    }
}

#[inline(always)]
fn is_key_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic()
}

/// A byte that needs no escape in a JSON string.
#[inline(always)]
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=0x7e) && byte != b'"' && byte != b'\\'
}

//! The same messages in MessagePack. <https://github.com/msgpack/msgpack/blob/master/spec.md>

use quotegate_market::{UnixNanos, conditions};
use serde::Deserialize;

use super::fields::{Fields, Kind, Optional, letter};
use super::key;
use super::timestamp::{DateCache, rfc3339};
use crate::control_message::ControlMessage;

/// Control messages are flat; deeper nesting is rejected.
const MAX_DEPTH: usize = 8;

/// The specification's extension type for timestamps.
const TIMESTAMP: i8 = -1;

/// The frame is truncated or contains an invalid byte: the rest cannot be read.
#[derive(Debug)]
pub(super) struct Broken;

/// One value. The contents of an array or map are still unread.
#[derive(Debug, Clone, Copy)]
enum Token<'a> {
    Nil,
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Text(&'a [u8]),
    /// A boolean or bytes, which no quote has.
    Other,
    Extension(i8, &'a [u8]),
    Array(u32),
    Map(u32),
}

/// Reads one value after another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The control message from here to where `end` is; `None` if it is not one.
    pub(super) fn control_message(&self, end: &Self) -> Option<ControlMessage> {
        let mut message = rmp_serde::Deserializer::from_read_ref(&self.bytes[..self.bytes.len() - end.bytes.len()]);
        message.set_max_depth(MAX_DEPTH);
        ControlMessage::deserialize(&mut message).ok()
    }

    /// Reads the header of an array and returns its length. `None`, with nothing read, if it is not an array.
    pub(super) fn array(&mut self) -> Option<u32> {
        let mut ahead = *self;
        let Ok(Token::Array(length)) = ahead.token() else { return None };
        *self = ahead;
        Some(length)
    }

    /// Reads one message into `fields`. `Ok(false)` if the value is not a map; it is skipped.
    #[inline]
    pub(super) fn message(&mut self, fields: &mut Fields<'a>, dates: &mut DateCache) -> Result<bool, Broken> {
        let first = self.token()?;
        let Token::Map(members) = first else {
            return self.skip_contents(first).map(|()| false);
        };
        for _ in 0..members {
            let key = self.token()?;
            let Token::Text(key) = key else {
                self.skip_contents(key)?;
                self.skip()?;
                continue;
            };
            self.member(key, fields, dates)?;
        }
        Ok(true)
    }

    #[inline(always)]
    fn member(&mut self, key: &[u8], fields: &mut Fields<'a>, dates: &mut DateCache) -> Result<(), Broken> {
        let name = match *key {
            // With a NUL as its second byte, a two-byte key would equal a one-letter key.
            [letter] => key::one(letter),
            [first, second] if second != 0 => key::two(first, second),
            _ => key::OTHER,
        };
        match name {
            key::KIND => fields.kind = self.text()?.map_or(Kind::Missing, Kind::of),
            key::SYMBOL => fields.symbol = self.text()?,
            key::BID_EXCHANGE => fields.set_letter(Optional::BidExchange, self.letter()?),
            key::ASK_EXCHANGE => fields.set_letter(Optional::AskExchange, self.letter()?),
            key::TAPE => fields.set_letter(Optional::Tape, self.letter()?),
            key::BID_PRICE => fields.set_number(Optional::BidPrice, self.number()?),
            key::BID_SIZE => fields.set_number(Optional::BidSize, self.number()?),
            key::ASK_PRICE => fields.set_number(Optional::AskPrice, self.number()?),
            key::ASK_SIZE => fields.set_number(Optional::AskSize, self.number()?),
            key::CONDITIONS => fields.set_conditions(self.conditions()?),
            key::TIME => fields.event_time = self.time(dates)?,
            _ => self.skip()?,
        }
        Ok(())
    }

    #[inline(always)]
    fn text(&mut self) -> Result<Option<&'a [u8]>, Broken> {
        match self.token()? {
            Token::Text(text) => Ok(Some(text)),
            other => self.skip_contents(other).map(|()| None),
        }
    }

    #[inline(always)]
    fn letter(&mut self) -> Result<Option<u8>, Broken> {
        match self.token()? {
            Token::Text(text) => Ok(Some(letter(text))),
            Token::Nil => Ok(Some(0)),
            other => self.skip_contents(other).map(|()| None),
        }
    }

    #[inline(always)]
    fn number(&mut self) -> Result<Option<f64>, Broken> {
        match self.token()? {
            Token::Float(value) => Ok(value.is_finite().then_some(value)),
            Token::Integer(value) => Ok(Some(value as f64)),
            Token::Unsigned(value) => Ok(Some(value as f64)),
            Token::Nil => Ok(Some(0.0)),
            other => self.skip_contents(other).map(|()| None),
        }
    }

    #[inline(always)]
    fn conditions(&mut self) -> Result<Option<u32>, Broken> {
        match self.token()? {
            Token::Nil => Ok(Some(0)),
            Token::Text(text) => Ok(Some(conditions::pack([text]))),
            Token::Array(length) => self.condition_list(length),
            other => self.skip_contents(other).map(|()| None),
        }
    }

    #[inline]
    fn condition_list(&mut self, length: u32) -> Result<Option<u32>, Broken> {
        let (mut packed, mut shift, mut texts_only) = (0, 0, true);
        for _ in 0..length {
            let Some(text) = self.text()? else {
                texts_only = false;
                continue;
            };
            if let Some(&first) = text.first()
                && shift < u32::BITS
            {
                packed |= u32::from(first) << shift;
                shift += 8;
            }
        }
        Ok(texts_only.then_some(packed))
    }

    #[inline(always)]
    fn time(&mut self, dates: &mut DateCache) -> Result<Option<UnixNanos>, Broken> {
        match self.token()? {
            Token::Extension(TIMESTAMP, payload) => Ok(timestamp(payload)),
            Token::Text(text) => Ok(rfc3339(text, dates)),
            other => self.skip_contents(other).map(|()| None),
        }
    }

    fn skip(&mut self) -> Result<(), Broken> {
        let token = self.token()?;
        self.skip_contents(token)
    }

    /// Skips the contents of `token`. Counts instead of recursing, so that deep nesting cannot overflow our stack.
    fn skip_contents(&mut self, token: Token<'a>) -> Result<(), Broken> {
        let inside = |token| match token {
            Token::Array(length) => u64::from(length),
            Token::Map(members) => 2 * u64::from(members),
            _ => 0,
        };
        let mut left = inside(token);
        while left > 0 {
            left = left - 1 + inside(self.token()?);
        }
        Ok(())
    }

    #[inline(always)]
    fn token(&mut self) -> Result<Token<'a>, Broken> {
        let [marker] = self.take::<1>()?;
        Ok(match marker {
            0x00..=0x7f => Token::Integer(i64::from(marker)),
            0x80..=0x8f => Token::Map(u32::from(marker & 0x0f)),
            0x90..=0x9f => Token::Array(u32::from(marker & 0x0f)),
            0xa0..=0xbf => Token::Text(self.slice(u32::from(marker & 0x1f))?),
            0xcc => Token::Unsigned(u64::from(u8::from_be_bytes(self.take()?))),
            0xcd => Token::Unsigned(u64::from(u16::from_be_bytes(self.take()?))),
            0xcb => Token::Float(f64::from_be_bytes(self.take()?)),
            0xd7 => self.extension(8)?,
            0xe0..=0xff => Token::Integer(i64::from(marker.cast_signed())),
            _ => self.rare_token(marker)?,
        })
    }

    fn rare_token(&mut self, marker: u8) -> Result<Token<'a>, Broken> {
        Ok(match marker {
            0xc0 => Token::Nil,
            0xc2 | 0xc3 => Token::Other,
            0xc4..=0xc6 => {
                let length = self.length(marker - 0xc4)?;
                self.slice(length)?;
                Token::Other
            }
            0xc7..=0xc9 => {
                let length = self.length(marker - 0xc7)?;
                self.extension(length)?
            }
            0xca => Token::Float(f64::from(f32::from_be_bytes(self.take()?))),
            0xce => Token::Unsigned(u64::from(u32::from_be_bytes(self.take()?))),
            0xcf => Token::Unsigned(u64::from_be_bytes(self.take()?)),
            0xd0 => Token::Integer(i64::from(i8::from_be_bytes(self.take()?))),
            0xd1 => Token::Integer(i64::from(i16::from_be_bytes(self.take()?))),
            0xd2 => Token::Integer(i64::from(i32::from_be_bytes(self.take()?))),
            0xd3 => Token::Integer(i64::from_be_bytes(self.take()?)),
            0xd4 => self.extension(1)?,
            0xd5 => self.extension(2)?,
            0xd6 => self.extension(4)?,
            0xd8 => self.extension(16)?,
            0xd9..=0xdb => {
                let length = self.length(marker - 0xd9)?;
                Token::Text(self.slice(length)?)
            }
            0xdc => Token::Array(self.length(1)?),
            0xdd => Token::Array(self.length(2)?),
            0xde => Token::Map(self.length(1)?),
            0xdf => Token::Map(self.length(2)?),
            _ => return Err(Broken),
        })
    }

    /// Reads a length of 1, 2 or 4 bytes for a width of 0, 1 or 2.
    fn length(&mut self, width: u8) -> Result<u32, Broken> {
        Ok(match width {
            0 => u32::from(u8::from_be_bytes(self.take()?)),
            1 => u32::from(u16::from_be_bytes(self.take()?)),
            _ => u32::from_be_bytes(self.take()?),
        })
    }

    #[inline(always)]
    fn extension(&mut self, length: u32) -> Result<Token<'a>, Broken> {
        let kind = i8::from_be_bytes(self.take()?);
        Ok(Token::Extension(kind, self.slice(length)?))
    }

    #[inline(always)]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (&head, rest) = self.bytes.split_first_chunk::<N>().ok_or(Broken)?;
        self.bytes = rest;
        Ok(head)
    }

    #[inline(always)]
    fn slice(&mut self, length: u32) -> Result<&'a [u8], Broken> {
        let (head, rest) = self.bytes.split_at_checked(length as usize).ok_or(Broken)?;
        self.bytes = rest;
        Ok(head)
    }
}

/// The three timestamp formats of the specification: 32, 64 and 96 bits.
#[inline]
fn timestamp(payload: &[u8]) -> Option<UnixNanos> {
    let (seconds, nanos) = if let Ok(bytes) = <[u8; 8]>::try_from(payload) {
        let packed = u64::from_be_bytes(bytes);
        ((packed & 0x3_ffff_ffff).cast_signed(), (packed >> 34).cast_signed())
    } else if let Ok(bytes) = <[u8; 4]>::try_from(payload) {
        (i64::from(u32::from_be_bytes(bytes)), 0)
    } else {
        let (nanos, seconds) = payload.split_first_chunk::<4>()?;
        (i64::from_be_bytes(seconds.try_into().ok()?), i64::from(u32::from_be_bytes(*nanos)))
    };
    if nanos > 999_999_999 {
        return None;
    }
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_timestamp_formats_agree() {
        let seconds = 1_680_782_061_u32;
        let packed = (5_u64 << 34) | u64::from(seconds);
        let mut long = 5_u32.to_be_bytes().to_vec();
        long.extend(i64::from(seconds).to_be_bytes());
        let expected = i64::from(seconds) * 1_000_000_000;
        assert_eq!(timestamp(&seconds.to_be_bytes()), Some(expected));
        assert_eq!(timestamp(&packed.to_be_bytes()), Some(expected + 5));
        assert_eq!(timestamp(&long), Some(expected + 5));
    }

    #[test]
    fn a_timestamp_past_an_i64_of_nanoseconds_is_refused() {
        let mut long = 0_u32.to_be_bytes().to_vec();
        long.extend(i64::MAX.to_be_bytes());
        assert_eq!(timestamp(&long), None);
        assert_eq!(timestamp(&(1_000_000_000_u64 << 34).to_be_bytes()), None);
        assert_eq!(timestamp(&[1, 2, 3]), None);
    }

    #[test]
    fn a_million_nested_lists_are_skipped_without_recursion() {
        let mut bytes = vec![0x91; 1_000_000];
        bytes.push(0xc0);
        let mut reader = Reader::new(&bytes);
        reader.skip().unwrap();
        assert!(reader.is_at_end());
    }
}

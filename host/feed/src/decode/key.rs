//! The keys of a quote as numbers: all have one or two letters, and a number takes one comparison.

pub(super) const fn one(letter: u8) -> u16 {
    u16::from_le_bytes([letter, 0])
}

pub(super) const fn two(first: u8, second: u8) -> u16 {
    u16::from_le_bytes([first, second])
}

pub(super) const KIND: u16 = one(b'T');
pub(super) const SYMBOL: u16 = one(b'S');
pub(super) const CONDITIONS: u16 = one(b'c');
pub(super) const TAPE: u16 = one(b'z');
pub(super) const TIME: u16 = one(b't');
pub(super) const BID_EXCHANGE: u16 = two(b'b', b'x');
pub(super) const BID_PRICE: u16 = two(b'b', b'p');
pub(super) const BID_SIZE: u16 = two(b'b', b's');
pub(super) const ASK_EXCHANGE: u16 = two(b'a', b'x');
pub(super) const ASK_PRICE: u16 = two(b'a', b'p');
pub(super) const ASK_SIZE: u16 = two(b'a', b's');

/// A key that a quote does not have.
pub(super) const OTHER: u16 = 0;

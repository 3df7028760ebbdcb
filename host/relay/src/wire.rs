//! The messages on the wire. All numbers are little-endian.
//!
//! ```text
//! "QG" version:u8 message:u8 columns:u8 compression:u8 bucket:u16
//! epoch:u64 sequence:u64 published:i64 rows:u32 first_name:u16 names:u16 body:u32     44 bytes in all
//! body: names × (length:u8 text), then one column after another
//! ```
//!
//! A symbol is named once per epoch, in the batch with its first quote, and by its index in the bucket after that.
//! A snapshot names all. `columns` says what the columns are, so trades and bars can follow under the same header.

mod decoder;
mod encoder;
mod numbers;
#[cfg(test)]
mod tests;

use quotegate_market::UnixNanos;

pub(crate) use decoder::{Decoder, Quotes, Received};
pub(crate) use encoder::Encoder;

const MAGIC: [u8; 2] = *b"QG";
const VERSION: u8 = 1;
const QUOTES: u8 = 1;
const HEADER: usize = 44;
/// Bytes of one quote.
pub(crate) const ROW: usize = 57;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageKind {
    /// Quotes as they came. `sequence` is its number in the bucket.
    Batch,
    /// The newest quote of each symbol of the bucket. `sequence` is the number of batches that it includes.
    Snapshot,
    /// About the reader. The body is a [`Status`].
    Status,
}

/// What stands before the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: MessageKind,
    pub(crate) bucket: u16,
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    pub(crate) published: UnixNanos,
}

/// Why a message cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    #[error("it is not a message of quotegate")]
    Foreign,
    #[error(
        "it has version {0} of the format, and this host reads version {VERSION}: run the same version on all hosts"
    )]
    Version(u8),
    #[error("it contains what this version does not know: run the same version on all hosts")]
    Unknown,
    #[error("it is damaged")]
    Damaged,
}

/// The counts in a header.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    rows: usize,
    first_name: u16,
    names: usize,
    body: usize,
}

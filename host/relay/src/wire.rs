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

#[cfg(test)]
mod tests;

use bytes::Bytes;
use quotegate_market::{QuoteColumns, Symbol, UnixNanos};

use crate::settings::Compression;

const MAGIC: [u8; 2] = *b"QG";
const VERSION: u8 = 1;
const QUOTES: u8 = 1;
const HEADER: usize = 44;
/// Bytes of one quote.
pub(crate) const ROW: usize = 57;
/// The longest body that a message may announce: many times what a server with its usual limit of 1 MB lets through.
const MAX_BODY: usize = 16 << 20;
/// The fastest of zstd's usual levels.
const LEVEL: i32 = 1;

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

/// Makes messages.
pub(crate) struct Encoder {
    body: Vec<u8>,
    compressed: Vec<u8>,
    /// Without it, nothing is compressed.
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

macro_rules! numbers {
    ($($kind:ty, $put:ident, $take:ident;)*) => {$(
        fn $put(body: &mut Vec<u8>, column: &[$kind]) {
            const SIZE: usize = size_of::<$kind>();
            let start = body.len();
            body.resize(start + SIZE * column.len(), 0);
            for (to, value) in body[start..].chunks_exact_mut(SIZE).zip(column) {
                to.copy_from_slice(&value.to_le_bytes());
            }
        }

        fn $take(bytes: &[u8]) -> impl Iterator<Item = $kind> + '_ {
            let (values, _) = bytes.as_chunks::<{ size_of::<$kind>() }>();
            values.iter().map(|value| <$kind>::from_le_bytes(*value))
        }
    )*};
}

numbers! {
    f64, put_f64, take_f64;
    u32, put_u32, take_u32;
    i64, put_i64, take_i64;
    u64, put_u64, take_u64;
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self { body: Vec::new(), compressed: Vec::new(), zstd: zstd::bulk::Compressor::new(LEVEL).ok() }
    }

    /// A batch or a snapshot. `quotes.symbol` is the index in the bucket, below 65,536; `names` are the symbols from index
    /// `first_name` on.
    pub(crate) fn quotes(
        &mut self,
        header: &Header,
        first_name: u16,
        names: &[Symbol],
        quotes: &QuoteColumns,
        rows: std::ops::Range<usize>,
        compression: Compression,
    ) -> Bytes {
        self.body.clear();
        for name in names {
            self.body.push(name.as_str().len() as u8); // at most 32
            self.body.extend_from_slice(name.as_str().as_bytes());
        }
        let start = self.body.len();
        self.body.resize(start + 2 * rows.len(), 0);
        for (to, index) in self.body[start..].chunks_exact_mut(2).zip(&quotes.symbol[rows.clone()]) {
            to.copy_from_slice(&(*index as u16).to_le_bytes());
        }
        for column in [&quotes.bid_price, &quotes.bid_size, &quotes.ask_price, &quotes.ask_size] {
            put_f64(&mut self.body, &column[rows.clone()]);
        }
        for column in [&quotes.bid_exchange, &quotes.ask_exchange, &quotes.tape] {
            self.body.extend_from_slice(&column[rows.clone()]);
        }
        put_u32(&mut self.body, &quotes.conditions[rows.clone()]);
        put_i64(&mut self.body, &quotes.event_time[rows.clone()]);
        put_i64(&mut self.body, &quotes.received_time[rows.clone()]);
        let counts = Counts { rows: rows.len(), first_name, names: names.len(), body: self.body.len() };
        if let (Compression::Zstd, Some(zstd)) = (compression, &mut self.zstd) {
            self.compressed.clear();
            self.compressed.reserve(zstd::zstd_safe::compress_bound(self.body.len()));
            if zstd.compress_to_buffer(&self.body, &mut self.compressed).is_ok()
                && self.compressed.len() < self.body.len()
            {
                return message(header, counts, Compression::Zstd, &self.compressed);
            }
        }
        message(header, counts, Compression::None, &self.body)
    }

    /// What the reader says about itself: how many batches each bucket has had, how many quotes were conflated, and what
    /// the host adds.
    pub(crate) fn status(&mut self, header: &Header, heads: &[u64], conflated: u64, payload: &[u8]) -> Bytes {
        self.body.clear();
        put_u64(&mut self.body, &[heads.len() as u64, conflated]);
        put_u64(&mut self.body, heads);
        self.body.extend_from_slice(payload);
        let counts = Counts { body: self.body.len(), ..Counts::default() };
        message(header, counts, Compression::None, &self.body)
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    rows: usize,
    first_name: u16,
    names: usize,
    body: usize,
}

fn message(header: &Header, counts: Counts, compression: Compression, body: &[u8]) -> Bytes {
    let kind = match header.kind {
        MessageKind::Batch => 1,
        MessageKind::Snapshot => 2,
        MessageKind::Status => 3,
    };
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[VERSION, kind, QUOTES, u8::from(compression == Compression::Zstd)]);
    bytes.extend_from_slice(&header.bucket.to_le_bytes());
    bytes.extend_from_slice(&header.epoch.to_le_bytes());
    bytes.extend_from_slice(&header.sequence.to_le_bytes());
    bytes.extend_from_slice(&header.published.to_le_bytes());
    bytes.extend_from_slice(&(counts.rows as u32).to_le_bytes());
    bytes.extend_from_slice(&counts.first_name.to_le_bytes());
    bytes.extend_from_slice(&(counts.names as u16).to_le_bytes());
    bytes.extend_from_slice(&(counts.body as u32).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes.into()
}

/// Reads messages. What it allocates is bounded, whatever arrives.
pub(crate) struct Decoder {
    body: Vec<u8>,
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

/// A message whose body has not been read yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'a> {
    pub(crate) header: Header,
    counts: Counts,
    compressed: bool,
    body: &'a [u8],
}

/// Takes bytes from the front.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(WireError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(WireError::Damaged)?;
        self.0 = rest;
        Ok(*taken)
    }
}

impl<'a> Received<'a> {
    /// Reads the header.
    pub(crate) fn read(message: &'a [u8]) -> Result<Self, WireError> {
        let mut bytes = Cursor(message);
        if bytes.array() != Ok(MAGIC) {
            return Err(WireError::Foreign);
        }
        let [version] = bytes.array()?;
        if version != VERSION {
            return Err(WireError::Version(version));
        }
        let [kind, columns, compression] = bytes.array()?;
        let kind = match (kind, columns) {
            (1, QUOTES) => MessageKind::Batch,
            (2, QUOTES) => MessageKind::Snapshot,
            (3, _) => MessageKind::Status,
            _ => return Err(WireError::Unknown),
        };
        if compression > 1 {
            return Err(WireError::Unknown);
        }
        let header = Header {
            kind,
            bucket: u16::from_le_bytes(bytes.array()?),
            epoch: u64::from_le_bytes(bytes.array()?),
            sequence: u64::from_le_bytes(bytes.array()?),
            published: i64::from_le_bytes(bytes.array()?),
        };
        let counts = Counts {
            rows: u32::from_le_bytes(bytes.array()?) as usize,
            first_name: u16::from_le_bytes(bytes.array()?),
            names: usize::from(u16::from_le_bytes(bytes.array()?)),
            body: u32::from_le_bytes(bytes.array()?) as usize,
        };
        let (compressed, body) = (compression == 1, bytes.0);
        let needed = counts.rows.saturating_mul(ROW).saturating_add(2 * counts.names);
        let whole = compressed || counts.body == body.len();
        let announced = counts.body <= MAX_BODY && needed <= counts.body;
        if !whole || !announced || usize::from(counts.first_name) + counts.names > usize::from(u16::MAX) + 1 {
            return Err(WireError::Damaged);
        }
        Ok(Self { header, counts, compressed, body })
    }

    /// Quotes in the message.
    pub(crate) fn rows(&self) -> usize {
        self.counts.rows
    }

    /// The body of a status.
    pub(crate) fn status(&self) -> Result<Status<'a>, WireError> {
        let mut bytes = Cursor(self.body);
        let heads = usize::try_from(u64::from_le_bytes(bytes.array()?)).map_err(|_| WireError::Damaged)?;
        let conflated = u64::from_le_bytes(bytes.array()?);
        let heads = bytes.take(heads.checked_mul(8).ok_or(WireError::Damaged)?)?;
        Ok(Status { conflated, heads, payload: bytes.0 })
    }
}

/// What the reader says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status<'a> {
    /// Quotes that were conflated since its tenure began.
    pub(crate) conflated: u64,
    heads: &'a [u8],
    /// What its host adds.
    pub(crate) payload: &'a [u8],
}

impl Status<'_> {
    /// How many batches each bucket has had.
    pub(crate) fn heads(&self) -> impl Iterator<Item = u64> + '_ {
        take_u64(self.heads)
    }
}

/// The body of a batch or snapshot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quotes<'a> {
    rows: usize,
    first_name: u16,
    names: &'a [u8],
    columns: &'a [u8],
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self { body: Vec::new(), zstd: zstd::bulk::Decompressor::new().ok() }
    }

    /// Reads the body of a batch or snapshot.
    pub(crate) fn quotes<'a>(&'a mut self, received: &Received<'a>) -> Result<Quotes<'a>, WireError> {
        let counts = received.counts;
        let body = if received.compressed {
            self.body.clear();
            self.body.reserve_exact(counts.body);
            let zstd = self.zstd.as_mut().ok_or(WireError::Damaged)?;
            if zstd.decompress_to_buffer(received.body, &mut self.body).ok() != Some(counts.body) {
                return Err(WireError::Damaged);
            }
            &self.body[..]
        } else {
            received.body
        };
        let mut bytes = Cursor(body);
        for _ in 0..counts.names {
            let [length] = bytes.array()?;
            bytes.take(usize::from(length))?;
        }
        let names = &body[..body.len() - bytes.0.len()];
        if bytes.0.len() != counts.rows * ROW {
            return Err(WireError::Damaged);
        }
        Ok(Quotes { rows: counts.rows, first_name: counts.first_name, names, columns: bytes.0 })
    }
}

impl<'a> Quotes<'a> {
    /// The symbols that are named, with their indexes.
    pub(crate) fn names(&self) -> impl Iterator<Item = (u16, &'a [u8])> + 'a {
        let mut rest = self.names;
        let mut index = self.first_name;
        std::iter::from_fn(move || {
            let (&length, after) = rest.split_first()?;
            let (name, after) = after.split_at_checked(usize::from(length))?;
            rest = after;
            let named = (index, name);
            index = index.wrapping_add(1);
            Some(named)
        })
    }

    /// The index of each row's symbol.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = u16> + 'a {
        let (values, _) = self.columns[..2 * self.rows].as_chunks::<2>();
        values.iter().map(|value| u16::from_le_bytes(*value))
    }

    /// Appends all columns but that of the symbol.
    pub(crate) fn append_columns(&self, quotes: &mut QuoteColumns) {
        let rows = self.rows;
        let mut bytes = Cursor(&self.columns[2 * rows..]);
        // The length was checked when the body was read.
        let mut column = |size: usize| bytes.take(size * rows).unwrap_or_default();
        quotes.bid_price.extend(take_f64(column(8)));
        quotes.bid_size.extend(take_f64(column(8)));
        quotes.ask_price.extend(take_f64(column(8)));
        quotes.ask_size.extend(take_f64(column(8)));
        quotes.bid_exchange.extend_from_slice(column(1));
        quotes.ask_exchange.extend_from_slice(column(1));
        quotes.tape.extend_from_slice(column(1));
        quotes.conditions.extend(take_u32(column(4)));
        quotes.event_time.extend(take_i64(column(8)));
        quotes.received_time.extend(take_i64(column(8)));
    }
}

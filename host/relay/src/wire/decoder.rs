use std::fmt;

use quotegate_market::QuoteColumns;

use super::numbers::{take_f64, take_i64, take_u32, take_u64};
use super::{Counts, Header, MAGIC, MessageKind, QUOTES, ROW, VERSION, WireError};

/// The longest body that a message may announce: many times what a server with its usual limit of 1 MB lets through.
pub(super) const MAX_BODY: usize = 16 << 20;

/// Reads messages. What it allocates is bounded, whatever arrives.
pub(crate) struct Decoder {
    pub(super) body: Vec<u8>,
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use quotegate_market::{QuoteColumns, Symbol};

use super::numbers::{put_f64, put_i64, put_u32, put_u64};
use super::{Counts, HEADER, Header, MAGIC, MessageKind, QUOTES, VERSION};
use crate::settings::Compression;

/// The fastest of zstd's usual levels.
const LEVEL: i32 = 1;

/// Makes messages.
pub(crate) struct Encoder {
    body: Vec<u8>,
    compressed: Vec<u8>,
    /// Without it, nothing is compressed.
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
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
        rows: Range<usize>,
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

pub(super) fn message(header: &Header, counts: Counts, compression: Compression, body: &[u8]) -> Bytes {
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

//! How many bytes quotes take on the wire, without a broker.

use quotegate_market::{FeedName, QuoteColumns, Subscription, SymbolTable, UnixNanos};

use crate::BUCKETS;
use crate::bucket_set::BucketSet;
use crate::publisher::LINGER;
use crate::settings::Compression;
use crate::subjects::{Subjects, buckets_of};
use crate::wire::{Encoder, Header, MessageKind};

/// Batches quotes as a publisher does, in the quotes' own time, and counts their bytes.
#[derive(Debug)]
pub struct WireSize {
    set: BucketSet,
    encoder: Encoder,
    subjects: Subjects,
    /// When the turn ends that the next quote belongs to, if it comes before.
    turn_ends: UnixNanos,
    sizes: Vec<WireBytes>,
    quotes: u64,
}

/// Bytes of messages, with the lines that NATS adds to each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WireBytes {
    /// Not compressed.
    pub raw: u64,
    /// Compressed with zstd.
    pub zstd: u64,
}

impl std::ops::AddAssign for WireBytes {
    fn add_assign(&mut self, other: Self) {
        self.raw += other.raw;
        self.zstd += other.zstd;
    }
}

impl WireSize {
    /// Of one feed.
    pub fn new(feed: FeedName) -> Self {
        Self {
            set: BucketSet::new(),
            encoder: Encoder::new(),
            subjects: Subjects::new(feed),
            turn_ends: UnixNanos::MIN,
            sizes: vec![WireBytes::default(); usize::from(BUCKETS)],
            quotes: 0,
        }
    }

    /// Adds quotes that arrive together, in order of their arrival.
    pub fn add(&mut self, quotes: &QuoteColumns, symbols: &SymbolTable) {
        for row in 0..quotes.len() {
            let quote = quotes.quote(row);
            if quote.received_time >= self.turn_ends {
                self.turn();
                self.turn_ends = quote.received_time + LINGER.as_nanos() as UnixNanos;
            }
            self.quotes += u64::from(self.set.put(quotes.symbol[row], symbols.symbols(), &quote));
        }
    }

    /// Quotes added so far.
    pub fn quotes(&self) -> u64 {
        self.quotes
    }

    /// What a worker with these symbols receives of them, whoever else wants them.
    pub fn received(&mut self, wanted: &Subscription) -> WireBytes {
        self.turn();
        let mut sum = WireBytes::default();
        let sizes = self.sizes.iter().zip(buckets_of(wanted)).filter(|(_, is_wanted)| *is_wanted);
        sizes.for_each(|(size, _)| sum += *size);
        sum
    }

    /// Encodes what waits.
    fn turn(&mut self) {
        for (number, bucket) in self.set.buckets.iter_mut().enumerate() {
            while let Some(next) = bucket.next() {
                let number = number as u16;
                let header = Header {
                    kind: MessageKind::Batch,
                    bucket: number,
                    epoch: 1,
                    sequence: next.sequence,
                    published: 0,
                };
                let (names, rows) = (next.names.len(), next.rows.len());
                let mut size = |compression| {
                    let rows = next.rows.clone();
                    self.encoder.quotes(&header, next.first_name, next.names, next.quotes, rows, compression).len()
                };
                let (raw, zstd) = (size(Compression::None), size(Compression::Zstd));
                // `MSG subject id length` and two line ends.
                let lines = |bytes: usize| 4 + self.subjects.quotes(number).len() + 4 + bytes.to_string().len() + 4;
                self.sizes[usize::from(number)] +=
                    WireBytes { raw: (raw + lines(raw)) as u64, zstd: (zstd + lines(zstd)) as u64 };
                bucket.published(names, rows);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quotegate_market::{Quote, Symbol};

    #[test]
    fn quotes_that_arrive_together_share_a_message_and_workers_get_only_their_buckets() {
        let size = |gap: UnixNanos| {
            let (mut symbols, mut size) = (SymbolTable::default(), WireSize::new(FeedName::Iex));
            for number in 0..100 {
                let mut quotes = QuoteColumns::default();
                let id = symbols.intern(b"SPY").unwrap();
                quotes.push(id.0, &Quote { received_time: 1 + number * gap, ..Quote::default() });
                size.add(&quotes, &symbols);
            }
            size
        };
        let wants = |name| Subscription::Symbols([Symbol::new(name).unwrap()].into());
        let (mut together, mut apart) = (size(0), size(10_000_000));
        assert_eq!((together.quotes(), apart.quotes()), (100, 100));
        let [together_bytes, apart_bytes] = [&mut together, &mut apart].map(|size| size.received(&wants("SPY")));
        assert!(together_bytes.raw >= 5700 && together_bytes.raw < 6000, "{together_bytes:?}");
        assert!(apart_bytes.raw > 10_000 && together_bytes.zstd < together_bytes.raw / 10, "{apart_bytes:?}");
        assert_eq!(together.received(&Subscription::All), together_bytes);
        assert_eq!(together.received(&wants("AAPL")), WireBytes::default());
    }
}

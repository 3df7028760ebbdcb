use std::collections::HashMap;

use bytes::Bytes;
use proptest::prelude::*;
use quotegate_market::{Quote, Symbol};

use super::*;
use crate::bucket::Bucket;
use crate::settings::Compression;
use crate::wire::{Decoder, Encoder, Header, MessageKind, Received};

/// What happens to the messages on their way.
#[derive(Debug, Clone)]
enum Step {
    /// The reader gets a quote of this symbol, so much newer or older than its last one.
    Quote(u8, i64),
    /// It publishes what waits.
    Publish,
    /// Another reader begins, with nothing.
    NewReader,
    /// A message on its way arrives; it stays there if it is to arrive twice.
    Arrive { at: prop::sample::Index, twice: bool },
    /// One is lost.
    Lose(prop::sample::Index),
    /// The reader is asked for a snapshot, which is then on its way.
    Ask,
    /// It says how far it is.
    Head,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u8..6, -3_i64..10).prop_map(|(symbol, newer)| Step::Quote(symbol, newer)),
        4 => Just(Step::Publish),
        1 => Just(Step::NewReader),
        6 => (any::<prop::sample::Index>(), prop::bool::weighted(0.2)).prop_map(|(at, twice)| Step::Arrive { at, twice }),
        2 => any::<prop::sample::Index>().prop_map(Step::Lose),
        1 => Just(Step::Ask),
        1 => Just(Step::Head),
    ]
}

struct Reader {
    epoch: u64,
    bucket: Bucket,
    encoder: Encoder,
    /// The newest of each symbol, by the exchange's time.
    newest: HashMap<String, i64>,
}

impl Reader {
    fn new(epoch: u64) -> Self {
        Self { epoch, bucket: Bucket::default(), encoder: Encoder::new(), newest: HashMap::new() }
    }

    fn quote(&mut self, symbol: u8, event_time: i64) {
        let symbol = Symbol::new(&format!("S{symbol}")).unwrap();
        let index = self.bucket.index(&symbol).unwrap();
        self.bucket.put(index, &Quote { event_time, ..Quote::default() });
        let newest = self.newest.entry(symbol.to_string()).or_insert(event_time);
        *newest = (*newest).max(event_time);
    }

    fn publish(&mut self) -> Vec<Bytes> {
        let mut messages = Vec::new();
        while let Some(next) = self.bucket.next() {
            let header = self.header(MessageKind::Batch, next.sequence);
            let (names, rows) = (next.names.len(), next.rows.len());
            let next = self.bucket.next().unwrap();
            let message =
                self.encoder.quotes(&header, next.first_name, next.names, next.quotes, next.rows, Compression::None);
            messages.push(message);
            self.bucket.published(names, rows);
        }
        messages
    }

    fn snapshot(&mut self) -> Bytes {
        let header = self.header(MessageKind::Snapshot, self.bucket.sequence());
        let (names, latest) = self.bucket.snapshot();
        self.encoder.quotes(&header, 0, names, &latest, 0..latest.len(), Compression::Zstd)
    }

    fn header(&self, kind: MessageKind, sequence: u64) -> Header {
        Header { kind, bucket: 0, epoch: self.epoch, sequence, published: 0 }
    }
}

/// A worker, with a latest table behind it as every tenant has one.
struct Worker {
    follower: Follower,
    table: SymbolTable,
    decoder: Decoder,
    latest: HashMap<String, i64>,
}

impl Worker {
    fn new() -> Self {
        Self {
            follower: Follower::new(),
            table: SymbolTable::default(),
            decoder: Decoder::new(),
            latest: HashMap::new(),
        }
    }

    fn arrive(&mut self, message: &Bytes) {
        let received = Received::read(message).unwrap();
        let header = received.header;
        let version = match header.kind {
            MessageKind::Batch if self.follower.batch(header.epoch, header.sequence) != Arrival::Old => {
                header.sequence + 1
            }
            MessageKind::Snapshot if self.follower.snapshot(header.epoch, header.sequence) => header.sequence,
            _ => return,
        };
        let quotes = self.decoder.quotes(&received).unwrap();
        let mut columns = QuoteColumns::default();
        let delivery = self.follower.deliver(version, &quotes, &mut self.table, &mut columns);
        let counted = delivery.delivered + delivery.old + delivery.unnamed + delivery.no_room;
        assert_eq!(counted, received.rows(), "every row is counted");
        assert_eq!(delivery.delivered, columns.len());
        for row in 0..columns.len() {
            let symbol = self.table.symbol(quotegate_market::SymbolId(columns.symbol[row])).to_string();
            let latest = self.latest.entry(symbol).or_insert(i64::MIN);
            *latest = (*latest).max(columns.event_time[row]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// Invariant 9: whatever is lost, comes twice or late, every symbol converges to the reader's newest quote as soon as the
    /// reader can be heard and asked. A reader's clock does not go back, and neither does that of the next one.
    #[test]
    fn every_symbol_converges_to_the_readers_newest(steps in prop::collection::vec(step(), 1..120)) {
        let (mut reader, mut worker) = (Reader::new(1), Worker::new());
        let mut on_the_way: Vec<Bytes> = Vec::new();
        let mut time = 1000;
        for step in steps {
            match step {
                Step::Quote(symbol, newer) => {
                    time += 1;
                    reader.quote(symbol, time + newer);
                }
                Step::Publish => on_the_way.extend(reader.publish()),
                Step::NewReader => {
                    time += 100;
                    reader = Reader::new(reader.epoch + 1);
                }
                Step::Arrive { at, twice } if !on_the_way.is_empty() => {
                    let at = at.index(on_the_way.len());
                    let message = if twice { on_the_way[at].clone() } else { on_the_way.remove(at) };
                    worker.arrive(&message);
                }
                Step::Lose(at) if !on_the_way.is_empty() => {
                    on_the_way.remove(at.index(on_the_way.len()));
                }
                Step::Arrive { .. } | Step::Lose(_) => {}
                Step::Ask => on_the_way.push(reader.snapshot()),
                Step::Head => {
                    worker.follower.head(reader.epoch, reader.bucket.sequence());
                }
            }
        }
        // The last batches are lost, and the reader falls silent.
        reader.publish();
        worker.follower.head(reader.epoch, reader.bucket.sequence());
        worker.follower.settle();
        if worker.follower.is_missing_some() {
            let snapshot = reader.snapshot();
            worker.arrive(&snapshot);
        }
        prop_assert!(!worker.follower.is_missing_some(), "one snapshot is enough: {:?}", worker.follower);
        for (symbol, newest) in &reader.newest {
            prop_assert_eq!(worker.latest.get(symbol), Some(newest), "{}", symbol);
        }
        for message in on_the_way {
            worker.arrive(&message);
        }
        for (symbol, newest) in &reader.newest {
            prop_assert_eq!(worker.latest.get(symbol), Some(newest), "{}", symbol);
        }
    }
}

/// Rows of a batch, as the test gives them: the follower's part alone.
fn deliver(worker: &mut Worker, reader: &mut Reader, symbol: u8, event_time: i64) -> Bytes {
    reader.quote(symbol, event_time);
    let message = reader.publish().remove(0);
    worker.arrive(&message);
    message
}

#[test]
fn a_worker_that_saw_the_first_batch_has_missed_nothing() {
    let (mut reader, mut worker) = (Reader::new(7), Worker::new());
    assert!(worker.follower.is_missing_some());
    deliver(&mut worker, &mut reader, 1, 10);
    assert!(!worker.follower.is_missing_some());
}

#[test]
fn a_batch_that_comes_twice_or_from_an_earlier_reader_is_old() {
    let (mut reader, mut worker) = (Reader::new(7), Worker::new());
    deliver(&mut worker, &mut reader, 1, 10);
    assert_eq!(worker.follower.batch(7, 0), Arrival::Old);
    assert_eq!(worker.follower.batch(6, 1), Arrival::Old);
    assert!(!worker.follower.snapshot(6, 9));
    assert_eq!(worker.follower.batch(7, 2), Arrival::AfterGap(1));
    assert!(worker.follower.is_missing_some());
}

#[test]
fn a_snapshot_does_not_take_a_symbol_back_that_a_batch_has_updated() {
    let (mut reader, mut worker) = (Reader::new(7), Worker::new());
    reader.quote(1, 10);
    reader.publish();
    let overtaken = reader.snapshot();
    deliver(&mut worker, &mut reader, 2, 11);
    // Unnamed for this worker, because the first batch is missing.
    deliver(&mut worker, &mut reader, 1, 12);
    worker.arrive(&reader.snapshot());
    let before = worker.latest.clone();
    let received = Received::read(&overtaken).unwrap();
    let quotes = worker.decoder.quotes(&received).unwrap();
    let delivery = worker.follower.deliver(1, &quotes, &mut worker.table, &mut QuoteColumns::default());
    assert_eq!((delivery.delivered, delivery.old), (0, 1));
    assert_eq!((before["S1"], before["S2"]), (12, 11));
}

#[test]
fn a_symbol_without_room_in_the_table_is_counted_and_not_asked_for_again() {
    let (mut reader, mut worker) = (Reader::new(7), Worker::new());
    worker.table = SymbolTable::with_capacity(1);
    reader.quote(1, 10);
    reader.quote(2, 11);
    let message = reader.publish().remove(0);
    let received = Received::read(&message).unwrap();
    worker.follower.batch(7, 0);
    let quotes = worker.decoder.quotes(&received).unwrap();
    let delivery = worker.follower.deliver(1, &quotes, &mut worker.table, &mut QuoteColumns::default());
    assert_eq!(delivery, Delivery { delivered: 1, no_room: 1, ..Delivery::default() });
    assert!(!worker.follower.is_missing_some());
}

#[test]
fn batches_that_were_announced_and_never_came_are_missed() {
    let (mut reader, mut worker) = (Reader::new(7), Worker::new());
    deliver(&mut worker, &mut reader, 1, 10);
    worker.follower.head(7, 1);
    assert_eq!(worker.follower.settle(), 0, "it has them all");
    worker.follower.head(7, 2);
    deliver(&mut worker, &mut reader, 1, 11);
    assert_eq!(worker.follower.settle(), 0, "it came a little later");
    worker.follower.head(7, 3);
    assert_eq!(worker.follower.settle(), 1);
    assert!(worker.follower.is_missing_some());
    assert_eq!(worker.follower.settle(), 0, "counted once");
}

//! What becomes of the messages: batches, snapshots, and what the reader says about itself.

use std::time::Duration;

use async_nats::{Client, Message};
use bytes::Bytes;
use quotegate_market::{QuoteColumns, QuoteReceiver, SymbolTable};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use super::ReaderStatus;
use super::counts::Counts;
use super::followed::{Followed, Word};
use crate::clock::wall_clock;
use crate::follower::{Arrival, Follower};
use crate::relay::Shared;
use crate::wire::{Decoder, MessageKind, Received, WireError};

/// Deliver once this many quotes are there, even if more messages wait: the columns stay in the CPU cache.
const DELIVER_ROWS: usize = 1024;
/// Batches that the reader has announced may arrive this long after the announcement.
const SETTLE: Duration = Duration::from_millis(500);
/// Ask again after this long without an answer, or with none that helps.
const RETRY: Duration = Duration::from_millis(500);

/// One bucket that is received.
pub(super) struct Bucket {
    number: u16,
    pub(super) messages: async_nats::Subscriber,
    follower: Follower,
    /// When a snapshot may be asked for; `None` while one is.
    ask_at: Option<Instant>,
}

/// What a subscriber knows while it runs.
pub(super) struct Receiving<'a> {
    table: SymbolTable,
    columns: QuoteColumns,
    decoder: Decoder,
    pub(super) buckets: Vec<Bucket>,
    followed: Followed,
    counts: Counts,
    /// The last message that could not be read, so that each reason is logged once.
    warned: Option<WireError>,
    settle_at: Option<Instant>,
    receiver: &'a mut dyn QuoteReceiver,
    reader: &'a watch::Sender<Option<ReaderStatus>>,
    shared: &'a Shared,
}

impl<'a> Receiving<'a> {
    pub(super) fn new(
        receiver: &'a mut dyn QuoteReceiver,
        reader: &'a watch::Sender<Option<ReaderStatus>>,
        shared: &'a Shared,
    ) -> Self {
        Self {
            table: SymbolTable::with_capacity(shared.settings.symbol_capacity),
            columns: QuoteColumns::with_capacity(2 * DELIVER_ROWS),
            decoder: Decoder::new(),
            buckets: Vec::new(),
            followed: Followed::default(),
            counts: Counts::default(),
            warned: None,
            settle_at: None,
            receiver,
            reader,
            shared,
        }
    }

    /// Receives these buckets from now on.
    pub(super) async fn subscribe(&mut self, client: &Client, wanted: &[bool]) {
        self.buckets.retain(|bucket| wanted[usize::from(bucket.number)]);
        for number in (0..wanted.len()).filter(|number| wanted[*number]).map(|number| number as u16) {
            if self.buckets.iter().any(|bucket| bucket.number == number) {
                continue;
            }
            // Fails only once the connection has been given up.
            let Ok(messages) = client.subscribe(self.shared.subjects.quotes(number)).await else { return };
            let follower = Follower::new();
            self.buckets.push(Bucket { number, messages, follower, ask_at: Some(Instant::now()) });
        }
    }

    /// Messages, each with the position of its bucket.
    pub(super) fn batches(&mut self, messages: &mut Vec<(usize, Message)>) {
        let now = wall_clock();
        for (at, message) in messages.drain(..) {
            if let Err(error) = self.batch(at, &message.payload, now) {
                self.invalid(error);
            }
            if self.columns.len() >= DELIVER_ROWS {
                self.deliver();
            }
        }
        self.deliver();
    }

    fn batch(&mut self, at: usize, payload: &[u8], now: i64) -> Result<(), WireError> {
        let received = Received::read(payload)?;
        let header = received.header;
        if header.kind != MessageKind::Batch || header.bucket != self.buckets[at].number {
            return Err(WireError::Unknown);
        }
        self.counts.count_batch(payload.len(), header.published, now);
        let followed = self.hear(header.epoch);
        let bucket = &mut self.buckets[at];
        let arrival = if followed { bucket.follower.batch(header.epoch, header.sequence) } else { Arrival::Old };
        match arrival {
            Arrival::Old => {
                self.counts.snapshot.old += received.rows() as u64;
                return Ok(());
            }
            Arrival::AfterGap(missed) => self.counts.count_gap(missed),
            Arrival::Next => {}
        }
        let quotes = self.decoder.quotes(&received).inspect_err(|_| bucket.follower.miss(header.sequence + 1))?;
        let version = header.sequence.saturating_add(1);
        let delivery = bucket.follower.deliver(version, &quotes, &mut self.table, &mut self.columns);
        self.counts.count_delivery(delivery);
        Ok(())
    }

    pub(super) fn answer(&mut self, number: u16, answer: Option<Message>) {
        let Some(at) = self.buckets.iter().position(|bucket| bucket.number == number) else { return };
        self.buckets[at].ask_at = Some(Instant::now() + RETRY);
        let Some(message) = answer else { return };
        match self.snapshot(at, &message.payload) {
            Ok(()) => self.deliver(),
            Err(error) => self.invalid(error),
        }
    }

    fn snapshot(&mut self, at: usize, payload: &[u8]) -> Result<(), WireError> {
        let received = Received::read(payload)?;
        let header = received.header;
        if header.kind != MessageKind::Snapshot || header.bucket != self.buckets[at].number {
            return Err(WireError::Unknown);
        }
        let followed = self.hear(header.epoch);
        let bucket = &mut self.buckets[at];
        let quotes = self.decoder.quotes(&received)?;
        self.counts.count_snapshot(payload.len());
        if followed && bucket.follower.snapshot(header.epoch, header.sequence) {
            let delivery = bucket.follower.deliver(header.sequence, &quotes, &mut self.table, &mut self.columns);
            self.counts.count_snapshot_delivery(delivery);
        } else {
            self.counts.snapshot.old += received.rows() as u64;
        }
        Ok(())
    }

    pub(super) fn status(&mut self, message: &Message) {
        if let Err(error) = self.read_status(&message.payload) {
            self.invalid(error);
        }
    }

    fn read_status(&mut self, payload: &Bytes) -> Result<(), WireError> {
        let received = Received::read(payload)?;
        let (epoch, status) = (received.header.epoch, received.status()?);
        if received.header.kind != MessageKind::Status {
            return Err(WireError::Unknown);
        }
        if !self.hear(epoch) {
            return Ok(());
        }
        let heads: Vec<u64> = status.heads().collect();
        for bucket in &mut self.buckets {
            if let Some(head) = heads.get(usize::from(bucket.number))
                && bucket.follower.head(epoch, *head)
            {
                // A new reader can be asked at once.
                bucket.ask_at = bucket.ask_at.map(|_| Instant::now());
            }
        }
        self.settle_at.get_or_insert_with(|| Instant::now() + SETTLE);
        self.counts.snapshot.conflated_by_reader = status.conflated;
        self.counts.snapshot.reader_seen = Some(wall_clock());
        let payload = payload.slice_ref(status.payload);
        self.reader.send_replace(Some(ReaderStatus { epoch, payload, received: Instant::now() }));
        Ok(())
    }

    /// A reader with this epoch says something. False if it is one that has been replaced and does not know that yet.
    fn hear(&mut self, epoch: u64) -> bool {
        match self.followed.hear(epoch, Instant::now()) {
            Word::Earlier => return false,
            Word::Same => {}
            Word::New => info!(event_type = "relay_new_reader", epoch, "follows a new reader"),
            Word::Restarted => {
                warn!(
                    event_type = "relay_new_reader",
                    epoch, "follows a reader with a lower epoch: the lease's document was deleted"
                );
                for bucket in &mut self.buckets {
                    bucket.follower = Follower::new();
                }
            }
        }
        true
    }

    /// Whether batches that the reader has announced have not arrived.
    pub(super) fn check(&mut self) {
        if self.settle_at.is_some_and(|at| at <= Instant::now()) {
            self.settle_at = None;
            for bucket in &mut self.buckets {
                self.counts.count_gap(bucket.follower.settle());
            }
        }
    }

    /// The buckets whose snapshots can be asked for now, at most `room`.
    pub(super) fn choose_asked(&mut self, room: usize) -> Vec<u16> {
        let now = Instant::now();
        let due = |bucket: &&mut Bucket| {
            bucket.follower.is_missing_some() && bucket.ask_at.is_some_and(|ask_at| ask_at <= now)
        };
        let asked = self.buckets.iter_mut().filter(due).take(room);
        asked
            .map(|bucket| {
                bucket.ask_at = None;
                bucket.number
            })
            .collect()
    }

    fn deliver(&mut self) {
        if !self.columns.is_empty() {
            self.receiver.receive(&self.columns, &self.table);
            self.columns.clear();
        }
    }

    /// Lets the receiver look at what it wants now, although no quote may come for long.
    pub(super) fn look(&mut self) {
        self.deliver();
        self.receiver.receive(&self.columns, &self.table);
    }

    fn invalid(&mut self, error: WireError) {
        self.counts.snapshot.invalid += 1;
        if self.warned.replace(error) != Some(error) {
            warn!(event_type = "relay_invalid_message", "dropped a message of the reader: {error}");
        }
    }

    pub(super) fn note(&mut self) {
        self.counts.roll(Instant::now());
        self.counts.snapshot.epoch = self.followed.epoch();
        self.counts.snapshot.buckets = self.buckets.len() as u16;
        self.counts.snapshot.waiting =
            self.buckets.iter().filter(|bucket| bucket.follower.is_missing_some()).count() as u16;
        *self.shared.subscriber.lock() = self.counts.snapshot.clone();
    }
}

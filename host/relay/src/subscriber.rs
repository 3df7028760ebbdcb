//! A worker's side: receives the buckets of its symbols, and asks for what it missed.

mod counts;
mod followed;

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Message};
use bytes::Bytes;
use futures_util::future::poll_fn;
use futures_util::stream::{FuturesUnordered, Stream, StreamExt};
use quotegate_market::{QuoteColumns, QuoteReceiver, Subscription, SymbolTable};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::buckets::buckets_of;
use crate::clock::wall_clock;
use crate::follower::{Arrival, Follower};
use crate::relay::Shared;
use crate::wire::{Decoder, MessageKind, Received, WireError};
use counts::Counts;
use followed::{Followed, Word};

/// Deliver once so many quotes are there, although more messages are: the columns stay in the CPU cache.
const DELIVER_ROWS: usize = 1024;
/// Messages read before other things have their turn.
const READ_MESSAGES: usize = 256;
/// How often it is checked what is missing.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Batches that the reader has announced may take so long to arrive after the announcement.
const SETTLE: Duration = Duration::from_millis(250);
/// Ask again after this long without an answer, or with none that helps.
const RETRY: Duration = Duration::from_millis(500);
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// Snapshots asked for at once.
const REQUESTS: usize = 16;

/// What the reader last said about itself.
#[derive(Debug, Clone)]
pub struct ReaderStatus {
    /// The epoch under which it publishes.
    pub epoch: u64,
    /// What [`crate::PublisherTask::run`] was given to send.
    pub payload: Bytes,
    /// When it arrived.
    pub received: Instant,
}

/// Receives quotes and delivers those of each symbol in the reader's order.
#[derive(Debug)]
pub struct Subscriber {
    shared: Arc<Shared>,
    client: Client,
    wanted: watch::Receiver<Arc<Subscription>>,
    reader: watch::Sender<Option<ReaderStatus>>,
}

impl Subscriber {
    pub(crate) fn new(shared: Arc<Shared>, client: Client, wanted: watch::Receiver<Arc<Subscription>>) -> Self {
        Self { shared, client, wanted, reader: watch::Sender::new(None) }
    }

    /// The reader's last status.
    pub fn reader(&self) -> watch::Receiver<Option<ReaderStatus>> {
        self.reader.subscribe()
    }

    /// Delivers quotes to `receiver` until `stop`. The symbols that it gets are those of this subscriber's own table; besides
    /// the wanted ones, others of their buckets. It is called without quotes after each change of what is wanted.
    pub async fn run(self, receiver: &mut dyn QuoteReceiver, stop: CancellationToken) {
        let Self { shared, client, mut wanted, reader } = self;
        let mut receiving = Receiving {
            table: SymbolTable::with_capacity(shared.settings.symbol_capacity),
            columns: QuoteColumns::with_capacity(2 * DELIVER_ROWS),
            decoder: Decoder::new(),
            buckets: Vec::new(),
            followed: Followed::default(),
            counts: Counts::default(),
            warned: None,
            settle_at: None,
            receiver,
            reader: &reader,
            shared: &shared,
        };
        let Some(Ok(mut statuses)) = stop.run_until_cancelled(client.subscribe(shared.subjects.status.clone())).await
        else {
            return;
        };
        let mut answers = FuturesUnordered::new();
        let mut check = tokio::time::interval(CHECK_INTERVAL);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut messages = Vec::new();
        wanted.mark_changed();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                changed = wanted.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let now = buckets_of(&wanted.borrow_and_update());
                    if stop.run_until_cancelled(receiving.subscribe(&client, &now)).await.is_none() {
                        break;
                    }
                    receiving.look();
                }
                () = read(&mut receiving.buckets, &mut messages) => receiving.batches(&mut messages),
                Some(message) = statuses.next() => receiving.status(&message),
                Some((bucket, answer)) = answers.next(), if !answers.is_empty() => receiving.answer(bucket, answer),
                _ = check.tick() => receiving.check(),
            }
            // Requests without a connection would all be sent once there is one.
            if client.connection_state() == State::Connected {
                for bucket in receiving.choose_asked(REQUESTS.saturating_sub(answers.len())) {
                    answers.push(ask(&client, shared.subjects.snapshot(bucket), bucket));
                }
            }
            receiving.note();
        }
    }
}

/// One bucket that is received.
struct Bucket {
    number: u16,
    messages: async_nats::Subscriber,
    follower: Follower,
    /// When a snapshot may be asked for; `None` while one is.
    ask_at: Option<Instant>,
}

struct Receiving<'a> {
    table: SymbolTable,
    columns: QuoteColumns,
    decoder: Decoder,
    buckets: Vec<Bucket>,
    followed: Followed,
    counts: Counts,
    /// The last message that could not be read, so that each reason is logged once.
    warned: Option<WireError>,
    settle_at: Option<Instant>,
    receiver: &'a mut dyn QuoteReceiver,
    reader: &'a watch::Sender<Option<ReaderStatus>>,
    shared: &'a Shared,
}

impl Receiving<'_> {
    /// Receives these buckets from now on.
    async fn subscribe(&mut self, client: &Client, wanted: &[bool]) {
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
    fn batches(&mut self, messages: &mut Vec<(usize, Message)>) {
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

    fn answer(&mut self, number: u16, answer: Option<Message>) {
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

    fn status(&mut self, message: &Message) {
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
    fn check(&mut self) {
        if self.settle_at.is_some_and(|at| at <= Instant::now()) {
            self.settle_at = None;
            for bucket in &mut self.buckets {
                self.counts.count_gap(bucket.follower.settle());
            }
        }
    }

    /// The buckets whose snapshots can be asked for now, at most `room`.
    fn choose_asked(&mut self, room: usize) -> Vec<u16> {
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
    fn look(&mut self) {
        self.deliver();
        self.receiver.receive(&self.columns, &self.table);
    }

    fn invalid(&mut self, error: WireError) {
        self.counts.snapshot.invalid += 1;
        if self.warned.replace(error) != Some(error) {
            warn!(event_type = "relay_invalid_message", "dropped a message of the reader: {error}");
        }
    }

    fn note(&mut self) {
        self.counts.snapshot.epoch = self.followed.epoch();
        self.counts.snapshot.buckets = self.buckets.len() as u16;
        self.counts.snapshot.waiting =
            self.buckets.iter().filter(|bucket| bucket.follower.is_missing_some()).count() as u16;
        *self.shared.subscriber.lock() = self.counts.snapshot.clone();
    }
}

/// Reads the messages that are there, of all buckets; waits if there are none.
async fn read(buckets: &mut [Bucket], messages: &mut Vec<(usize, Message)>) {
    poll_fn(|cx| {
        for (at, bucket) in buckets.iter_mut().enumerate() {
            while let Poll::Ready(Some(message)) = Pin::new(&mut bucket.messages).poll_next(cx) {
                messages.push((at, message));
                if messages.len() >= READ_MESSAGES {
                    return Poll::Ready(());
                }
            }
        }
        if messages.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}

/// Asks the reader for the snapshot of a bucket. `None`: no answer, or nobody is there to give one.
async fn ask(client: &Client, subject: async_nats::Subject, bucket: u16) -> (u16, Option<Message>) {
    let answer = tokio::time::timeout(ANSWER_LIMIT, client.request(subject, Bytes::new())).await;
    (bucket, answer.ok().and_then(Result::ok))
}

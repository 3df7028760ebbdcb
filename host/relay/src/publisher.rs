//! The reader's side: an outbox that the feed fills, and the task that publishes what is in it.

use std::sync::Arc;
use std::time::Duration;

use async_nats::client::PublishErrorKind;
use async_nats::connection::State;
use async_nats::{Client, Message};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use quotegate_market::{QuoteColumns, QuoteReceiver, Symbol, SymbolTable};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::bucket::Bucket;
use crate::bucket_set::BucketSet;
use crate::clock::wall_clock;
use crate::outbox::{Content, Outbox};
use crate::relay::Shared;
use crate::settings::Compression;
use crate::status::PublisherSnapshot;
use crate::wire::{Encoder, Header, MessageKind};

/// The average time between two turns, in which quotes wait to share a message. The first quote after a pause does not wait.
pub(crate) const LINGER: Duration = Duration::from_millis(1);
/// The most messages of one turn: the rest follows at once, but others have a chance to run.
const TURN_BATCHES: u64 = 64;
/// How often workers hear from the reader if it has no quotes for them.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// At the end, for what the connection still has to send.
const FLUSH_LIMIT: Duration = Duration::from_millis(250);

/// Where the feed puts quotes. Never waits: see [`crate`].
#[derive(Debug)]
pub struct Publisher {
    outbox: Arc<Outbox>,
}

impl QuoteReceiver for Publisher {
    fn receive(&mut self, quotes: &QuoteColumns, symbols: &SymbolTable) {
        self.outbox.put(quotes, symbols);
    }
}

/// Publishes what the feed has put into the outbox, and answers requests for snapshots.
#[derive(Debug)]
pub struct PublisherTask {
    outbox: Arc<Outbox>,
    shared: Arc<Shared>,
    client: Client,
    encoder: Encoder,
    content: Content,
    set: BucketSet,
    /// By the feed's symbol id.
    symbols: Vec<Symbol>,
    epoch: Option<u64>,
    /// The bucket with which the next turn begins: where the last one stopped.
    first: usize,
    counts: PublisherSnapshot,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// There was nothing to publish.
    Idle,
    Done,
    /// It was long enough, and there is more that the connection would take.
    More,
}

/// Whether the connection took a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Taken,
    /// Its queue is full: the broker is slow, frozen or gone.
    Refused,
    /// Longer than the broker allows.
    TooLong,
}

pub(crate) fn publisher(shared: Arc<Shared>, client: Client) -> (Publisher, PublisherTask) {
    let outbox = Arc::new(Outbox::default());
    let task = PublisherTask {
        outbox: outbox.clone(),
        shared,
        client,
        encoder: Encoder::new(),
        content: Content::default(),
        set: BucketSet::new(),
        symbols: Vec::new(),
        epoch: None,
        first: 0,
        counts: PublisherSnapshot::default(),
    };
    (Publisher { outbox }, task)
}

impl PublisherTask {
    /// Runs until `stop`. `epoch`: under which this process is the reader, `None` if it is not. A new epoch begins with an
    /// empty table. `status` is sent to all workers about once per second.
    pub async fn run(
        mut self,
        mut epoch: watch::Receiver<Option<u64>>,
        status: impl Fn() -> Vec<u8> + Send,
        stop: CancellationToken,
    ) {
        let mut status_due = tokio::time::interval(STATUS_INTERVAL);
        status_due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut requests = None;
        let mut turn_due = Some(Instant::now());
        epoch.mark_changed();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                changed = epoch.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let now = *epoch.borrow_and_update();
                    self.end_tenure();
                    requests = None;
                    if let Some(epoch) = now {
                        self.begin_tenure(epoch);
                        requests = tokio::select! {
                            () = stop.cancelled() => break,
                            subscribed = self.client.subscribe(self.shared.subjects.any_snapshot.clone()) => subscribed.ok(),
                        };
                        status_due.reset_immediately();
                        turn_due = Some(Instant::now());
                    }
                }
                () = rest(turn_due, &self.outbox), if self.epoch.is_some() => {
                    turn_due = match self.turn() {
                        Turn::Idle => None,
                        // The timer counts in whole milliseconds and rounds up, by half of one on average.
                        Turn::Done => Some(Instant::now() + LINGER / 2),
                        Turn::More => Some(Instant::now()),
                    };
                }
                request = next(&mut requests), if requests.is_some() => match request {
                    Some(request) => self.answer(&request),
                    None => requests = None,
                },
                _ = status_due.tick(), if self.epoch.is_some() => self.publish_status(&status()),
            }
        }
        self.end_tenure();
        let _ = tokio::time::timeout(FLUSH_LIMIT, self.client.flush()).await;
    }

    fn begin_tenure(&mut self, epoch: u64) {
        self.epoch = Some(epoch);
        self.counts.epoch = Some(epoch);
        info!(event_type = "relay_reader", epoch, "publishes quotes as the reader");
    }

    /// Publishes what it can and forgets the rest.
    fn end_tenure(&mut self) {
        if self.epoch.is_none() {
            return;
        }
        while self.turn() == Turn::More {}
        self.counts.dropped += self.counts.waiting;
        self.counts.waiting = 0;
        self.counts.epoch = None;
        self.counts.stalled_since = None;
        self.epoch = None;
        self.set = BucketSet::new();
        self.symbols.clear();
        self.outbox.forget();
        self.note();
    }

    /// Takes what is in the outbox, and publishes what the connection takes.
    fn turn(&mut self) -> Turn {
        let took_some = self.outbox.take(&mut self.content);
        if took_some {
            self.sort();
        }
        let more = self.publish();
        self.note();
        match took_some || self.counts.waiting > 0 {
            _ if more => Turn::More,
            true => Turn::Done,
            false => Turn::Idle,
        }
    }

    /// Puts quotes from the outbox into the buckets.
    fn sort(&mut self) {
        let content = &mut self.content;
        if content.restarted {
            self.symbols.clear();
            self.set.forget_ids();
        }
        self.symbols.append(&mut content.new_symbols);
        self.counts.received += content.received;
        self.counts.conflated += content.conflated;
        self.counts.dropped += content.dropped;
        for row in 0..content.quotes.len() {
            let put = self.set.put(content.quotes.symbol[row], &self.symbols, &content.quotes.quote(row));
            self.counts.dropped += u64::from(!put);
        }
        self.counts.conflated += self.set.conflate_beyond_capacity();
    }

    /// Publishes what waits, bucket by bucket. True if it stopped although the connection would take more.
    fn publish(&mut self) -> bool {
        let Some(epoch) = self.epoch else { return false };
        let before = self.counts.batches;
        let mut open = self.client.connection_state() == State::Connected;
        let count = self.set.buckets.len();
        for at in 0..count {
            let bucket = (self.first + at) % count;
            while open && self.counts.batches - before < TURN_BATCHES && self.set.buckets[bucket].waiting() > 0 {
                open = self.publish_next(epoch, bucket);
            }
            if self.set.buckets[bucket].waiting() > 0 {
                self.first = bucket;
                break;
            }
        }
        let taken = self.counts.batches - before;
        self.counts.waiting = self.set.waiting();
        self.counts.stalled_since = match self.counts.waiting {
            0 => None,
            _ if taken > 0 => None,
            _ => self.counts.stalled_since.or_else(|| Some(wall_clock())),
        };
        open && self.counts.waiting > 0
    }

    /// Publishes the next batch of a bucket. False if the connection did not take it.
    fn publish_next(&mut self, epoch: u64, bucket: usize) -> bool {
        let Some(next) = self.set.buckets[bucket].next() else { return true };
        let header = Header {
            kind: MessageKind::Batch,
            bucket: bucket as u16,
            epoch,
            sequence: next.sequence,
            published: wall_clock(),
        };
        let (names, rows) = (next.names.len(), next.rows.len());
        let compression = self.shared.settings.compression;
        let message = self.encoder.quotes(&header, next.first_name, next.names, next.quotes, next.rows, compression);
        let bytes = message.len() as u64;
        match send(&self.client, self.shared.subjects.quotes(bucket as u16), message) {
            Sent::Taken => {
                self.counts.batches += 1;
                self.counts.quotes += rows as u64;
                self.counts.bytes += bytes;
            }
            Sent::Refused => {
                self.counts.refused += 1;
                return false;
            }
            // Workers see the gap and ask for a snapshot.
            Sent::TooLong => self.counts.dropped += rows as u64,
        }
        self.set.buckets[bucket].published(names, rows);
        true
    }

    fn answer(&mut self, request: &Message) {
        let (Some(epoch), Some(reply)) = (self.epoch, &request.reply) else { return };
        let Some(number) = self.shared.subjects.asked(&request.subject) else { return };
        let Some(bucket) = self.set.buckets.get(usize::from(number)) else { return };
        let (names, latest) = bucket.snapshot();
        let header = Header {
            kind: MessageKind::Snapshot,
            bucket: number,
            epoch,
            sequence: bucket.sequence(),
            published: wall_clock(),
        };
        let snapshot = self.encoder.quotes(&header, 0, names, &latest, 0..latest.len(), Compression::Zstd);
        // If it is refused, the worker asks again.
        if send(&self.client, reply.clone(), snapshot) == Sent::Taken {
            self.counts.snapshots += 1;
        }
    }

    fn publish_status(&mut self, payload: &[u8]) {
        let Some(epoch) = self.epoch else { return };
        let header = Header { kind: MessageKind::Status, bucket: 0, epoch, sequence: 0, published: wall_clock() };
        let heads: Vec<u64> = self.set.buckets.iter().map(Bucket::sequence).collect();
        let message = self.encoder.status(&header, &heads, self.counts.conflated, payload);
        if self.client.connection_state() == State::Connected {
            send(&self.client, self.shared.subjects.status.clone(), message);
        }
    }

    fn note(&self) {
        self.shared.publisher.lock().clone_from(&self.counts);
    }
}

/// Never waits.
fn send(client: &Client, subject: async_nats::Subject, message: Bytes) -> Sent {
    let bytes = message.len();
    match client.publish(subject, message).now_or_never() {
        Some(Ok(())) => Sent::Taken,
        Some(Err(error)) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
            warn!(
                event_type = "relay_message_too_long",
                bytes, "the broker allows no message of {bytes} bytes: raise max_payload in its configuration"
            );
            Sent::TooLong
        }
        _ => Sent::Refused,
    }
}

/// Until the next turn: at a time, or when a quote arrives.
async fn rest(turn_due: Option<Instant>, outbox: &Outbox) {
    match turn_due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => outbox.woken().await,
    }
}

async fn next(requests: &mut Option<async_nats::Subscriber>) -> Option<Message> {
    match requests {
        Some(requests) => requests.next().await,
        None => std::future::pending().await,
    }
}

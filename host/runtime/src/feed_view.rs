//! What this host knows of the feed: from its own connection, or from what the reader says over the relay.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use quotegate_feed::{FeedSnapshot, FeedStatus};
use quotegate_lease::InstanceRole;
use quotegate_market::UnixNanos;
use quotegate_relay::{ReaderStatus, Relay, RelaySnapshot};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::text::short_duration;

/// A reader says something once per second. After this long without a word, it counts as gone.
const READER_SILENT: Duration = Duration::from_secs(5);

/// This host's view of the feed.
#[derive(Debug)]
pub(crate) struct FeedView {
    /// Of this host's own connection.
    pub(crate) own: Arc<FeedStatus>,
    /// `None` without a relay.
    pub(crate) relay: Option<RelayView>,
}

/// What comes over the relay.
#[derive(Debug)]
pub(crate) struct RelayView {
    role: InstanceRole,
    relay: Relay,
    /// `None` if this host is no worker.
    reader: Option<watch::Receiver<Option<ReaderStatus>>>,
    /// The newest time of a quote that a reader has told; 0 for none. A new reader has no quote at first.
    last_quote: AtomicI64,
    started: Instant,
}

/// What the reader says about itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ReaderReport {
    pub(crate) instance: String,
    pub(crate) address: Option<String>,
    pub(crate) feed: FeedSnapshot,
}

/// The relay at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RelayState {
    /// This host's part of the work.
    pub role: InstanceRole,
    /// This host reads the feed and publishes its quotes.
    pub reads: bool,
    /// The reader, as it last said; `None` before its first word, and on a host that is no worker.
    pub reader: Option<ReaderState>,
    /// Why quotes do not come through.
    pub problem: Option<String>,
    /// The connection and the counters.
    #[serde(flatten)]
    pub counters: RelaySnapshot,
}

/// The reader, by its own words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReaderState {
    /// Its name.
    pub instance: String,
    /// Where its page is.
    pub address: Option<String>,
    /// The epoch under which it publishes.
    pub epoch: u64,
    /// How long ago it last said something.
    pub age_seconds: f64,
}

impl RelayState {
    /// True if this host is a worker.
    pub fn works(&self) -> bool {
        self.role != InstanceRole::Reader
    }
}

impl FeedView {
    /// The feed, the relay if there is one, and when the last quote arrived from which tenants could get it.
    pub(crate) fn now(&self, reads: bool) -> (FeedSnapshot, Option<RelayState>, Option<UnixNanos>) {
        let own = || self.own.snapshot();
        let Some(view) = &self.relay else {
            let feed = own();
            let last = feed.last_received_time;
            return (feed, None, last);
        };
        let said = view.said();
        let state = view.state(said.as_ref(), reads);
        let last = match &view.reader {
            Some(_) => view.last_quote(said.as_ref()),
            None => self.own.last_received_time(),
        };
        let relayed = said.map(|(_, report)| report.feed);
        let feed = if reads { own() } else { relayed.unwrap_or_else(own) };
        (feed, Some(state), last)
    }

    /// Logs until `stop` when quotes begin or cease to come through the relay.
    pub(crate) async fn log_changes_until(&self, stop: CancellationToken) {
        if let Some(view) = &self.relay {
            stop.run_until_cancelled(view.log_changes()).await;
        }
    }

    /// When the last quote arrived from which tenants could get it.
    pub(crate) fn last_received_time(&self) -> Option<UnixNanos> {
        match self.relay.as_ref().filter(|view| view.reader.is_some()) {
            Some(view) => view.last_quote(view.said().as_ref()),
            None => self.own.last_received_time(),
        }
    }
}

impl RelayView {
    pub(crate) fn new(role: InstanceRole, relay: Relay, reader: Option<watch::Receiver<Option<ReaderStatus>>>) -> Self {
        Self { role, relay, reader, last_quote: AtomicI64::new(0), started: Instant::now() }
    }

    /// The reader's last word.
    fn said(&self) -> Option<(ReaderStatus, ReaderReport)> {
        let status = self.reader.as_ref()?.borrow().clone()?;
        // A reader of another version may say something else.
        let report = serde_json::from_slice(&status.payload).ok()?;
        Some((status, report))
    }

    /// When the last quote arrived at a reader, whichever that was.
    fn last_quote(&self, said: Option<&(ReaderStatus, ReaderReport)>) -> Option<UnixNanos> {
        let said = said.and_then(|(_, report)| report.feed.last_received_time).unwrap_or_default();
        let newest = self.last_quote.fetch_max(said, Relaxed).max(said);
        (newest != 0).then_some(newest)
    }

    fn state(&self, said: Option<&(ReaderStatus, ReaderReport)>, reads: bool) -> RelayState {
        let counters = self.relay.status();
        let reader = said.map(|(status, report)| ReaderState {
            instance: report.instance.clone(),
            address: report.address.clone(),
            epoch: status.epoch,
            age_seconds: status.received.elapsed().as_secs_f64(),
        });
        let problem = problem(&counters, reader.as_ref(), self.reader.is_some().then(|| self.started.elapsed()));
        RelayState { role: self.role, reads, reader, problem, counters }
    }

    /// Logs once per second whether quotes come through, if that has changed.
    async fn log_changes(&self) {
        let mut before: Option<String> = None;
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = self.state(self.said().as_ref(), false).problem;
            match (&before, &now) {
                (None, Some(problem)) => warn!(event_type = "relay_problem", "{problem}"),
                (Some(_), None) => info!(event_type = "relay_works", "quotes come through the relay again"),
                _ => {}
            }
            before = now;
        }
    }
}

/// Why quotes do not come through. `waited`: how long a worker has been running.
fn problem(counters: &RelaySnapshot, reader: Option<&ReaderState>, waited: Option<Duration>) -> Option<String> {
    let connection = &counters.connection;
    if !connection.connected {
        let why = connection.problem.as_deref().unwrap_or("no answer yet");
        return Some(format!("the broker at {} is not connected: {why}", connection.url));
    }
    let (waited, heard) = (waited?, reader.map(|reader| Duration::from_secs_f64(reader.age_seconds)));
    let silence = heard.unwrap_or(waited);
    (silence > READER_SILENT).then(|| match reader {
        Some(reader) => {
            let age = short_duration(silence);
            format!("the reader {} has not been heard over the relay for {age}", reader.instance)
        }
        None => "no reader has been heard over the relay yet".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_says_why_it_gets_no_quotes() {
        const LONG: Duration = Duration::from_secs(60);
        let mut counters = RelaySnapshot::default();
        counters.connection.url = "nats://broker:4222".into();
        let reader = |age_seconds| ReaderState { instance: "host-a".into(), address: None, epoch: 1, age_seconds };
        assert_eq!(
            problem(&counters, Some(&reader(0.1)), Some(LONG)).unwrap(),
            "the broker at nats://broker:4222 is not connected: no answer yet"
        );
        counters.connection.connected = true;
        assert_eq!(problem(&counters, None, Some(Duration::from_secs(4))), None, "it has just started");
        assert_eq!(problem(&counters, None, Some(LONG)).unwrap(), "no reader has been heard over the relay yet");
        assert_eq!(problem(&counters, Some(&reader(4.9)), Some(LONG)), None);
        assert_eq!(
            problem(&counters, Some(&reader(61.0)), Some(LONG)).unwrap(),
            "the reader host-a has not been heard over the relay for 61 s"
        );
        assert_eq!(problem(&counters, None, None), None, "a host that only reads hears nobody");
    }
}

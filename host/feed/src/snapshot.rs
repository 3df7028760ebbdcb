//! The latest quotes over REST: for symbols that were just subscribed, and for all of them after a gap.
//!
//! The requests run in a task of their own, away from the reader's thread: a REST that is slow, fails or refuses delays
//! no tick. What it answers may be older than a tick that came meanwhile, and whoever keeps the latest decides by the
//! exchange's time.

mod client;
mod queue;
mod status;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use quotegate_market::FeedName;
use quotegate_pace::Backoff;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::decode::LatestQuotes;
use crate::error::FeedSettingsError;
use crate::settings::{Clock, Credentials};
use crate::status::FeedStatus;
use crate::subscription::Name;
use crate::tls::RootCerts;
use client::{Client, Failure};
use queue::SnapshotQueue;

pub use status::SnapshotCounts;
pub(crate) use status::SnapshotFailure;

/// Answers that wait for the reader. More would only grow old.
const ANSWERS_AHEAD: usize = 2;

/// Settings of the requests for latest quotes.
#[derive(Debug, Clone)]
pub struct SnapshotSettings {
    /// Where REST is served, without a path: see [`crate::rest_url`].
    pub url: String,
    /// The feed to ask for.
    pub feed: FeedName,
    /// The same as for the websocket.
    pub credentials: Credentials,
    /// The authorities that an `https` server is checked against.
    pub root_certs: RootCerts,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// How long to wait after a request that failed. A server that says when to come back is obeyed.
    pub backoff: Backoff,
}

impl SnapshotSettings {
    /// The defaults for a service at `url`.
    pub fn new(
        url: String,
        feed: FeedName,
        credentials: Credentials,
        root_certs: RootCerts,
    ) -> Result<Self, FeedSettingsError> {
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(60));
        let backoff = Backoff::new(first, longest)
            .map_err(|error| FeedSettingsError::Backoff("requests for latest quotes", error))?;
        Ok(Self { url, feed, credentials, root_certs, request_timeout: Duration::from_secs(10), backoff })
    }
}

/// Sends the requests. Run it anywhere but on the reader's thread.
pub struct SnapshotTask {
    client: Client,
    queue: Arc<SnapshotQueue>,
    answers: mpsc::Sender<LatestQuotes>,
    status: Arc<FeedStatus>,
    backoff: Backoff,
    rng: Rng,
    /// Requests that failed since the last that did not.
    failed: u32,
}

/// The reader's end: asks for symbols, and takes their quotes.
#[derive(Debug)]
pub struct Snapshots {
    queue: Arc<SnapshotQueue>,
    answers: mpsc::Receiver<LatestQuotes>,
}

/// Makes both ends; `None` if REST does not serve this feed.
pub fn snapshots(
    settings: &SnapshotSettings,
    status: Arc<FeedStatus>,
    clock: Clock,
) -> Result<Option<(SnapshotTask, Snapshots)>, FeedSettingsError> {
    let Some(client) = Client::new(settings, clock)? else { return Ok(None) };
    let queue = Arc::new(SnapshotQueue::default());
    let (answers, receiver) = mpsc::channel(ANSWERS_AHEAD);
    let backoff = settings.backoff.clone();
    let task = SnapshotTask { client, queue: queue.clone(), answers, status, backoff, rng: Rng::new(), failed: 0 };
    Ok(Some((task, Snapshots { queue, answers: receiver })))
}

impl Snapshots {
    /// Asks for the latest quotes of these symbols. Never waits.
    pub(crate) fn ask(&self, names: impl IntoIterator<Item = Name>) {
        self.queue.add(names);
    }

    /// The next answer. Waits for ever if the task has ended. Cancel safe.
    pub(crate) async fn next(&mut self) -> LatestQuotes {
        match self.answers.recv().await {
            Some(latest) => latest,
            None => std::future::pending().await,
        }
    }
}

impl SnapshotTask {
    /// Runs until `stop`, or until the reader's end is gone.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.serve() => {}
        }
    }

    async fn serve(&mut self) {
        loop {
            let names = self.queue.take(self.client.max_symbols()).await;
            match self.client.latest_quotes(&names).await {
                Ok(latest) => {
                    self.succeeded(names.len(), &latest);
                    if self.answers.send(latest).await.is_err() {
                        return;
                    }
                }
                Err(failure) => {
                    if let Some(delay) = self.failed(names, failure) {
                        sleep(delay).await;
                    }
                }
            }
        }
    }

    fn succeeded(&mut self, asked: usize, latest: &LatestQuotes) {
        self.status.count_snapshot(|counts| counts.requests += 1);
        self.backoff.reset();
        let failed = std::mem::take(&mut self.failed);
        let quotes = latest.quotes.len();
        if failed > 0 {
            info!(event_type = "snapshot_recovered", failed, "REST answers again");
        }
        info!(event_type = "snapshot", asked, quotes, "REST answered with the latest quotes");
    }

    /// The one place where a failed request is counted and logged. Returns how long to wait before the next one.
    fn failed(&mut self, mut names: Vec<Name>, failure: Failure) -> Option<Duration> {
        let cause = failure.cause().as_str();
        self.status.count_snapshot(|counts| *counts.failures.entry(cause.into()).or_default() += 1);
        match failure {
            // One invalid symbol costs the others nothing but more requests.
            Failure::BadRequest(_) if names.len() > 1 => {
                let second = names.split_off(names.len() / 2);
                self.queue.put_back(names);
                self.queue.put_back(second);
                None
            }
            Failure::BadRequest(reason) => {
                warn!(event_type = "snapshot_refused", symbols = ?names, reason, "REST refuses this symbol");
                None
            }
            Failure::Pointless(reason) => {
                let left_out = names.len() + self.queue.clear();
                warn!(
                    event_type = "snapshot_refused",
                    symbols = left_out,
                    reason,
                    "no latest quotes over REST; documents wait for the next tick of each symbol"
                );
                None
            }
            Failure::Retry { cause, reason, after } => {
                let delay = match after {
                    Some(after) => after.max(self.backoff.next_delay(&mut self.rng)),
                    None if cause == SnapshotFailure::RateLimited => self.backoff.longest_delay(&mut self.rng),
                    None => self.backoff.next_delay(&mut self.rng),
                };
                self.queue.put_back(names);
                self.failed += 1;
                if self.failed == 1 {
                    warn!(
                        event_type = "snapshot_failed",
                        cause = cause.as_str(),
                        reason,
                        delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
                        "could not get the latest quotes over REST; trying again"
                    );
                }
                Some(delay)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AuthBy;

    fn task() -> SnapshotTask {
        let credentials = Credentials { key_id: "key".into(), secret_key: "secret".into(), by: AuthBy::Headers };
        let url = "http://127.0.0.1:9".to_owned();
        let settings = SnapshotSettings::new(url, FeedName::Iex, credentials, RootCerts::public().unwrap()).unwrap();
        snapshots(&settings, Arc::default(), Arc::new(|| 0)).unwrap().unwrap().0
    }

    /// How long the task waits after its first failure.
    fn pause(cause: SnapshotFailure, after: Option<Duration>) -> Duration {
        let failure = Failure::Retry { cause, reason: String::new(), after };
        task().failed(vec!["SPY".into()], failure).unwrap()
    }

    #[test]
    fn an_overloaded_server_gets_the_pause_that_it_asks_for_or_else_a_long_one() {
        let asked = Duration::from_secs(90);
        assert_eq!(pause(SnapshotFailure::RateLimited, Some(asked)), asked);
        let long = Duration::from_secs(30)..=Duration::from_secs(60);
        assert!(long.contains(&pause(SnapshotFailure::RateLimited, None)));
        assert!(pause(SnapshotFailure::ServerError, None) <= Duration::from_secs(1));
    }
}

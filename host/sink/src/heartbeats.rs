use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use quotegate_pace::Backoff;
use tokio::time::{sleep, timeout};

use crate::{Outcome, RetryReason, Sink, TenantDocument};

/// After this many attempts, the next round has newer documents.
const ATTEMPTS: usize = 3;

/// Writes documents immediately, without the batches and their limits: heartbeats must arrive even when quotes do not.
#[derive(Clone)]
pub struct Heartbeats {
    sink: Arc<dyn Sink>,
    chunk: usize,
    request_timeout: Duration,
}

/// The result of one round of heartbeats.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Round {
    /// Documents written.
    pub written: u64,
    /// Documents that could not be written.
    pub failed: u64,
    /// Why the first of them failed.
    pub error: Option<String>,
}

impl Heartbeats {
    /// Sends requests of at most `chunk` documents, each with `request_timeout`.
    pub fn new(sink: Arc<dyn Sink>, chunk: usize, request_timeout: Duration) -> Self {
        Self { sink, chunk: chunk.max(1), request_timeout }
    }

    /// Writes all documents, one request after the other. Those that may succeed later are tried twice more.
    pub async fn write(&self, documents: Vec<TenantDocument>) -> Round {
        let mut round = Round::default();
        for chunk in documents.chunks(self.chunk) {
            self.write_chunk(chunk.to_vec(), &mut round).await;
        }
        round
    }

    async fn write_chunk(&self, mut documents: Vec<TenantDocument>, round: &mut Round) {
        let mut rng = Rng::new();
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2)).ok();
        for left in (0..ATTEMPTS).rev() {
            let attempt = timeout(self.request_timeout, self.sink.write(&documents)).await;
            let outcomes =
                attempt.unwrap_or_else(|_| vec![Outcome::retry(RetryReason::DeadlineExceeded); documents.len()]);
            let mut again = Vec::new();
            for (document, outcome) in documents.into_iter().zip(outcomes) {
                match outcome {
                    Outcome::Written => round.written += 1,
                    Outcome::Retry { .. } if left > 0 => again.push(document),
                    failed => round.fail(failed.problem()),
                }
            }
            if again.is_empty() {
                return;
            }
            documents = again;
            if let Some(backoff) = &mut backoff {
                sleep(backoff.next_delay(&mut rng)).await;
            }
        }
    }
}

impl Round {
    fn fail(&mut self, error: Option<String>) {
        self.failed += 1;
        self.error = self.error.take().or(error);
    }
}

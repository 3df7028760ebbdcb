use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use quotegate_pace::Backoff;
use tokio::time::{sleep, timeout};

use crate::{Outcome, RetryReason, Sink, TenantDocument};

/// Tries for one round; after that the next round has newer documents anyway.
const TRIES: usize = 3;

/// Writes documents now, past the batches and their limits: for the heartbeats, which must arrive when quotes do not.
#[derive(Clone)]
pub struct Heartbeats {
    sink: Arc<dyn Sink>,
    chunk: usize,
    request_timeout: Duration,
}

/// What became of one round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Round {
    /// Documents confirmed.
    pub written: u64,
    /// Documents given up.
    pub failed: u64,
    /// What went wrong with one of those.
    pub problem: Option<String>,
}

impl Heartbeats {
    /// Requests of at most `chunk` documents, each lost after `request_timeout`.
    pub fn new(sink: Arc<dyn Sink>, chunk: usize, request_timeout: Duration) -> Self {
        Self { sink, chunk: chunk.max(1), request_timeout }
    }

    /// Writes them all, one request after the other; what fails for a passing reason is tried twice more.
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
        for left in (0..TRIES).rev() {
            let attempt = timeout(self.request_timeout, self.sink.write(&documents)).await;
            let outcomes =
                attempt.unwrap_or_else(|_| vec![Outcome::retry(RetryReason::DeadlineExceeded); documents.len()]);
            let mut again = Vec::new();
            for (document, outcome) in documents.into_iter().zip(outcomes) {
                match outcome {
                    Outcome::Written => round.written += 1,
                    Outcome::Retry { .. } if left > 0 => again.push(document),
                    Outcome::Retry { reason, .. } => round.fail(reason.to_string()),
                    Outcome::Refused { code, message } => round.fail(format!("{code}: {message}; {}", code.remedy())),
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
    fn fail(&mut self, problem: String) {
        self.failed += 1;
        self.problem.get_or_insert(problem);
    }
}

use std::sync::Arc;

use quotegate_sink::{ConditionalWrite, Outcome, RetryReason, Sink, WriteFuture, WriteResult};

/// Stands before the sink of a host that may not always write.
pub(super) struct LeaseGate {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) may_write: quotegate_sink::Ownership,
}

impl Sink for LeaseGate {
    fn write<'a>(&'a self, writes: &'a [ConditionalWrite<'a>]) -> WriteFuture<'a> {
        if (self.may_write)() {
            return self.sink.write(writes);
        }
        let results = vec![WriteResult::Failed(Outcome::retry(RetryReason::NotOwner)); writes.len()];
        Box::pin(std::future::ready(results))
    }
}

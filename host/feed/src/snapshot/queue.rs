use std::collections::{BTreeSet, VecDeque};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::subscription::Name;

/// URLs up to this length pass every server and proxy.
const MAX_BYTES: usize = 6000;

/// The symbols to ask for. Each is in it at most once, so the subscription bounds it however often connections break.
#[derive(Debug, Default)]
pub(super) struct SnapshotQueue {
    waiting: Mutex<Waiting>,
    added: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    names: BTreeSet<Name>,
    /// Batches to ask for again, as they are, after everything else.
    again: VecDeque<Vec<Name>>,
}

impl SnapshotQueue {
    /// Adds names. A name that is being asked for at this moment is asked for once more, because the answer may already
    /// be on its way, and older than the wish.
    pub(super) fn add(&self, names: impl IntoIterator<Item = Name>) {
        let mut waiting = self.waiting.lock();
        let again = std::mem::take(&mut waiting.again);
        waiting.names.extend(again.into_iter().flatten());
        waiting.names.extend(names);
        drop(waiting);
        self.added.notify_one();
    }

    /// Keeps a batch for later, behind all others: one that always fails must not hold them up.
    pub(super) fn put_back(&self, batch: Vec<Name>) {
        self.waiting.lock().again.push_back(batch);
    }

    /// Removes everything. Returns how many names that were.
    pub(super) fn clear(&self) -> usize {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        waiting.names.len() + waiting.again.iter().map(Vec::len).sum::<usize>()
    }

    /// Waits for names, and takes at most `most` of them.
    pub(super) async fn take(&self, most: usize) -> Vec<Name> {
        loop {
            let batch = self.waiting.lock().take(most);
            if !batch.is_empty() {
                return batch;
            }
            self.added.notified().await;
        }
    }
}

impl Waiting {
    fn take(&mut self, most: usize) -> Vec<Name> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < most
            && let Some(name) = self.names.first()
            && (batch.is_empty() || bytes + name.len() < MAX_BYTES)
        {
            bytes += name.len() + 1;
            batch.extend(self.names.pop_first());
        }
        if !batch.is_empty() {
            return batch;
        }
        self.again.pop_front().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(range: std::ops::Range<usize>) -> Vec<Name> {
        range.map(|number| format!("S{number:03}").into()).collect()
    }

    #[tokio::test]
    async fn a_name_waits_once_however_often_it_is_added() {
        let queue = SnapshotQueue::default();
        queue.add(names(0..3));
        queue.add(names(1..4));
        queue.put_back(names(2..5));
        queue.add(names(0..1));
        assert_eq!(queue.take(10).await, names(0..5));
        assert_eq!(queue.clear(), 0);
    }

    #[tokio::test]
    async fn batches_keep_within_both_limits() {
        let queue = SnapshotQueue::default();
        queue.add(names(0..7));
        assert_eq!(queue.take(5).await, names(0..5));
        assert_eq!(queue.take(5).await, names(5..7));
        let long = |number: usize| Name::from(format!("{number:0>width$}", width = MAX_BYTES / 4).as_str());
        queue.add((0..9).map(long));
        assert_eq!(queue.take(100).await.len(), 3);
    }

    #[tokio::test]
    async fn a_batch_that_failed_comes_after_all_others() {
        let queue = SnapshotQueue::default();
        queue.add(names(0..4));
        let first = queue.take(2).await;
        queue.put_back(first.clone());
        assert_eq!(queue.take(2).await, names(2..4));
        assert_eq!(queue.take(2).await, first);
    }
}

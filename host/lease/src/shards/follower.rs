use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::OptionFuture;
use tokio::time::{Instant, sleep_until};

use super::store::{Changes, Requested};
use crate::StoreError;

/// How many polls a working stream replaces before everything is read again: it may have fallen silent.
const TRUSTED_FOR: u32 = 30;

/// Follows something in the store: listens, and polls while that does not work.
pub(super) struct Follower<T> {
    listen: Box<dyn Fn() -> Changes<T> + Send>,
    read: Box<dyn Fn() -> Requested<T> + Send>,
    poll_every: Duration,
    changes: Option<Changes<T>>,
    /// It has told something.
    is_heard: bool,
    reading: Option<Requested<T>>,
    read_at: Instant,
    listen_at: Instant,
}

/// What a follower waits for.
enum Event<T> {
    Heard(Option<Result<T, StoreError>>),
    Read(Result<T, StoreError>),
    Time,
}

impl<T> Follower<T> {
    pub(super) fn new(
        poll_every: Duration,
        listen: impl Fn() -> Changes<T> + Send + 'static,
        read: impl Fn() -> Requested<T> + Send + 'static,
    ) -> Self {
        let now = Instant::now();
        Self {
            listen: Box::new(listen),
            read: Box::new(read),
            poll_every,
            changes: None,
            is_heard: false,
            reading: None,
            read_at: now,
            listen_at: now,
        }
    }

    /// Reads and listens anew, because what is known has proved old.
    pub(super) fn refresh(&mut self) {
        self.begin_again();
        self.reading = Some((self.read)());
    }

    /// The next state, or why there is none. Nothing is lost if the future is dropped.
    pub(super) async fn next(&mut self) -> Result<T, StoreError> {
        loop {
            let now = Instant::now();
            if self.reading.is_none() && now >= self.read_at {
                if self.is_heard {
                    self.begin_again();
                }
                self.reading = Some((self.read)());
            }
            if self.changes.is_none() && now >= self.listen_at {
                self.changes = Some((self.listen)());
            }
            let reads = self.reading.is_none().then_some(self.read_at);
            let listens = self.changes.is_none().then_some(self.listen_at);
            let wake = reads.into_iter().chain(listens).min();
            let (changes, reading) = (&mut self.changes, &mut self.reading);
            let event = tokio::select! {
                Some(read) = OptionFuture::from(reading.as_mut()) => Event::Read(read),
                Some(change) = OptionFuture::from(changes.as_mut().map(|changes| changes.next())) => Event::Heard(change),
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => Event::Time,
            };
            if let Some(found) = self.take(event) {
                return found;
            }
        }
    }

    fn take(&mut self, event: Event<T>) -> Option<Result<T, StoreError>> {
        let soon = Instant::now() + self.poll_every;
        match event {
            Event::Heard(Some(Ok(found))) => {
                if !self.is_heard {
                    self.read_at = Instant::now() + self.poll_every * TRUSTED_FOR;
                }
                self.is_heard = true;
                Some(Ok(found))
            }
            Event::Heard(failed) => {
                self.stop_listening(soon);
                failed
            }
            Event::Read(found) => {
                self.reading = None;
                if !self.is_heard {
                    self.read_at = soon;
                }
                if found.is_err() {
                    // Perhaps it waits on a dead connection.
                    self.stop_listening(soon);
                }
                Some(found)
            }
            Event::Time => None,
        }
    }

    fn begin_again(&mut self) {
        self.stop_listening(Instant::now());
    }

    fn stop_listening(&mut self, until: Instant) {
        self.changes = None;
        self.is_heard = false;
        self.listen_at = until;
        self.read_at = self.read_at.min(until);
    }
}

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, OptionFuture};
use futures_util::stream::BoxStream;
use quotegate_document::UnixNanos;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::store::Found;
use crate::{
    Action, Answer, BootTime, Clock, Holder, LeaseHandle, LeaseStore, Owner, Protocol, Request, StoreError, Timing,
};

/// Sleeps are cut into pieces of this length, because timers stand still while the machine sleeps.
pub(crate) const MAX_SLEEP: Duration = Duration::from_millis(500);

/// How a process takes part.
#[derive(Clone)]
pub struct LeaseSettings {
    /// The process.
    pub holder: Holder,
    /// How long others wait for a silent owner.
    pub ttl: Duration,
    /// The clock.
    pub clock: Clock,
}

/// A task that takes the lease when it is free, and renews it.
pub struct Lease {
    handle: LeaseHandle,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Lease {
    /// Starts the task.
    pub fn start(settings: LeaseSettings, store: Arc<dyn LeaseStore>) -> Self {
        let handle = LeaseHandle::new(settings.clock.clone());
        handle.update(|snapshot| snapshot.problem = Some("the lease has not been read yet".to_owned()));
        let timing = Timing::new(settings.ttl);
        let driver = Driver {
            protocol: Protocol::new(settings.holder, timing),
            timing,
            clock: settings.clock,
            store,
            handle: handle.clone(),
            asked: None,
            changes: None,
            listen_at: BootTime::default(),
            held: None,
            is_leaving: false,
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn({
            let stop = stop.clone();
            async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = driver.run() => {}
                }
            }
        });
        Self { handle, stop, task }
    }

    /// For those who ask.
    pub fn handle(&self) -> LeaseHandle {
        self.handle.clone()
    }

    /// Ends the task. An owner that has not released the lease keeps it until it expires.
    pub async fn end(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}

struct Driver {
    protocol: Protocol,
    timing: Timing,
    clock: Clock,
    store: Arc<dyn LeaseStore>,
    handle: LeaseHandle,
    asked: Option<(u64, BoxFuture<'static, Answer>)>,
    changes: Option<BoxStream<'static, Found>>,
    /// When to listen again after that has failed.
    listen_at: BootTime,
    /// The epoch that this process owned when it was last published.
    held: Option<u64>,
    is_leaving: bool,
}

/// What the driver waits for.
enum Event {
    Answered(u64, Answer),
    Changed(Option<Found>),
    Leave,
    Time,
}

impl Driver {
    async fn run(mut self) {
        let handle = self.handle.clone();
        loop {
            let now = (self.clock)();
            if let Some(action) = self.protocol.next(now, unix_now()) {
                self.asked = Some((action.id, send(self.store.clone(), action)));
            }
            // Before the request is sent, which happens below: an owner that releases the lease has stopped by then.
            self.publish();
            if self.protocol.has_left() {
                handle.shared.left.send_replace(true);
                return;
            }
            self.listen(now);
            let wake = self.protocol.wake_at().map_or(MAX_SLEEP, |at| at.since(now).min(MAX_SLEEP));
            let (asked, changes) = (&mut self.asked, &mut self.changes);
            let event = tokio::select! {
                Some((id, answer)) = OptionFuture::from(asked.as_mut().map(async |(id, answer)| (*id, answer.await))) => {
                    Event::Answered(id, answer)
                }
                Some(change) = OptionFuture::from(changes.as_mut().map(|changes| changes.next())) => {
                    Event::Changed(change)
                }
                () = handle.shared.leave.notified() => Event::Leave,
                () = sleep(wake) => Event::Time,
            };
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        let now = (self.clock)();
        match event {
            Event::Answered(id, answer) => {
                self.asked = None;
                match &answer {
                    Answer::Read(Err(error)) | Answer::Written(Err(error)) => self.note(Some(error)),
                    Answer::Read(Ok(_)) | Answer::Written(Ok(_)) => self.note(None),
                }
                if matches!(answer, Answer::Written(Err(StoreError::Conflict))) {
                    // Perhaps it has stopped to deliver.
                    self.stop_listening(now);
                }
                self.protocol.answered(id, answer, now);
            }
            Event::Changed(Some(Ok(document))) => {
                self.protocol.set_listening(true);
                self.protocol.changed(document, now);
            }
            Event::Changed(Some(Err(error))) => {
                self.note(Some(&error));
                self.stop_listening(now + self.timing.renew_every());
            }
            Event::Changed(None) => self.stop_listening(now + self.timing.renew_every()),
            Event::Leave => {
                self.is_leaving = true;
                self.protocol.leave();
            }
            Event::Time => {}
        }
    }

    /// Standbys listen.
    fn listen(&mut self, now: BootTime) {
        if self.protocol.held_until().is_some() || self.is_leaving {
            self.stop_listening(now);
        } else if self.changes.is_none() && now >= self.listen_at {
            self.changes = Some(self.store.changes());
        }
    }

    fn stop_listening(&mut self, until: BootTime) {
        self.changes = None;
        self.listen_at = until;
        self.protocol.set_listening(false);
    }

    fn publish(&mut self) {
        let held = self.protocol.held_until();
        self.handle.set_held_until(held.map_or(0, |(until, _)| until.nanos()));
        let record = self.protocol.seen().flatten().map(|document| &document.record);
        let owner = record.and_then(|record| {
            Some(Owner {
                instance: record.owner.clone()?,
                address: record.address.clone(),
                version: record.version.clone(),
                since: record.since,
            })
        });
        let epoch = record.map_or(0, |record| record.epoch);
        let (before, now) = (self.held, held.map(|(_, epoch)| epoch));
        self.handle.update(|snapshot| {
            (snapshot.epoch, snapshot.owner) = (epoch, owner.clone());
            snapshot.taken += u64::from(now.is_some() && now != before);
            snapshot.lost += u64::from(before.is_some() && now != before && !self.is_leaving);
        });
        if before == now {
            return;
        }
        self.held = now;
        if let Some(epoch) = before.filter(|_| self.is_leaving) {
            info!(event_type = "lease_released", epoch, "this host releases the lease");
        } else if let Some(epoch) = before {
            warn!(event_type = "lease_lost", epoch, "this host has lost the lease, and is a standby now");
        }
        if let Some(epoch) = now {
            info!(event_type = "lease_taken", epoch, "this host owns the feed now");
        }
        self.handle.shared.held.send_replace(now.is_some());
    }

    /// Logs when requests begin to fail, and when they work again. A conflict is not a failure.
    fn note(&self, error: Option<&StoreError>) {
        let problem = error.filter(|error| **error != StoreError::Conflict).map(ToString::to_string);
        let mut before = None;
        self.handle.update(|snapshot| before = std::mem::replace(&mut snapshot.problem, problem.clone()));
        match (before, problem) {
            (None, Some(problem)) => warn!(event_type = "lease_problem", "{problem}"),
            (Some(_), None) => info!(event_type = "lease_read", "requests for the lease are answered"),
            _ => {}
        }
    }
}

pub(crate) fn send(store: Arc<dyn LeaseStore>, action: Action) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        let Action { limit, request, .. } = action;
        match request {
            Request::Read => Answer::Read(store.read(limit).await),
            Request::Write(record, expected) => Answer::Written(store.write(&record, expected, limit).await),
        }
    })
}

/// For people only.
pub(crate) fn unix_now() -> UnixNanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixNanos::try_from(since.as_nanos()).unwrap_or(UnixNanos::MAX)
}

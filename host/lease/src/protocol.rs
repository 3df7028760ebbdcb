//! The protocol of one lease, as a state machine without IO.
//!
//! Its caller asks [`Protocol::next`] what to send, reports each answer, and asks again at [`Protocol::wake_at`]. There is
//! at most one request at a time, so the order of answers is never in question. An answer that does not arrive leaves
//! unknown what is stored, and the next request is a read.

use std::time::Duration;

use quotegate_document::UnixNanos;

use crate::store::Found;
use crate::{BootTime, Document, Expected, Holder, Record, StoreError, Version, WorkerState};

/// All times follow from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    ttl: Duration,
}

impl Timing {
    /// No owner asks others to wait longer. A document that says more is wrong.
    pub const MAX_TTL: Duration = Duration::from_secs(60);

    /// Others take over after `ttl` without a change.
    pub fn new(ttl: Duration) -> Self {
        Self { ttl: ttl.min(Self::MAX_TTL) }
    }

    pub(crate) fn ttl(self) -> Duration {
        self.ttl
    }

    /// How often the owner renews.
    pub fn renew_every(self) -> Duration {
        self.ttl / 3
    }

    /// How long the owner may act after it sent its last successful write.
    pub fn held_for(self) -> Duration {
        self.ttl / 3 * 2
    }

    /// How long an owner waits for an answer: a renewal that is lost can be read and sent again in time.
    fn owner_waits(self) -> Duration {
        self.ttl / 5
    }

    /// How long to wait after a failed request.
    pub(crate) fn retry_after(self) -> Duration {
        self.ttl / 15
    }
}

/// A request to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Its number, for the answer.
    pub id: u64,
    /// How long to wait for the answer.
    pub limit: Duration,
    /// The request.
    pub request: Request,
}

/// What to ask of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Read the document.
    Read,
    /// Write the document.
    Write(Record, Expected),
}

/// The answer to an [`Action`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To a read.
    Read(Found),
    /// To a write.
    Written(Result<Version, StoreError>),
}

/// One process' view of the lease.
#[derive(Debug)]
pub struct Protocol {
    me: Holder,
    worker: Option<WorkerState>,
    timing: Timing,
    tenure: Option<Tenure>,
    /// `None` until the first answer.
    seen: Option<Seen>,
    /// Also of a document that was deleted.
    highest_epoch: u64,
    in_flight: Option<InFlight>,
    last_id: u64,
    must_read: bool,
    read_at: BootTime,
    /// No request before this time.
    retry_at: BootTime,
    is_listening: bool,
    is_leaving: bool,
}

/// This process is the owner.
#[derive(Debug)]
struct Tenure {
    epoch: u64,
    renewals: u64,
    since: UnixNanos,
    renew_at: BootTime,
    until: BootTime,
}

#[derive(Debug)]
struct Seen {
    document: Option<Document>,
    /// When this version was first seen.
    at: BootTime,
}

#[derive(Debug)]
struct InFlight {
    id: u64,
    sent: BootTime,
    written: Option<Record>,
}

impl Protocol {
    /// A standby that has seen nothing yet.
    pub fn new(me: Holder, timing: Timing) -> Self {
        Self {
            me,
            worker: None,
            timing,
            tenure: None,
            seen: None,
            highest_epoch: 0,
            in_flight: None,
            last_id: 0,
            must_read: true,
            read_at: BootTime::default(),
            retry_at: BootTime::default(),
            is_listening: false,
            is_leaving: false,
        }
    }

    /// For a document with a new random name, which nobody else writes first. `after` is the protocol of another document,
    /// whose late answers must not be taken for answers to this one.
    pub(crate) fn of_new_document(me: Holder, timing: Timing, after: Option<&Self>) -> Self {
        // As if it had been seen long ago that there is no document.
        let seen = Some(Seen { document: None, at: BootTime::default() });
        let last_id = after.map_or(0, |after| after.last_id);
        Self { seen, must_read: false, last_id, ..Self::new(me, timing) }
    }

    /// What the document says besides, from the next write on.
    pub(crate) fn set_worker(&mut self, worker: WorkerState) {
        self.worker = Some(worker);
    }

    /// An owner renews the lease as soon as it can, so that others see what it says besides.
    pub(crate) fn renew_now(&mut self) {
        if let Some(tenure) = &mut self.tenure {
            tenure.renew_at = BootTime::default();
        }
    }

    /// Until when this process is the owner, and in which epoch. Later it is not, whether or not anyone tells it.
    pub fn held_until(&self) -> Option<(BootTime, u64)> {
        self.tenure.as_ref().map(|tenure| (tenure.until, tenure.epoch))
    }

    /// The newest document seen. The outer `None`: nothing is known yet.
    pub fn seen(&self) -> Option<Option<&Document>> {
        self.seen.as_ref().map(|seen| seen.document.as_ref())
    }

    /// From now on the process does not want the lease. An owner releases it with its next request, and has stopped acting
    /// before that.
    pub fn leave(&mut self) {
        self.is_leaving = true;
    }

    /// After [`Self::leave`]: nothing is left to release.
    pub fn has_left(&self) -> bool {
        self.is_leaving && self.tenure.is_none() && self.in_flight.is_none() && !self.must_read && !self.is_named()
    }

    /// Whether changes arrive by themselves. If they do not, a standby reads the document as often as it is renewed.
    pub fn set_listening(&mut self, is_listening: bool) {
        self.is_listening = is_listening;
    }

    /// The next request, if there is one to send now. `wall` is only for people.
    pub fn next(&mut self, now: BootTime, wall: UnixNanos) -> Option<Action> {
        self.expire(now);
        if self.in_flight.is_some() || now < self.retry_at {
            return None;
        }
        let request = self.request(now, wall)?;
        self.last_id += 1;
        let written = match &request {
            Request::Read => None,
            Request::Write(record, _) => Some(record.clone()),
        };
        self.in_flight = Some(InFlight { id: self.last_id, sent: now, written });
        // The answer to a standby comes in time as long as it could still act upon it.
        let limit = if self.tenure.is_some() { self.timing.owner_waits() } else { self.timing.held_for() };
        Some(Action { id: self.last_id, limit, request })
    }

    /// When to call [`Self::next`] again, if nothing happens before.
    pub fn wake_at(&self) -> Option<BootTime> {
        let expires = self.tenure.as_ref().map(|tenure| tenure.until);
        let acts = if self.in_flight.is_some() { None } else { self.acts_at().map(|at| at.max(self.retry_at)) };
        expires.into_iter().chain(acts).min()
    }

    /// A standby has seen the document by listening. Owners do not listen: what they hear may be from before they took over.
    pub fn changed(&mut self, document: Option<Document>, now: BootTime) {
        if self.tenure.is_none() {
            self.observe(document, now);
        }
    }

    /// The answer to the request `id`. Only the last request's answer counts.
    pub fn answered(&mut self, id: u64, answer: Answer, now: BootTime) {
        self.expire(now);
        let Some(request) = self.in_flight.take_if(|request| request.id == id) else { return };
        match answer {
            Answer::Read(Ok(document)) => self.read(document, now),
            Answer::Written(Ok(version)) => self.written(&request, version, now),
            Answer::Written(Err(StoreError::Conflict)) => self.must_read = true,
            Answer::Read(Err(_)) | Answer::Written(Err(_)) => {
                self.must_read = true;
                self.retry_at = now + self.timing.retry_after();
            }
        }
    }

    fn request(&mut self, now: BootTime, wall: UnixNanos) -> Option<Request> {
        if self.acts_at().is_none_or(|at| now < at) {
            return None;
        }
        if self.must_read {
            return Some(Request::Read);
        }
        let seen = self.seen.as_ref()?;
        if self.is_leaving {
            // Not the owner from here on, whatever becomes of the request.
            self.tenure = None;
            let Document { record, version } = seen.document.as_ref()?;
            let record =
                Record { owner: None, renewals: record.renewals + 1, worker: self.worker.clone(), ..record.clone() };
            return Some(Request::Write(record, Expected::Version(*version)));
        }
        if let Some(tenure) = &self.tenure {
            return Some(self.write(tenure.epoch, tenure.renewals + 1, tenure.since));
        }
        if now < self.free_at()? {
            return Some(Request::Read);
        }
        Some(self.write(self.highest_epoch.saturating_add(1), 0, wall))
    }

    /// When to send the next request, unless one is in flight.
    fn acts_at(&self) -> Option<BootTime> {
        if self.must_read || self.is_leaving {
            return (self.must_read || self.is_named()).then(BootTime::default);
        }
        if let Some(tenure) = &self.tenure {
            return Some(tenure.renew_at);
        }
        let free_at = self.free_at()?;
        let poll_at = (!self.is_listening).then(|| self.read_at + self.timing.renew_every());
        Some(poll_at.map_or(free_at, |poll_at| free_at.min(poll_at)))
    }

    /// When a standby may take the lease, if nothing changes.
    fn free_at(&self) -> Option<BootTime> {
        let seen = self.seen.as_ref()?;
        Some(match &seen.document {
            // Somebody may have deleted it under an owner, who notices with its next renewal.
            None => seen.at + self.timing.ttl,
            Some(document) if document.record.owner.is_none() => seen.at,
            // This process is not the owner now, and no one else is.
            Some(document) if document.record.session == self.me.session => seen.at,
            Some(document) => seen.at + document.record.ttl.min(Timing::MAX_TTL),
        })
    }

    /// The document names this process as the owner.
    fn is_named(&self) -> bool {
        let document = self.seen.as_ref().and_then(|seen| seen.document.as_ref());
        document.is_some_and(|document| document.record.owner.is_some() && document.record.session == self.me.session)
    }

    fn write(&self, epoch: u64, renewals: u64, since: UnixNanos) -> Request {
        let record = Record {
            owner: Some(self.me.instance.clone()),
            session: self.me.session.clone(),
            epoch,
            renewals,
            ttl: self.timing.ttl,
            address: self.me.address.clone(),
            version: self.me.version.clone(),
            since,
            worker: self.worker.clone(),
        };
        let document = self.seen.as_ref().and_then(|seen| seen.document.as_ref());
        Request::Write(record, document.map_or(Expected::Absent, |document| Expected::Version(document.version)))
    }

    fn read(&mut self, document: Option<Document>, now: BootTime) {
        self.must_read = false;
        self.read_at = now;
        if let Some(tenure) = &mut self.tenure {
            let is_ours = document.as_ref().is_some_and(|document| {
                document.record.session == self.me.session
                    && document.record.epoch == tenure.epoch
                    && document.record.owner.is_some()
            });
            if is_ours {
                // Whether or not the unanswered renewal was applied: the next one names the right version.
                tenure.renew_at = now;
            } else {
                self.tenure = None;
            }
        }
        self.observe(document, now);
    }

    fn written(&mut self, request: &InFlight, version: Version, now: BootTime) {
        let Some(record) = &request.written else { return };
        self.observe(Some(Document { record: record.clone(), version }), now);
        let is_renewal = record.renewals > 0;
        let until = request.sent + self.timing.held_for();
        // A renewal whose tenure has expired in the meantime does not revive it: its end may have been acted upon.
        let counts = record.owner.is_some() && now < until && (!is_renewal || self.tenure.is_some());
        self.tenure = counts.then_some(Tenure {
            epoch: record.epoch,
            renewals: record.renewals,
            since: record.since,
            renew_at: request.sent + self.timing.renew_every(),
            until,
        });
    }

    fn observe(&mut self, document: Option<Document>, now: BootTime) {
        let version = |document: &Option<Document>| document.as_ref().map(|document| document.version);
        if let Some(document) = &document {
            self.highest_epoch = self.highest_epoch.max(document.record.epoch);
        }
        if self.seen.as_ref().is_none_or(|seen| version(&seen.document) != version(&document)) {
            self.seen = Some(Seen { document, at: now });
        }
    }

    fn expire(&mut self, now: BootTime) {
        self.tenure.take_if(|tenure| now >= tenure.until);
    }
}

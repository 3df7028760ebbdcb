use super::*;
use crate::RefusedCode;
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

mod interval;

const ZERO: Duration = Duration::ZERO;

/// Documents of the model.
const DOCUMENTS: u64 = 3;

/// What is in a document: the time of its event, and whose it is. A number of this process tells its writes apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Content {
    time: i64,
    own: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Stored {
    version: i64,
    content: Content,
}

#[derive(Debug, Clone, Copy)]
struct Request {
    id: u64,
    precondition: Precondition,
    content: Content,
}

/// A database with preconditions. It asserts that no fenced write moves a document backwards.
#[derive(Default)]
struct Database {
    documents: HashMap<u64, Stored>,
    version: i64,
    /// The latest time that was ever in a document.
    newest: i64,
}

impl Database {
    fn holds(&self, id: u64, precondition: Precondition) -> bool {
        let version = self.documents.get(&id).map(|stored| Version(stored.version));
        match precondition {
            Precondition::None => true,
            Precondition::Absent => version.is_none(),
            Precondition::Version(expected) => version == Some(expected),
        }
    }

    fn apply(&mut self, Request { id, precondition, content }: Request) -> WriteResult {
        if !self.holds(id, precondition) {
            return WriteResult::Conflict;
        }
        if let Some(stored) = self.documents.get(&id) {
            assert!(stored.content.time <= content.time, "{id} goes back from {stored:?} to {content:?}");
            if stored.content == content {
                // Firestore leaves the version as it is if nothing changes.
                return WriteResult::Written(Some(Version(stored.version)));
            }
        }
        WriteResult::Written(Some(Version(self.put(id, content))))
    }

    fn put(&mut self, id: u64, content: Content) -> i64 {
        self.version += 1;
        self.newest = self.newest.max(content.time);
        self.documents.insert(id, Stored { version: self.version, content });
        self.version
    }

    fn read(&self, id: u64) -> StoredDocument {
        let stored = self.documents.get(&id);
        StoredDocument {
            version: stored.map(|stored| Version(stored.version)),
            order: stored.map(|stored| stored.content.time),
            age: None,
        }
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Answered,
    /// It is applied, but its answer is lost.
    AnswerLost,
    /// It never arrives.
    Lost,
    /// It gets no answer, and is applied later.
    Late,
    /// It is answered, and applied once more later.
    Twice,
    /// It is refused, and may be tried again.
    Aborted,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A quote arrives; `true`: with the time of the one before.
    Quote(u64, bool),
    /// The next request for a document goes out.
    Send(u64, Fate),
    /// A late request is applied.
    ApplyLate(usize),
    /// Another host writes: something newer, of the same time, or older.
    OtherHost(u64, i64),
    /// Someone else touches a document without changing its time.
    Touch(u64),
    Delete(u64),
    /// Someone puts back what was there long ago.
    Restore(u64),
    /// The fence has no room for a document.
    Forget(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = || 0..DOCUMENTS;
    let fate = prop_oneof![
        6 => Just(Fate::Answered),
        2 => Just(Fate::AnswerLost),
        2 => Just(Fate::Lost),
        3 => Just(Fate::Late),
        1 => Just(Fate::Twice),
        1 => Just(Fate::Aborted),
    ];
    let step = prop_oneof![
        8 => (id(), prop::bool::weighted(0.3)).prop_map(|(id, same)| Step::Quote(id, same)),
        16 => (id(), fate).prop_map(|(id, fate)| Step::Send(id, fate)),
        4 => any::<usize>().prop_map(Step::ApplyLate),
        2 => (id(), -3_i64..3).prop_map(|(id, ahead)| Step::OtherHost(id, ahead)),
        1 => id().prop_map(Step::Touch),
        1 => id().prop_map(Step::Delete),
        1 => id().prop_map(Step::Restore),
        1 => id().prop_map(Step::Forget),
    ];
    prop::collection::vec(step, 1..200)
}

/// A host that writes through the fence as the batcher does: one request per document, the newest quote after a retry.
struct Host {
    fence: Fence,
    database: Database,
    late: Vec<Request>,
    /// The newest quote of each document, if it is not settled.
    dirty: HashMap<u64, Content>,
    /// Writes on their way, and their conflicts.
    sending: HashMap<u64, (Content, u32)>,
    newest: HashMap<u64, Content>,
    /// The time of the last event anywhere.
    time: i64,
    quotes: u32,
}

impl Host {
    fn new() -> Self {
        Self {
            fence: Fence::new(None),
            database: Database::default(),
            late: Vec::new(),
            dirty: HashMap::new(),
            sending: HashMap::new(),
            newest: HashMap::new(),
            time: 100,
            quotes: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Quote(id, same) => self.quote(id, same),
            Step::Send(id, fate) => self.send(id, fate),
            Step::ApplyLate(which) => {
                if !self.late.is_empty() {
                    let request = self.late.swap_remove(which % self.late.len());
                    self.database.apply(request);
                }
            }
            Step::OtherHost(id, ahead) => {
                let time = self.time + ahead;
                // The other host does not go backwards either.
                if self.database.documents.get(&id).is_none_or(|stored| stored.content.time <= time) {
                    self.database.put(id, Content { time, own: None });
                }
            }
            Step::Touch(id) => {
                if let Some(stored) = self.database.documents.get(&id).copied() {
                    self.database.put(id, stored.content);
                }
            }
            Step::Delete(id) => {
                self.database.documents.remove(&id);
            }
            Step::Restore(id) => {
                self.database.put(id, Content { time: 1, own: None });
            }
            Step::Forget(id) => {
                // Not while it is read because of a conflict: there is always room for those.
                if !self.sending.contains_key(&id) {
                    self.fence.documents.forget(DocumentId::from_number(id));
                }
            }
        }
    }

    fn quote(&mut self, id: u64, same: bool) {
        self.time += i64::from(!same);
        self.quotes += 1;
        let time = if same { self.newest.get(&id).map_or(self.time, |newest| newest.time) } else { self.time };
        let content = Content { time, own: Some(self.quotes) };
        self.newest.insert(id, content);
        self.dirty.insert(id, content);
    }

    fn send(&mut self, id: u64, fate: Fate) {
        if !self.sending.contains_key(&id) {
            let Some(content) = self.dirty.remove(&id) else { return };
            self.sending.insert(id, (content, 0));
        }
        let (content, conflicts) = self.sending[&id];
        let (document, order) = (DocumentId::from_number(id), Order::EventTime(content.time));
        let precondition = match self.fence.admit(document, order) {
            Admission::Write(precondition) => precondition,
            Admission::Older => return self.settle(id, &Outcome::Older),
            Admission::Read => {
                if let Fate::Lost | Fate::AnswerLost | Fate::Late = fate {
                    return self.settle(id, &Outcome::retry(RetryReason::DeadlineExceeded));
                }
                match self.fence.read(document, order, self.database.read(id), ZERO).0 {
                    // Something may happen between the read and the write.
                    Verdict::Write(_) => return,
                    Verdict::Older => return self.settle(id, &Outcome::Older),
                    Verdict::NotOwner => panic!("there is no lease"),
                    Verdict::TooEarly(_) => panic!("there is no interval"),
                }
            }
        };
        let request = Request { id, precondition, content };
        let timed_out = WriteResult::Failed(Outcome::retry(RetryReason::DeadlineExceeded));
        let result = match fate {
            Fate::Answered => self.database.apply(request),
            Fate::AnswerLost => {
                self.database.apply(request);
                timed_out
            }
            Fate::Lost => timed_out,
            Fate::Late => {
                self.late.push(request);
                timed_out
            }
            Fate::Twice => {
                self.late.push(request);
                self.database.apply(request)
            }
            Fate::Aborted => WriteResult::Failed(Outcome::retry(RetryReason::Aborted)),
        };
        match self.fence.answered(document, order, result, conflicts) {
            Next::Answer(outcome) => self.settle(id, &outcome),
            Next::Read => {
                self.sending.insert(id, (content, conflicts + 1));
            }
        }
    }

    fn settle(&mut self, id: u64, outcome: &Outcome) {
        self.sending.remove(&id);
        if let Outcome::Retry { .. } = outcome {
            self.dirty.insert(id, self.newest[&id]);
        }
    }

    /// One last quote for each document; nobody else writes any more, but late requests may still be applied.
    fn drain(&mut self, fates: &[Fate]) {
        self.time = self.time.max(self.database.newest);
        for id in 0..DOCUMENTS {
            self.quote(id, false);
        }
        let mut fates = fates.iter().copied();
        for round in 0.. {
            assert!(round < 200, "it never ends");
            if self.dirty.is_empty() && self.sending.is_empty() {
                break;
            }
            for id in 0..DOCUMENTS {
                if self.dirty.contains_key(&id) || self.sending.contains_key(&id) {
                    self.send(id, fates.next().unwrap_or(Fate::Answered));
                }
            }
            if round % 3 == 1 {
                self.step(Step::ApplyLate(round));
            }
        }
        while !self.late.is_empty() {
            self.step(Step::ApplyLate(0));
        }
        for (id, newest) in &self.newest {
            assert_eq!(self.database.documents[id].content, *newest, "the last word of {id}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Invariants 2 and 3 with a database that answers late, twice, or not, and others who write too. The database
    /// asserts that nothing goes backwards.
    #[test]
    fn nothing_goes_backwards_and_the_last_word_is_written(
        steps in steps(),
        fates in prop::collection::vec(prop::sample::select(vec![Fate::Answered, Fate::AnswerLost, Fate::Late, Fate::Twice]), 0..20),
    ) {
        let mut host = Host::new();
        for step in steps {
            host.step(step);
        }
        host.drain(&fates);
    }

    /// Without others, also quotes of one time reach the database in their order.
    #[test]
    fn alone_the_last_of_several_quotes_of_one_time_is_written(
        steps in prop::collection::vec((0..DOCUMENTS, prop::sample::select(vec![Fate::Answered, Fate::AnswerLost, Fate::Late, Fate::Lost])), 1..60),
    ) {
        let mut host = Host::new();
        for (id, fate) in steps {
            host.quote(id, host.newest.contains_key(&id));
            host.send(id, fate);
            host.send(id, fate);
        }
        while let Some(id) = host.dirty.keys().chain(host.sending.keys()).next().copied() {
            host.send(id, Fate::Answered);
        }
        while !host.late.is_empty() {
            host.step(Step::ApplyLate(0));
        }
        for (id, newest) in &host.newest {
            prop_assert_eq!(host.database.documents[id].content, *newest);
        }
    }
}

fn id() -> DocumentId {
    DocumentId::from_number(1)
}

fn stored(version: i64, order: i64) -> StoredDocument {
    StoredDocument { version: Some(Version(version)), order: Some(order), age: Some(ZERO) }
}

const fn at(time: i64) -> Order {
    Order::EventTime(time)
}

fn version(version: i64) -> Precondition {
    Precondition::Version(Version(version))
}

#[test]
fn a_document_is_read_once_and_then_each_answer_brings_the_next_precondition() {
    let mut fence = Fence::new(None);
    assert_eq!(fence.admit(id(), at(5)), Admission::Read);
    assert_eq!(fence.read(id(), at(5), stored(1, 3), ZERO), (Verdict::Write(version(1)), None));
    assert_eq!(fence.admit(id(), at(5)), Admission::Write(version(1)));
    let written = WriteResult::Written(Some(Version(2)));
    assert_eq!(fence.answered(id(), at(5), written, 0), Next::Answer(Outcome::Written));
    assert_eq!(fence.admit(id(), at(5)), Admission::Write(version(2)), "a quote of the same time may follow");
    assert_eq!(fence.admit(id(), at(4)), Admission::Older);
    let absent = StoredDocument { version: None, order: None, age: None };
    assert_eq!(fence.read(DocumentId::from_number(2), at(1), absent, ZERO).0, Verdict::Write(Precondition::Absent));
}

#[test]
fn a_document_takes_56_bytes() {
    assert_eq!(size_of::<(DocumentId, Known)>(), 56);
}

#[test]
fn what_is_stored_stays_if_it_is_newer_or_of_the_same_time() {
    let mut fence = Fence::new(None);
    assert_eq!(fence.read(id(), at(5), stored(1, 6), ZERO).0, Verdict::Older);
    assert_eq!(fence.read(id(), at(5), stored(1, 5), ZERO).0, Verdict::Older);
    assert_eq!(fence.admit(id(), at(5)), Admission::Older, "without another read");
    assert_eq!(fence.admit(id(), at(6)), Admission::Write(version(1)));
}

/// A document whose order is 5, written by this process, after a conflict.
fn contested() -> Fence {
    let mut fence = Fence::new(None);
    fence.answered(id(), at(5), WriteResult::Written(Some(Version(1))), 0);
    assert_eq!(fence.answered(id(), at(6), WriteResult::Conflict, 0), Next::Read);
    assert_eq!(fence.admit(id(), at(6)), Admission::Read);
    fence
}

#[test]
fn a_conflict_tells_who_wrote() {
    let newer = contested().read(id(), at(6), stored(2, 7), ZERO);
    assert_eq!(newer, (Verdict::Older, Some(Writer::Newer)));
    let touched = contested().read(id(), at(6), stored(2, 5), ZERO);
    assert_eq!(touched, (Verdict::Write(version(2)), Some(Writer::Foreign)));
    let deleted = contested().read(id(), at(6), StoredDocument { version: None, order: None, age: None }, ZERO);
    assert_eq!(deleted, (Verdict::Write(Precondition::Absent), Some(Writer::Foreign)));
    let restored = contested().read(id(), at(6), stored(2, 1), ZERO);
    assert_eq!(restored, (Verdict::Write(version(2)), Some(Writer::Foreign)));
    let same = contested().read(id(), at(5), stored(2, 5), ZERO);
    assert_eq!(same.0, Verdict::Write(version(2)), "a touched document of our own time is still ours");
}

#[test]
fn a_late_request_is_recognized_and_overwritten_even_at_the_same_time() {
    let mut fence = Fence::new(None);
    fence.read(id(), at(5), stored(1, 3), ZERO);
    let timed_out = WriteResult::Failed(Outcome::retry(RetryReason::DeadlineExceeded));
    fence.answered(id(), at(5), timed_out, 0);
    assert_eq!(fence.admit(id(), at(5)), Admission::Write(version(1)), "not read again: only one can be applied");
    fence.answered(id(), at(5), WriteResult::Conflict, 0);
    assert_eq!(fence.read(id(), at(5), stored(2, 5), ZERO), (Verdict::Write(version(2)), Some(Writer::Late)));
}

#[test]
fn a_refused_write_leaves_the_precondition_as_it_was() {
    let mut fence = contested();
    fence.read(id(), at(6), stored(2, 5), ZERO);
    let refused = Outcome::Refused { code: RefusedCode::InvalidArgument, message: "no".into() };
    assert_eq!(fence.answered(id(), at(6), WriteResult::Failed(refused.clone()), 0), Next::Answer(refused));
    assert_eq!(fence.admit(id(), at(6)), Admission::Write(version(2)));
}

#[test]
fn after_some_conflicts_in_a_row_the_sender_waits() {
    let mut fence = contested();
    for conflicts in 1..MAX_CONFLICTS - 1 {
        assert_eq!(fence.answered(id(), at(6), WriteResult::Conflict, conflicts), Next::Read);
    }
    let outcome = Outcome::retry(RetryReason::Conflict);
    assert_eq!(fence.answered(id(), at(6), WriteResult::Conflict, MAX_CONFLICTS - 1), Next::Answer(outcome));
    assert_eq!(fence.admit(id(), at(6)), Admission::Read);
}

#[test]
fn ownership_is_asked_after_the_document_was_read() {
    let owns = Arc::new(AtomicBool::new(true));
    let asked = owns.clone();
    let mut fence = Fence::new(Some(Arc::new(move || asked.load(Relaxed))));
    assert_eq!(fence.read(id(), at(5), stored(1, 3), ZERO).0, Verdict::Write(version(1)));
    owns.store(false, Relaxed);
    let other = DocumentId::from_number(2);
    assert_eq!(fence.read(other, at(5), stored(1, 3), ZERO).0, Verdict::NotOwner);
    assert_eq!(fence.admit(other, at(5)), Admission::Read, "the next attempt asks again");
    fence.answered(id(), at(5), WriteResult::Conflict, 0);
    assert_eq!(fence.read(id(), at(5), stored(2, 3), ZERO).0, Verdict::NotOwner);
    assert_eq!(fence.admit(id(), at(5)), Admission::Read);
    assert_eq!(fence.read(id(), at(5), stored(1, 6), ZERO).0, Verdict::Older, "there is nothing to write");
}

#[test]
fn clocks_of_two_hosts_are_not_compared() {
    let clock = Order::OwnClock;
    for ownership in [None, Some(Arc::new(|| true) as Ownership)] {
        let leased = ownership.is_some();
        let mut fence = Fence::new(ownership);
        // The first document of a process replaces whatever an earlier one left, even from a clock that is ahead.
        assert_eq!(fence.read(id(), clock(5), stored(1, 1000), ZERO).0, Verdict::Write(version(1)));
        fence.answered(id(), clock(5), WriteResult::Written(Some(Version(2))), 0);
        // Our own clock may go back.
        assert_eq!(fence.admit(id(), clock(4)), Admission::Write(version(2)));
        fence.answered(id(), clock(4), WriteResult::Conflict, 0);
        let foreign = fence.read(id(), clock(4), stored(3, 5), ZERO);
        assert_eq!(foreign, (Verdict::Write(version(3)), Some(Writer::Foreign)));
        fence.answered(id(), clock(4), WriteResult::Conflict, 0);
        // Another host has written, with a clock behind ours: the owner of the lease writes, others leave it.
        let expected = if leased { Verdict::Write(version(4)) } else { Verdict::Older };
        assert_eq!(fence.read(id(), clock(6), stored(4, 2), ZERO), (expected, Some(Writer::Newer)));
        assert_eq!(fence.admit(id(), clock(7)), Admission::Write(version(4)), "the next one is tried");
    }
}

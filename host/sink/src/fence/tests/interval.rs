//! The interval of a tenant and symbol, across hosts and restarts.

use super::*;

const INTERVAL: u64 = 1000;

#[derive(Debug, Clone, Copy)]
enum Step {
    Wait(u64),
    Quote,
    /// The answer of the next write is lost.
    LoseAnswer,
    /// Another host is the owner from now on; `true`: one that has just started.
    Takeover(usize, bool),
    /// Someone else touches the document without changing its time.
    Touch,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0_u64..700).prop_map(Step::Wait),
        6 => Just(Step::Quote),
        1 => Just(Step::LoseAnswer),
        2 => (0_usize..3, any::<bool>()).prop_map(|(host, starts)| Step::Takeover(host, starts)),
        1 => Just(Step::Touch),
    ];
    prop::collection::vec(step, 1..200)
}

/// A host that keeps to the interval by itself.
struct Host {
    fence: Fence,
    /// From when on it may write.
    allowed: u64,
    unsent: Option<i64>,
}

/// In milliseconds.
struct Model {
    now: u64,
    database: Database,
    /// When the document was last changed, and when by a host.
    changed: u64,
    written: Option<u64>,
    hosts: [Host; 3],
    owner: usize,
    time: i64,
    lose_answer: bool,
}

impl Host {
    fn start() -> Self {
        Self { fence: Fence::new(None), allowed: 0, unsent: None }
    }
}

impl Model {
    fn step(&mut self, step: Step) {
        match step {
            Step::Wait(time) => {
                // Nothing happens between these moments.
                for at in [self.hosts[self.owner].allowed, self.now + time] {
                    if (self.now..=self.now + time).contains(&at) {
                        self.now = at;
                        self.write();
                    }
                }
            }
            Step::Quote => {
                self.time += 1;
                self.hosts[self.owner].unsent = Some(self.time);
            }
            Step::LoseAnswer => self.lose_answer = true,
            Step::Takeover(host, starts) => {
                self.owner = host;
                if starts {
                    self.hosts[host] = Host::start();
                }
            }
            Step::Touch => {
                if let Some(stored) = self.database.documents.get(&1).copied() {
                    self.database.put(1, stored.content);
                    self.changed = self.now;
                }
            }
        }
        self.write();
    }

    fn write(&mut self) {
        let host = &mut self.hosts[self.owner];
        let Some(time) = host.unsent.filter(|_| host.allowed <= self.now) else { return };
        let before = host.allowed;
        host.allowed = self.now + INTERVAL;
        for conflicts in 0.. {
            let precondition = match host.fence.admit(id(), at(time)) {
                Admission::Write(precondition) => precondition,
                Admission::Older => return host.unsent = None,
                Admission::Read => {
                    let age = Some(Duration::from_millis(self.now - self.changed));
                    let stored = StoredDocument { age, ..self.database.read(1) };
                    match host.fence.read(id(), at(time), stored, Duration::from_millis(INTERVAL)).0 {
                        Verdict::Write(precondition) => precondition,
                        Verdict::Older => return host.unsent = None,
                        Verdict::NotOwner => panic!("there is no lease"),
                        Verdict::TooEarly(wait) => {
                            host.allowed = before.max(self.now + u64::try_from(wait.as_millis()).unwrap());
                            return;
                        }
                    }
                }
            };
            let content = Content { time, own: Some(self.owner as u32) };
            let version = self.database.version;
            let mut result = self.database.apply(super::Request { id: 1, precondition, content });
            // The same once more changes nothing, not even the version.
            if self.database.version > version {
                let since = self.written.map(|written| self.now - written);
                assert!(since.is_none_or(|since| since >= INTERVAL), "{since:?} ms after the last write");
                (self.written, self.changed) = (Some(self.now), self.now);
            }
            if matches!(result, WriteResult::Written(_)) && std::mem::take(&mut self.lose_answer) {
                result = WriteResult::Failed(Outcome::retry(RetryReason::DeadlineExceeded));
            }
            match host.fence.answered(id(), at(time), result, conflicts) {
                Next::Answer(Outcome::Written) => return host.unsent = None,
                Next::Answer(_) => return,
                Next::Read => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Invariants 1 and 2.
    #[test]
    fn whoever_writes_two_writes_are_an_interval_apart_and_the_last_word_is_written(steps in steps()) {
        let mut model = Model {
            now: 0,
            database: Database::default(),
            changed: 0,
            written: None,
            hosts: [Host::start(), Host::start(), Host::start()],
            owner: 0,
            time: 0,
            lose_answer: false,
        };
        for step in steps {
            model.step(step);
        }
        model.step(Step::Quote);
        for _ in 0..10 {
            model.step(Step::Wait(INTERVAL / 2));
        }
        prop_assert_eq!(model.database.documents[&1].content.time, model.time);
    }
}

#[test]
fn a_document_that_others_touch_all_the_time_is_written_all_the_same() {
    let mut fence = Fence::new(None);
    let interval = Duration::from_millis(INTERVAL);
    assert_eq!(fence.read(id(), at(5), stored(1, 3), interval).0, Verdict::TooEarly(interval));
    // Touched while this host waited, and again.
    assert_eq!(fence.admit(id(), at(5)), Admission::Write(version(1)));
    fence.answered(id(), at(5), WriteResult::Conflict, 0);
    assert_eq!(fence.read(id(), at(5), stored(2, 3), interval), (Verdict::Write(version(2)), Some(Writer::Foreign)));
}

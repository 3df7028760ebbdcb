//! Invariant 8, for the protocol alone: requests and answers that are lost, late, repeated or out of order, processes that
//! stop for any time at any step or crash, and clocks that run at different speeds.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use quotegate_lease::{
    Action, Answer, BootTime, Document, Expected, Holder, Protocol, Request, StoreError, Timing, Version,
};

const TTL: Duration = Duration::from_secs(3);
const HOSTS: usize = 4;

/// A step of an adversary that decides what happens when. Its numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    /// Time passes, and all hosts stand still.
    Pass(u64),
    /// A host looks at the clock and sends what it wants to send.
    Poll(usize),
    /// A request reaches the database. It may arrive again later.
    Arrive { request: usize, again: bool },
    /// An answer reaches its host.
    Answer(usize),
    /// A host gives up on its request, which may still arrive.
    GiveUp(usize),
    /// A host hears of a version by listening: the newest, or an older one that was delayed.
    Hear { host: usize, age: usize },
    /// A new process takes the place of a host's. What the old one sent may still arrive.
    Crash(usize),
    /// A host wants to stop.
    Leave(usize),
    /// Everything works for a while.
    Calm(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u64..2500).prop_map(Step::Pass),
        12 => (0..HOSTS).prop_map(Step::Poll),
        10 => (any::<usize>(), prop::bool::weighted(0.2)).prop_map(|(request, again)| Step::Arrive { request, again }),
        9 => any::<usize>().prop_map(Step::Answer),
        3 => (0..HOSTS).prop_map(Step::GiveUp),
        6 => (0..HOSTS, 0_usize..4).prop_map(|(host, age)| Step::Hear { host, age }),
        1 => (0..HOSTS).prop_map(Step::Crash),
        1 => (0..HOSTS).prop_map(Step::Leave),
        2 => (100_u64..5000).prop_map(Step::Calm),
    ]
}

struct Host {
    protocol: Protocol,
    /// Distinguishes the processes that ran here.
    process: usize,
    /// How fast its clock runs.
    speed: f64,
    asked: Option<Action>,
}

struct World {
    now: Duration,
    hosts: Vec<Host>,
    processes: usize,
    /// Every version that was ever stored, oldest first.
    history: Vec<Document>,
    /// On their way to the database.
    requests: Vec<(usize, Action)>,
    /// On their way back, each with the process that asked.
    answers: Vec<(usize, u64, Answer)>,
    /// The process that owned each epoch.
    owners: BTreeMap<u64, usize>,
}

impl World {
    fn new(speeds: &[f64]) -> Self {
        let mut world = Self {
            now: Duration::ZERO,
            hosts: Vec::new(),
            processes: 0,
            history: Vec::new(),
            requests: Vec::new(),
            answers: Vec::new(),
            owners: BTreeMap::new(),
        };
        for speed in speeds {
            let host = world.process(*speed);
            world.hosts.push(host);
        }
        world
    }

    fn process(&mut self, speed: f64) -> Host {
        self.processes += 1;
        let holder = Holder {
            // All have the same name, as containers of one image may.
            instance: "host".into(),
            session: self.processes.to_string(),
            address: None,
            version: "1".into(),
        };
        Host { protocol: Protocol::new(holder, Timing::new(TTL)), process: self.processes, speed, asked: None }
    }

    /// A host's own clock: machines started at different times.
    fn clock(&self, host: usize) -> BootTime {
        BootTime::new(self.now.mul_f64(self.hosts[host].speed) + Duration::from_secs(1000 * host as u64))
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Pass(millis) => self.now += Duration::from_millis(*millis),
            Step::Poll(host) => self.poll(*host),
            Step::Arrive { request, again } if !self.requests.is_empty() => {
                let at = request % self.requests.len();
                let (process, action) = self.requests[at].clone();
                if !again {
                    self.requests.remove(at);
                }
                let answer = self.apply(&action.request);
                self.answers.push((process, action.id, answer));
            }
            Step::Answer(answer) if !self.answers.is_empty() => {
                let (process, id, answer) = self.answers.remove(answer % self.answers.len());
                if let Some(host) = self.hosts.iter().position(|host| host.process == process) {
                    self.answer(host, id, answer);
                }
            }
            Step::GiveUp(host) => {
                if let Some(action) = self.hosts[*host].asked.clone() {
                    let error = StoreError::Unanswered("the test".into());
                    let answer = match action.request {
                        Request::Read => Answer::Read(Err(error)),
                        Request::Write(..) => Answer::Written(Err(error)),
                    };
                    self.answer(*host, action.id, answer);
                }
            }
            Step::Hear { host, age } if !self.history.is_empty() => {
                let document = self.history[self.history.len().saturating_sub(age + 1)].clone();
                let now = self.clock(*host);
                self.hosts[*host].protocol.changed(Some(document), now);
            }
            Step::Crash(host) => self.replace(*host),
            Step::Leave(host) => self.hosts[*host].protocol.leave(),
            Step::Calm(millis) => self.calm(Duration::from_millis(*millis)),
            Step::Arrive { .. } | Step::Answer(_) | Step::Hear { .. } => {}
        }
        self.check();
    }

    fn replace(&mut self, host: usize) {
        self.hosts[host] = self.process(self.hosts[host].speed);
    }

    fn poll(&mut self, host: usize) {
        let now = self.clock(host);
        let process = self.hosts[host].process;
        if let Some(action) = self.hosts[host].protocol.next(now, 0) {
            self.hosts[host].asked = Some(action.clone());
            self.requests.push((process, action));
        }
        if self.hosts[host].protocol.has_left() {
            self.replace(host);
        }
    }

    fn answer(&mut self, host: usize, id: u64, answer: Answer) {
        let now = self.clock(host);
        let host = &mut self.hosts[host];
        host.asked.take_if(|action| action.id == id);
        host.protocol.answered(id, answer, now);
    }

    /// What the database does with a request, and what it answers.
    fn apply(&mut self, request: &Request) -> Answer {
        let stored = self.history.last();
        match request {
            Request::Read => Answer::Read(Ok(stored.cloned())),
            Request::Write(record, expected) => {
                let found = stored.map_or(Expected::Absent, |document| Expected::Version(document.version));
                if found != *expected {
                    return Answer::Written(Err(StoreError::Conflict));
                }
                let before = stored.map_or(0, |document| document.record.epoch);
                assert!(record.epoch == before || record.epoch == before + 1, "epochs rise by one");
                let version = Version { seconds: self.history.len() as i64, nanos: 0 };
                self.history.push(Document { record: record.clone(), version });
                Answer::Written(Ok(version))
            }
        }
    }

    /// Everything works, and takes a few milliseconds.
    fn calm(&mut self, time: Duration) {
        let ends = self.now + time;
        while self.now < ends {
            (0..self.hosts.len()).for_each(|host| self.poll(host));
            while !self.requests.is_empty() {
                self.take(&Step::Arrive { request: 0, again: false });
            }
            while !self.answers.is_empty() {
                self.take(&Step::Answer(0));
            }
            // A request that was lost before is given up in time.
            for host in 0..self.hosts.len() {
                if self.hosts[host].asked.is_some() {
                    self.take(&Step::GiveUp(host));
                }
            }
            self.now += Duration::from_millis(50);
            self.check();
        }
    }

    /// Who is the owner, by its own clock.
    fn owner(&self, host: usize) -> Option<u64> {
        self.hosts[host].protocol.held_until().filter(|(until, _)| self.clock(host) < *until).map(|(_, epoch)| epoch)
    }

    fn check(&mut self) {
        let owners: Vec<_> = (0..self.hosts.len()).filter_map(|host| Some((host, self.owner(host)?))).collect();
        assert!(owners.len() <= 1, "two owners at {:?}: {owners:?}", self.now);
        for (host, epoch) in owners {
            let process = self.hosts[host].process;
            assert_eq!(*self.owners.entry(epoch).or_insert(process), process, "two processes owned epoch {epoch}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn there_is_at_most_one_owner_and_each_epoch_has_only_one(
        speeds in prop::collection::vec(0.9_f64..1.1, HOSTS),
        steps in prop::collection::vec(step(), 1..400),
    ) {
        let mut world = World::new(&speeds);
        steps.iter().for_each(|step| world.take(step));
    }

    /// Otherwise a protocol that never elects anyone would pass.
    #[test]
    fn whatever_has_happened_there_is_an_owner_soon(
        speeds in prop::collection::vec(0.9_f64..1.1, HOSTS),
        steps in prop::collection::vec(step(), 1..100),
    ) {
        let mut world = World::new(&speeds);
        steps.iter().for_each(|step| world.take(step));
        world.calm(2 * TTL);
        prop_assert!((0..HOSTS).any(|host| world.owner(host).is_some()));
        let epoch = world.owners.last_key_value().map(|(epoch, _)| *epoch);
        world.calm(10 * TTL);
        prop_assert_eq!(world.owners.last_key_value().map(|(epoch, _)| *epoch), epoch, "the owner stays");
    }
}

//! Processes that share shards out, and an adversary that decides what happens when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fastrand::Rng;
use proptest::prelude::*;
use quotegate_lease::{
    Action, Answer, Assignment, BootTime, Change, ChangeWrite, Coordinator, Document, Expected, Holder, InstanceRole,
    Record, Request, StoreError, StoredAssignment, Timing, Version, Worker, Workers,
};
use quotegate_pace::{Rate, TokenBucket};

pub(crate) const TTL: Duration = Duration::from_secs(3);
pub(crate) const HOSTS: usize = 4;
pub(crate) const SHARDS: u16 = 13;

/// A step of the adversary. Its numbers choose among what there is.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Time passes, and all processes stand still.
    Pass(u64),
    /// A worker looks at the clock and sends what it wants to send.
    Work(usize),
    /// Some process believes that it is the coordinator: several may at once.
    Coordinate(usize),
    /// A request reaches the database. It may arrive again later.
    Arrive { request: usize, again: bool },
    /// An answer reaches its process.
    Answer(usize),
    /// A process gives up on its requests, which may still arrive.
    GiveUp(usize),
    /// A process hears of the assignment: the newest, or an older one that was delayed.
    HearAssignment { host: usize, age: usize },
    /// A process hears of all workers as they are, or as they were.
    HearWorkers { host: usize, age: usize },
    /// A process notices that it has missed something.
    Miss(usize),
    /// What runs the tenants reads the assigned shards, and starts tenants.
    Start(usize),
    /// It has ended the tenants of all others, and confirms.
    Confirm(usize),
    /// A process writes as many documents as it may.
    Write(usize),
    /// A new process takes the place of another. What the old one sent may still arrive.
    Crash(usize),
    /// A worker wants to stop.
    Leave(usize),
    /// Everything works for a while, but some processes stand still, do not renew their leases, hear
    /// nothing, or do not get their tenants to start and end.
    Rounds { count: u64, without: Without },
}

/// Processes to which something does not happen, one bit each.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Without {
    pub(crate) steps: u8,
    pub(crate) renewals: u8,
    pub(crate) news: u8,
    pub(crate) tenants: u8,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let host = 0..HOSTS;
    let heard = || (0..HOSTS, prop_oneof![3 => Just(0_usize), 1 => 0_usize..6]);
    prop_oneof![
        6 => (0_u64..2500).prop_map(Step::Pass),
        12 => host.clone().prop_map(Step::Work),
        8 => host.clone().prop_map(Step::Coordinate),
        14 => (any::<usize>(), prop::bool::weighted(0.2)).prop_map(|(request, again)| Step::Arrive { request, again }),
        12 => any::<usize>().prop_map(Step::Answer),
        3 => host.clone().prop_map(Step::GiveUp),
        8 => heard().prop_map(|(host, age)| Step::HearAssignment { host, age }),
        8 => heard().prop_map(|(host, age)| Step::HearWorkers { host, age }),
        1 => host.clone().prop_map(Step::Miss),
        8 => host.clone().prop_map(Step::Start),
        8 => host.clone().prop_map(Step::Confirm),
        8 => host.clone().prop_map(Step::Write),
        1 => host.clone().prop_map(Step::Crash),
        1 => host.prop_map(Step::Leave),
        3 => (1_u64..40, without()).prop_map(|(count, without)| Step::Rounds { count, without }),
    ]
}

fn without() -> impl Strategy<Value = Without> {
    let some = || prop_oneof![2 => Just(0_u8), 1 => any::<u8>()];
    let all = (some(), some(), some(), some());
    all.prop_map(|(steps, renewals, news, tenants)| Without { steps, renewals, news, tenants })
}

/// How long a round takes.
const ROUND: Duration = Duration::from_millis(100);

/// What runs tenants, and writes.
#[derive(Default)]
struct Tenants {
    running: BTreeSet<u16>,
    /// Read, and not confirmed yet.
    wanted: Option<BTreeSet<u16>>,
    budget: Option<TokenBucket>,
}

struct Process {
    id: usize,
    /// How fast its clock runs.
    speed: f64,
    worker: Worker,
    coordinator: Coordinator,
    asked: Option<Action>,
    changes: Option<Change>,
    tenants: Tenants,
}

#[derive(Clone)]
enum Sent {
    /// For the lease of this session.
    Lease(String, Action),
    Change(Change),
}

enum Received {
    Lease(u64, Answer),
    Change(u64, Result<Version, StoreError>),
}

pub(crate) struct World {
    pub(crate) now: Duration,
    start: Instant,
    limit: Rate,
    hosts: Vec<Process>,
    processes: usize,
    /// The last states of the workers' leases, oldest first.
    workers: Vec<Workers>,
    /// Every assignment that was ever stored, oldest first.
    assignments: Vec<StoredAssignment>,
    versions: i64,
    requests: Vec<(usize, Sent)>,
    answers: Vec<(usize, Received)>,
    /// How many documents were written when.
    written: Vec<(Duration, u32)>,
}

impl World {
    pub(crate) fn new(speeds: &[f64], limit: Rate) -> Self {
        let mut world = Self {
            now: Duration::ZERO,
            start: Instant::now(),
            limit,
            hosts: Vec::new(),
            processes: 0,
            workers: vec![Workers::new()],
            assignments: Vec::new(),
            versions: 0,
            requests: Vec::new(),
            answers: Vec::new(),
            written: Vec::new(),
        };
        for speed in speeds {
            let host = world.process(*speed);
            world.hosts.push(host);
        }
        world
    }

    fn process(&mut self, speed: f64) -> Process {
        self.processes += 1;
        let id = self.processes;
        let holder = Holder { instance: "host".into(), session: format!("{id}"), address: None, version: "1".into() };
        let timing = Timing::new(TTL);
        let rng = Rng::with_seed(id as u64);
        Process {
            id,
            speed,
            worker: Worker::new(holder.clone(), InstanceRole::All, SHARDS, timing, rng),
            coordinator: Coordinator::new(holder, SHARDS, timing),
            asked: None,
            changes: None,
            tenants: Tenants::default(),
        }
    }

    /// A process' own clock: machines started at different times.
    fn clock(&self, host: usize) -> BootTime {
        BootTime::new(self.now.mul_f64(self.hosts[host].speed) + Duration::from_secs(1000 * host as u64 + 1000))
    }

    pub(crate) fn take(&mut self, step: &Step) {
        self.step(step);
        self.check();
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Pass(millis) => self.now += Duration::from_millis(millis),
            Step::Work(host) => self.work(host),
            Step::Coordinate(host) => self.coordinate(host),
            Step::Arrive { request, again } if !self.requests.is_empty() => {
                let at = request % self.requests.len();
                let (process, sent) = self.requests[at].clone();
                if !again {
                    self.requests.remove(at);
                }
                let answer = self.apply(&sent);
                self.answers.push((process, answer));
            }
            Step::Answer(answer) if !self.answers.is_empty() => {
                let (process, received) = self.answers.remove(answer % self.answers.len());
                if let Some(host) = self.hosts.iter().position(|host| host.id == process) {
                    self.answer(host, received);
                }
            }
            Step::GiveUp(host) => self.give_up(host),
            Step::HearAssignment { host, age } => self.hear_assignment(host, age),
            Step::HearWorkers { host, age } => {
                let workers = &self.workers[self.workers.len().saturating_sub(age + 1)];
                let listed = workers.iter().filter(|(_, document)| document.record.worker.is_some());
                let workers = listed.map(|(session, document)| (session.clone(), document.clone())).collect();
                let now = self.clock(host);
                self.hosts[host].coordinator.observe_workers(workers, now);
            }
            Step::Miss(host) => self.hosts[host].coordinator.miss_workers(),
            Step::Start(host) => self.start_tenants(host),
            Step::Confirm(host) => self.confirm(host),
            Step::Write(host) => self.write(host),
            Step::Crash(host) => self.crash(host),
            Step::Leave(host) => self.hosts[host].worker.leave(),
            Step::Rounds { count, without } => (0..count).for_each(|_| self.round(without)),
            Step::Arrive { .. } | Step::Answer(_) => {}
        }
    }

    pub(crate) fn crash(&mut self, host: usize) {
        self.hosts[host] = self.process(self.hosts[host].speed);
    }

    fn work(&mut self, host: usize) {
        let now = self.clock(host);
        let process = &mut self.hosts[host];
        if let Some(action) = process.worker.next(now, 0) {
            process.asked = Some(action.clone());
            self.requests.push((process.id, Sent::Lease(process.worker.session().to_owned(), action)));
        }
        if process.worker.has_left() {
            self.crash(host);
        }
    }

    fn coordinate(&mut self, host: usize) {
        let now = self.clock(host);
        let process = &mut self.hosts[host];
        if let Some(change) = process.coordinator.next(now) {
            process.changes = Some(change.clone());
            self.requests.push((process.id, Sent::Change(change)));
        }
    }

    fn hear_assignment(&mut self, host: usize, age: usize) {
        let found = self.assignments.len().checked_sub(age + 1).map(|at| self.assignments[at].clone());
        let now = self.clock(host);
        let process = &mut self.hosts[host];
        if let Some(found) = &found {
            process.worker.observe(&found.assignment);
        }
        process.coordinator.observe_assignment(found, now);
    }

    fn answer(&mut self, host: usize, received: Received) {
        let now = self.clock(host);
        let process = &mut self.hosts[host];
        match received {
            Received::Lease(id, answer) => {
                process.asked.take_if(|action| action.id == id);
                process.worker.answered(id, answer, now);
            }
            Received::Change(id, answer) => {
                process.changes.take_if(|change| change.id == id);
                process.coordinator.answered(id, answer, now);
            }
        }
    }

    fn give_up(&mut self, host: usize) {
        let error = || StoreError::Unanswered("the test".into());
        if let Some(action) = self.hosts[host].asked.clone() {
            let answer = match action.request {
                Request::Read => Answer::Read(Err(error())),
                Request::Write(..) => Answer::Written(Err(error())),
            };
            self.answer(host, Received::Lease(action.id, answer));
        }
        if let Some(change) = self.hosts[host].changes.clone() {
            self.answer(host, Received::Change(change.id, Err(error())));
        }
    }

    /// What the database does with a request, and what it answers.
    fn apply(&mut self, sent: &Sent) -> Received {
        match sent {
            Sent::Lease(session, action) => {
                let answer = match &action.request {
                    Request::Read => Answer::Read(Ok(self.stored_workers().get(session).cloned())),
                    Request::Write(record, expected) => Answer::Written(self.write_worker(session, record, *expected)),
                };
                Received::Lease(action.id, answer)
            }
            Sent::Change(change) => {
                let answer = match &change.write {
                    ChangeWrite::Lease { session, record, expected } => self.write_worker(session, record, *expected),
                    ChangeWrite::Assign(assignment, expected) => self.write_assignment(assignment, *expected),
                };
                Received::Change(change.id, answer)
            }
        }
    }

    fn stored_workers(&self) -> &Workers {
        self.workers.last().unwrap()
    }

    fn new_version(&mut self) -> Version {
        self.versions += 1;
        Version { seconds: self.versions, nanos: 0 }
    }

    fn write_worker(&mut self, session: &str, record: &Record, expected: Expected) -> Result<Version, StoreError> {
        let found = self.stored_workers().get(session).map(|document| document.version);
        if found.map_or(Expected::Absent, Expected::Version) != expected {
            return Err(StoreError::Conflict);
        }
        let version = self.new_version();
        let mut workers = self.stored_workers().clone();
        workers.insert(session.to_owned(), Document { record: record.clone(), version });
        self.workers.push(workers);
        // Nobody hears of what is older.
        let old = self.workers.len().saturating_sub(10);
        self.workers.drain(..old);
        Ok(version)
    }

    fn write_assignment(&mut self, assignment: &Assignment, expected: Expected) -> Result<Version, StoreError> {
        let found = self.assignments.last().map(|found| found.version);
        if found.map_or(Expected::Absent, Expected::Version) != expected {
            return Err(StoreError::Conflict);
        }
        let version = self.new_version();
        self.assignments.push(StoredAssignment { assignment: assignment.clone(), version });
        Ok(version)
    }

    fn start_tenants(&mut self, host: usize) {
        let (now, limit) = (self.start + self.now, self.limit);
        let Process { worker, tenants, .. } = &mut self.hosts[host];
        let wanted = worker.assigned().clone();
        let share = limit.share(wanted.len() as u16, SHARDS);
        tenants.budget = match (tenants.budget.take(), share) {
            (_, None) => None,
            (Some(mut bucket), Some(share)) => {
                bucket.set_rate(share, now);
                Some(bucket)
            }
            (None, Some(share)) => {
                let mut bucket = TokenBucket::new(share, now);
                bucket.drain(now);
                Some(bucket)
            }
        };
        tenants.running.extend(&wanted);
        tenants.wanted = Some(wanted);
    }

    fn confirm(&mut self, host: usize) {
        let Process { worker, tenants, .. } = &mut self.hosts[host];
        if let Some(wanted) = tenants.wanted.take() {
            tenants.running.clone_from(&wanted);
            worker.confirm(wanted);
        }
    }

    fn write(&mut self, host: usize) {
        if !self.may_write(host) {
            return;
        }
        let now = self.start + self.now;
        if let Some(bucket) = &mut self.hosts[host].tenants.budget {
            let count = std::iter::from_fn(|| bucket.take(now).then_some(1)).sum();
            self.written.push((self.now, count));
        }
    }

    /// Everything works for a while.
    pub(crate) fn calm(&mut self, time: Duration) {
        self.run(time, Without::default());
    }

    pub(crate) fn run(&mut self, time: Duration, without: Without) {
        let ends = self.now + time;
        while self.now < ends {
            self.round(without);
        }
    }

    fn round(&mut self, without: Without) {
        let is_in = |host: usize, mask: u8| mask >> host & 1 == 1;
        let running: Vec<usize> = (0..HOSTS).filter(|host| !is_in(*host, without.steps)).collect();
        for host in running.iter().filter(|host| !is_in(**host, without.renewals)) {
            self.work(*host);
        }
        if let Some(coordinator) = running.first() {
            self.coordinate(*coordinator);
        }
        while !self.requests.is_empty() {
            self.step(&Step::Arrive { request: 0, again: false });
        }
        while !self.answers.is_empty() {
            self.step(&Step::Answer(0));
        }
        for host in running {
            // A request that was lost before is given up in time.
            self.give_up(host);
            if !is_in(host, without.news) {
                self.hear_assignment(host, 0);
                self.step(&Step::HearWorkers { host, age: 0 });
            }
            self.write(host);
            if !is_in(host, without.tenants) {
                self.start_tenants(host);
                self.confirm(host);
            }
        }
        self.check();
        self.now += ROUND;
        self.check();
    }

    pub(crate) fn may_write(&self, host: usize) -> bool {
        self.hosts[host].worker.may_write_until().is_some_and(|until| self.clock(host) < until)
    }

    /// The shards of a process that may write them, and runs their tenants.
    pub(crate) fn served(&self, host: usize) -> BTreeSet<u16> {
        let process = &self.hosts[host];
        assert!(process.tenants.running.is_subset(process.worker.held()));
        if self.may_write(host) { process.tenants.running.clone() } else { BTreeSet::new() }
    }

    /// Shards whose worker gave them to another one.
    pub(crate) fn assignment(&self) -> Option<&Assignment> {
        self.assignments.last().map(|stored| &stored.assignment)
    }

    /// Shards have one writer at a time, and no more tokens exist than the burst.
    fn check(&self) {
        let mut writers = BTreeMap::new();
        let mut tokens = 0;
        for host in (0..self.hosts.len()).filter(|host| self.may_write(*host)) {
            let Process { worker, tenants, .. } = &self.hosts[host];
            assert!(tenants.running.is_subset(worker.held()));
            for shard in worker.held() {
                let other = writers.insert(*shard, host);
                assert_eq!(other, None, "at {:?}, {host} also may write shard {shard}", self.now);
            }
            tokens += tenants.budget.as_ref().map_or(0, |budget| budget.tokens(self.start + self.now));
        }
        assert!(tokens <= self.limit.burst(), "{tokens} tokens at {:?}", self.now);
    }

    /// In any window, no more was written than the limit allows.
    pub(crate) fn check_written(&self) {
        let (mut level, mut last) = (0.0_f64, Duration::ZERO);
        for (at, count) in &self.written {
            level = (level - self.limit.per_second() * (*at - last).as_secs_f64()).max(0.0) + f64::from(*count);
            last = *at;
            assert!(level <= f64::from(self.limit.burst()) + 1e-6, "{level} writes at once at {at:?}");
        }
    }

    pub(crate) fn total_written(&self) -> u32 {
        self.written.iter().map(|(_, count)| count).sum()
    }
}

//! Processes that share shards out, and the world between them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fastrand::Rng;
use quotegate_lease::{
    Action, Answer, Assignment, BootTime, Change, ChangeWrite, Coordinator, Holder, InstanceRole, Request, StoreError,
    Timing, Version, Worker,
};
use quotegate_pace::{Rate, TokenBucket};

use super::adversary::{Step, Without};
use super::database::Database;

pub(crate) const TTL: Duration = Duration::from_secs(3);
pub(crate) const HOSTS: usize = 4;
pub(crate) const SHARDS: u16 = 13;

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
    database: Database,
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
            database: Database::new(),
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
                let workers = self.database.workers(age);
                let now = self.clock(host);
                self.hosts[host].coordinator.observe_workers(workers, now);
            }
            Step::Miss(host) => self.hosts[host].coordinator.miss_workers(),
            Step::Start(host) => self.start_tenants(host),
            Step::Confirm(host) => self.confirm(host),
            Step::Write(host) => self.write(host),
            Step::Crash(host) => self.crash(host),
            Step::Leave(host) => self.hosts[host].worker.leave(),
            Step::Delete(host) => {
                let session = self.hosts[host].worker.session();
                self.database.delete_worker(session);
            }
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
        let found = self.database.assignment(age).cloned();
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
                    Request::Read => Answer::Read(Ok(self.database.worker(session))),
                    Request::Write(record, expected) => {
                        Answer::Written(self.database.write_worker(session, record, *expected))
                    }
                };
                Received::Lease(action.id, answer)
            }
            Sent::Change(change) => {
                let answer = match &change.write {
                    ChangeWrite::Lease { session, record, expected } => {
                        self.database.write_worker(session, record, *expected)
                    }
                    ChangeWrite::Assign(assignment, expected) => self.database.write_assignment(assignment, *expected),
                };
                Received::Change(change.id, answer)
            }
        }
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

    pub(crate) fn assignment(&self) -> Option<&Assignment> {
        self.database.assignment(0).map(|stored| &stored.assignment)
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

//! Workers that come and go, with real processes and a real NATS server. Firestore is inside the test, because it notes when
//! each write arrives and from which host.
//!
//! `QUOTEGATE_TEST_TENANTS=1000` is the full size, for an optimized build (tests/README.md).

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::lease::Times;
use crate::harness::{Member, SharedWork, Sim, Write, WriteLog, eventually, rounds};
use quotegate_market::Quote;
use quotegate_sim::{Rate, SimSettings};

/// As many as there are by default.
const SHARDS: usize = 64;

fn sim() -> Sim {
    Sim::with(SimSettings { rate: Rate::PerSecond(40.0), ..SimSettings::default() })
}

fn tenant_count() -> usize {
    std::env::var("QUOTEGATE_TEST_TENANTS").map_or(60, |tenants| tenants.parse().expect("a number"))
}

/// Hosts that all read and work.
struct Hosts<'a> {
    work: SharedWork<'a>,
    log: WriteLog,
    members: Vec<Member>,
    started: usize,
    limit: Limit,
}

/// How much all hosts together may write.
#[derive(Clone, Copy)]
struct Limit {
    rate: usize,
    burst: usize,
    interval_ms: usize,
}

impl<'a> Hosts<'a> {
    fn start_or_skip(project: &'static str, sim: &'a Sim, tenants: usize, limit: Limit) -> Option<Self> {
        let work = SharedWork::or_skip(project, sim, tenants)?;
        let mut hosts = Self { work, log: WriteLog::start(), members: Vec::new(), started: 0, limit };
        for _ in 0..3 {
            hosts.start();
        }
        Some(hosts)
    }

    /// Starts a host, and returns its name.
    fn start(&mut self) -> String {
        let name = format!("host-{}", self.started);
        self.started += 1;
        let (Limit { rate, burst, interval_ms }, firestore) = (self.limit, self.log.address_for(&name));
        let settings = |command: &mut Command| {
            command
                .env_remove("QUOTEGATE_LEASE__TTL_S")
                .env("FIRESTORE_EMULATOR_HOST", firestore)
                .env("GLOBAL_WRITES_PER_SEC", rate.to_string())
                .env("GLOBAL_BURST", burst.to_string())
                .env("HEARTBEAT_INTERVAL_S", "15")
                .env("PER_SYMBOL_MIN_INTERVAL_MS", interval_ms.to_string());
        };
        let member = self.work.start_with(&name, |command| {
            settings(command);
            command
        });
        self.members.push(member);
        name
    }

    /// Waits until all have their part, and every tenant is written. Returns the tenants of each.
    fn wait_until_even(&self) -> BTreeMap<String, BTreeSet<String>> {
        let least = SHARDS / self.members.len();
        let parts = eventually("an even spread", || {
            let mut parts = BTreeMap::new();
            for member in &self.members {
                let state = member.state()?;
                let shards = |what: &str| state["shards"][what].as_array().map(Vec::len);
                let is_settled = shards("assigned") == shards("holds") && shards("holds") >= Some(least);
                let tenants = state["tenants"].as_array().filter(|_| is_settled)?;
                let ids = tenants.iter().filter_map(|tenant| tenant["id"].as_str().map(str::to_owned));
                parts.insert(member.name.clone(), ids.collect::<BTreeSet<_>>());
            }
            (parts.values().map(BTreeSet::len).sum::<usize>() == self.work.tenants.len()).then_some(parts)
        });
        let now = Instant::now();
        for (host, tenants) in &parts {
            self.log.first_writes(tenants, now, |writer| writer == host);
        }
        parts
    }

    /// Ends a host that does not read the feed.
    fn signal_a_worker(&mut self, signal: &str) -> Member {
        let reads = |member: &Member| member.state().is_some_and(|state| state["lease"]["held"] == true);
        let reader = eventually("a reader", || self.members.iter().position(reads));
        let member = self.members.swap_remove((reader + 1) % self.members.len());
        member.running.signal(signal);
        member
    }

    /// Ends a worker. Returns it, when that was, and the seconds until each of its tenants was written elsewhere.
    fn move_tenants_by(&mut self, signal: &str) -> (Member, Instant, f64) {
        let parts = self.wait_until_even();
        let victim = self.signal_a_worker(signal);
        let ended = Instant::now();
        let moved = &parts[&victim.name];
        let first = self.log.first_writes(moved, ended, |writer| writer != victim.name);
        let [fastest, median, last] = spread(first.into_values(), ended);
        eprintln!("{} tenants elsewhere after {fastest:.2}, {median:.2} and {last:.2} s", moved.len());
        (victim, ended, last)
    }
}

/// In seconds, when it came to the first, to half of them, and to the last.
fn spread(times: impl IntoIterator<Item = Instant>, since: Instant) -> [f64; 3] {
    let mut seconds: Vec<f64> = times.into_iter().map(|at| (at - since).as_secs_f64()).collect();
    seconds.sort_by(f64::total_cmp);
    [0, seconds.len() / 2, seconds.len() - 1].map(|at| seconds[at])
}

/// Four writes per second of each tenant.
fn limit() -> Limit {
    Limit { rate: 4 * tenant_count(), burst: (tenant_count() / 2).max(SHARDS), interval_ms: 250 }
}

#[test]
fn the_tenants_of_a_killed_worker_are_written_elsewhere_within_five_seconds() {
    let sim = sim();
    let Some(mut hosts) = Hosts::start_or_skip("demo-shards-killed", &sim, tenant_count(), limit()) else { return };
    let mut times = Times::default();
    for _ in 0..rounds() {
        let (_killed, _, seconds) = hosts.move_tenants_by("KILL");
        times.add(seconds);
        hosts.start();
    }
    times.assert_within(5.0, 20.0, "from the death of a worker until each of its tenants is written elsewhere");
    assert_eq!(hosts.log.ledger.reversed(), 0, "documents went backwards");
}

#[test]
fn the_tenants_of_a_stopped_worker_are_written_elsewhere_within_a_second() {
    let sim = sim();
    let Some(mut hosts) = Hosts::start_or_skip("demo-shards-stopped", &sim, tenant_count(), limit()) else { return };
    let (mut pauses, mut exits) = (Times::default(), Times::default());
    for _ in 0..rounds() {
        let (worker, stopped, seconds) = hosts.move_tenants_by("TERM");
        pauses.add(seconds);
        let ended = worker.running.wait();
        exits.add(stopped.elapsed().as_secs_f64());
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        hosts.start();
    }
    // Without a word to the others, it would be over three seconds.
    pauses.assert_within(1.0, 10.0, "from SIGTERM until each of its tenants is written elsewhere");
    exits.assert_within(8.0, 9.0, "from SIGTERM to the exit");
    assert_eq!(hosts.log.ledger.reversed(), 0, "documents went backwards");
}

#[test]
fn a_new_worker_gets_its_part_without_a_pause_for_the_others() {
    let sim = sim();
    let Some(mut hosts) = Hosts::start_or_skip("demo-shards-joins", &sim, tenant_count(), limit()) else { return };
    let (mut others, mut moves) = (Times::default(), Times::default());
    hosts.wait_until_even();
    for _ in 0..rounds() {
        let began = Instant::now();
        let name = hosts.start();
        let parts = hosts.wait_until_even();
        let moved = &parts[&name];
        assert!(!moved.is_empty());
        let mut last: BTreeMap<String, Write> = BTreeMap::new();
        let (mut longest_stay, mut longest_move) = (0.0_f64, 0.0_f64);
        for write in hosts.log.since(began) {
            let Some(before) = last.insert(write.tenant.clone(), write.clone()) else { continue };
            let pause = (write.at - before.at).as_secs_f64();
            if !moved.contains(&write.tenant) {
                longest_stay = longest_stay.max(pause);
            } else if write.host != before.host {
                longest_move = longest_move.max(pause);
            }
        }
        eprintln!("{} tenants moved in {longest_move:.2} s, at most {longest_stay:.2} s for others", moved.len());
        others.add(longest_stay);
        moves.add(longest_move);
        hosts.signal_a_worker("TERM").running.wait();
        hosts.wait_until_even();
    }
    // As long as between any two writes of a tenant at this limit.
    others.assert_within(1.0, 5.0, "between two writes of a tenant that stays");
    moves.assert_within(2.0, 10.0, "between two writes of a tenant that moves");
    assert_eq!(hosts.log.ledger.reversed(), 0, "documents went backwards");
}

/// Quotes of all symbols, 75 per second of each, while `flows`.
fn feed(sim: &Sim, flows: &AtomicBool, ends: &AtomicBool) {
    while !ends.load(Relaxed) {
        thread::sleep(Duration::from_millis(13));
        let event_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
        for symbol in ["SPY", "AAPL", "MSFT", "NVDA"].iter().filter(|_| flows.load(Relaxed)) {
            sim.send(symbol, &Quote { bid_price: 1.0, ask_price: 1.01, event_time, ..Quote::default() });
        }
    }
}

/// Invariant 1 over all workers, in the worst case: they have just used their whole burst when one of them ends or begins.
#[test]
fn all_workers_together_keep_to_the_write_limit_while_they_come_and_go() {
    const RATE: usize = 100;
    /// So many for each shard that a third of it, gained wrongly, is more than two seconds of the rate.
    const BURST: usize = 15 * SHARDS;
    let sim = Sim::quiet();
    let limit = Limit { rate: RATE, burst: BURST, interval_ms: 50 };
    let Some(mut hosts) = Hosts::start_or_skip("demo-shards-budget", &sim, 12, limit) else { return };
    let (flows, ends) = (AtomicBool::new(true), AtomicBool::new(false));
    let count = |hosts: &Hosts<'_>, since| hosts.log.since(since).len();
    let began = Instant::now();
    let (mut moves, mut fullest) = (0, 0.0_f64);
    thread::scope(|scope| {
        scope.spawn(|| feed(&sim, &flows, &ends));
        hosts.wait_until_even();
        // Fewer than elsewhere: before each move, the bucket fills for ten seconds.
        for signal in (0..(rounds() / 3).max(1)).flat_map(|_| ["KILL", "TERM", "start"]) {
            moves += 1;
            flows.store(false, Relaxed);
            thread::sleep(Duration::from_secs_f64(1.0 + BURST as f64 / RATE as f64));
            flows.store(true, Relaxed);
            let full = Instant::now();
            eventually("the burst is used", || (count(&hosts, full) > BURST * 9 / 10).then_some(()));
            if signal == "start" {
                hosts.start();
                hosts.start();
            } else {
                hosts.signal_a_worker(signal);
            }
            hosts.wait_until_even();
            let steady = Instant::now();
            thread::sleep(Duration::from_secs(2));
            fullest = fullest.max(count(&hosts, steady) as f64 / steady.elapsed().as_secs_f64());
        }
        ends.store(true, Relaxed);
    });
    let writes: Vec<f64> = hosts.log.since(began).iter().map(|write| (write.at - began).as_secs_f64()).collect();
    let burst = burst_of(&writes, RATE as f64);
    eprintln!(
        "{moves} moves, {} writes: no window of t seconds with more than {burst:.0} + {RATE}t, of {BURST} + {RATE}t; {fullest:.1} per \
         second between moves",
        writes.len()
    );
    // They are counted when they arrive. Two seconds of the rate are for the differences of their ways.
    assert!(burst <= (BURST + 2 * RATE) as f64, "{burst}");
    assert!(burst >= 0.9 * BURST as f64, "{burst}: the burst was never used");
    assert!(fullest >= 0.8 * RATE as f64, "{fullest} writes per second");
    assert_eq!(hosts.log.ledger.reversed(), 0, "documents went backwards");
}

/// The smallest burst that explains these writes at this rate: the most that any window has beyond the rate.
fn burst_of(seconds: &[f64], rate: f64) -> f64 {
    let (mut lowest, mut burst) = (f64::MAX, 0.0_f64);
    for (before, at) in seconds.iter().enumerate() {
        let level = before as f64 - rate * at;
        lowest = lowest.min(level);
        burst = burst.max(level + 1.0 - lowest);
    }
    burst
}

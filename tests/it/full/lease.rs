//! Invariant 8 with three hosts, an emulator, and a simulator: however the owner ends, another one takes over in time.
//!
//! Each test prints its largest number. `QUOTEGATE_TEST_ROUNDS=10` is their full size; `--all` repeats three times.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::harness::{Cluster, Member, Proxy, Sim, eventually, get, rounds};
use quotegate_sim::{Fault, Rate, SimSettings};
use serde_json::Value;

fn sim(connection_limit: usize, fault: Option<Fault>) -> Sim {
    Sim::with(SimSettings { rate: Rate::PerSecond(500.0), connection_limit, fault, ..SimSettings::default() })
}

/// Names that tell which process is meant.
fn name(number: usize) -> String {
    format!("host-{number}")
}

fn start_three(cluster: &Cluster<'_>) -> Vec<Member> {
    (0..3).map(|number| cluster.start(&name(number))).collect()
}

/// What each round took, in seconds.
#[derive(Default)]
pub(super) struct Times(Vec<f64>);

impl Times {
    pub(super) fn add(&mut self, seconds: f64) {
        self.0.push(seconds);
    }

    /// A round may meet a machine that is busy with something else, so half of them must be `within` the limit that is
    /// promised, and all within one that only a wrong takeover exceeds.
    pub(super) fn assert_within(mut self, within: f64, at_most: f64, what: &str) {
        self.0.sort_by(f64::total_cmp);
        let (median, largest) = (self.0[self.0.len() / 2], self.0[self.0.len() - 1]);
        eprintln!("{median:.2} s in the median of {} rounds, at most {largest:.2} s {what}", self.0.len());
        assert!(median <= within && largest <= at_most, "{:?} s {what}", self.0);
    }
}

pub(super) fn seconds(from: SystemTime, to: SystemTime) -> f64 {
    to.duration_since(from).map_or(0.0, |time| time.as_secs_f64())
}

#[test]
fn a_killed_owner_is_replaced_within_five_seconds() {
    let sim = sim(1, None);
    let Some(cluster) = Cluster::or_skip("demo-lease-crash", &sim) else { return };
    let mut members = start_three(&cluster);
    let mut times = Times::default();
    for round in 0..rounds() {
        let owner = cluster.wait_for_owner(&members);
        eventually("quotes", || cluster.newest_write());
        let owner = members.swap_remove(owner);
        owner.running.signal("KILL");
        let killed = SystemTime::now();
        // What was on its way at the moment of its death may still be applied.
        let written = cluster.wait_for_write_after(killed + Duration::from_secs(1));
        times.add(seconds(killed, written));
        members.push(cluster.start(&name(3 + round)));
    }
    times.assert_within(5.0, 10.0, "from the death of the owner to the next document");
}

#[test]
fn a_stopped_owner_hands_over_in_less_than_a_second() {
    let sim = sim(1, None);
    let Some(cluster) = Cluster::or_skip("demo-lease-graceful", &sim) else { return };
    let mut members = start_three(&cluster);
    let (mut pauses, mut exits) = (Times::default(), Times::default());
    for round in 0..rounds() {
        let owner = cluster.wait_for_owner(&members);
        eventually("three reports", || (members[owner].state()?["hosts"].as_array()?.len() >= 3).then_some(()));
        eventually("a steady flow", || (written(&members[owner])? > 100).then_some(()));
        let owner = members.swap_remove(owner);
        owner.running.signal("TERM");
        let stopped = Instant::now();
        let exit = thread::spawn(move || {
            let finished = owner.running.wait();
            assert_eq!(finished.code, 0, "{}", finished.stderr);
            stopped.elapsed().as_secs_f64()
        });
        eventually("a document of the new owner", || {
            members.iter().any(|member| written(member).is_some_and(|written| written > 0)).then_some(())
        });
        pauses.add(stopped.elapsed().as_secs_f64());
        exits.add(exit.join().unwrap());
        members.push(cluster.start(&name(3 + round)));
    }
    // Without a release, it would be over two seconds.
    pauses.assert_within(1.0, 2.0, "from SIGTERM to the next owner's document");
    exits.assert_within(8.0, 8.0, "from SIGTERM to the exit");
}

fn written(member: &Member) -> Option<u64> {
    member.counter("written")
}

#[test]
fn a_frozen_owner_is_replaced_within_five_seconds_and_is_a_standby_when_it_wakes() {
    // The connection of a frozen host stays open. How Alpaca then refuses others is tested below.
    let sim = sim(4, None);
    let Some(cluster) = Cluster::or_skip("demo-lease-frozen", &sim) else { return };
    let members = start_three(&cluster);
    let mut times = Times::default();
    for _ in 0..rounds() {
        let frozen = cluster.wait_for_owner(&members);
        eventually("quotes", || cluster.newest_write());
        let epoch = members[frozen].state().unwrap()["lease"]["epoch"].as_u64().unwrap();
        members[frozen].running.signal("STOP");
        let stopped = SystemTime::now();
        let written = cluster.wait_for_write_after(stopped + Duration::from_secs(1));
        times.add(seconds(stopped, written));
        members[frozen].running.signal("CONT");
        let owner = cluster.wait_for_owner(&members);
        assert_ne!(owner, frozen);
        assert_eq!(members[owner].state().unwrap()["lease"]["epoch"], epoch + 1);
        eventually("only the owner is connected", || (sim.handle().connected() == 1).then_some(()));
        // It does not touch the tenant's heartbeat any more.
        let is_owners =
            || (cluster.heartbeat()?["instance_id"]["stringValue"] == members[owner].name.as_str()).then_some(());
        eventually("the new owner's heartbeat", is_owners);
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            assert!(is_owners().is_some(), "{:?}", cluster.heartbeat());
        }
    }
    times.assert_within(5.0, 10.0, "from the last moment of a frozen owner to the next document");
}

#[test]
fn an_owner_without_firestore_falls_silent_in_time_and_is_a_standby_afterwards() {
    let sim = sim(1, None);
    let Some(cluster) = Cluster::or_skip("demo-lease-partition", &sim) else { return };
    let mut times = Times::default();
    for round in 0..rounds() {
        let proxy = Proxy::before(&cluster.emulator.host());
        let mut members = vec![
            cluster.start_with(&name(2 * round), |command| command.env("FIRESTORE_EMULATOR_HOST", proxy.address())),
        ];
        cluster.wait_for_owner(&members);
        eventually("quotes", || (sim.handle().connected() == 1).then(|| cluster.newest_write()).flatten());
        proxy.cut();
        // One that was on its way may still count.
        thread::sleep(Duration::from_millis(100));
        let renewed = cluster.newest_renewal();
        while sim.handle().connected() > 0 {
            thread::sleep(Duration::from_millis(2));
        }
        times.add(seconds(renewed, SystemTime::now()));

        // Another host takes over, and the old owner waits for it once it can read again.
        members.push(cluster.start(&name(2 * round + 1)));
        let successor = std::slice::from_ref(&members[1]);
        assert_eq!(cluster.wait_for_owner(successor), 0);
        proxy.heal();
        assert_eq!(cluster.wait_for_owner(&members), 1);
        let ready = eventually("a ready standby", || members[0].readyz().filter(|answer| answer.status == 200));
        assert!(ready.body.contains("a standby"), "{}", ready.body);
    }
    // After three seconds, somebody else could be the owner.
    times.assert_within(2.1, 2.9, "from the last good renewal to silence");
}

#[test]
fn while_alpaca_holds_a_dead_session_the_new_owner_tries_at_most_twice_per_second() {
    let held = Duration::from_secs(if rounds() > 3 { 90 } else { 12 });
    let sim = sim(1, Some(Fault::DeadSession(held.as_secs())));
    let Some(cluster) = Cluster::or_skip("demo-lease-held", &sim) else { return };
    let mut members = vec![cluster.start("host-a"), cluster.start("host-b")];
    let owner = cluster.wait_for_owner(&members);
    eventually("quotes", || cluster.newest_write());
    members.swap_remove(owner).running.signal("KILL");
    let killed = Instant::now();
    let successor = &members[0];
    eventually("error 406", || (sim.handle().refused() > 0).then_some(()));
    let (first, began) = (sim.handle().refused(), Instant::now());
    eventually("the reason in the heartbeat", || {
        cluster.heartbeat()?["reason"]["stringValue"].as_str()?.contains("error 406").then_some(())
    });
    let page = successor.state().unwrap()["tenants"][0]["reason"].clone();
    assert!(page.as_str().is_some_and(|reason| reason.contains("the last owner")), "{page}");
    eventually("the connection", || (sim.handle().connected() == 1).then_some(()));
    let (waited, tries) = (killed.elapsed(), sim.handle().refused() - first);
    let rate = tries as f64 / began.elapsed().as_secs_f64();
    eprintln!("held for {held:?}: taken after {waited:.2?}, {rate:.2} tries per second");
    assert!(waited >= held && waited <= held + Duration::from_secs(2), "{waited:?}");
    assert!(rate <= 2.0 && tries >= held.as_secs() / 2, "{tries} tries");
}

#[test]
fn two_standbys_leave_the_heartbeat_of_the_owner_alone() {
    let sim = sim(1, None);
    let Some(cluster) = Cluster::or_skip("demo-lease-heartbeat", &sim) else { return };
    let members = start_three(&cluster);
    let owner = cluster.wait_for_owner(&members);
    let name = members[owner].name.as_str();
    let heartbeat = || eventually("a heartbeat", || cluster.heartbeat());
    eventually("the owner's", || (heartbeat()["instance_id"]["stringValue"] == name).then_some(()));
    let until = Instant::now() + Duration::from_secs(6 * rounds() as u64);
    let mut beats = std::collections::BTreeSet::new();
    while Instant::now() < until {
        let heartbeat = heartbeat();
        assert_eq!(heartbeat["instance_id"]["stringValue"], name);
        beats.insert(heartbeat["ts"]["timestampValue"].as_str().unwrap().to_owned());
        thread::sleep(Duration::from_millis(50));
    }
    eprintln!("{} heartbeats, all of {name}", beats.len());
    assert!(beats.len() > rounds());
    // Pausing and reloading are for standbys, too.
    let standby = members.iter().find(|member| member.name != name).unwrap();
    let pause = serde_json::json!({"tenants": {"mapValue": {"fields": {"acme": {"booleanValue": true}}}}});
    cluster.emulator.set(cluster.project, "ops/ingest_control", &pause);
    eventually("the standby knows of the pause", || {
        (standby.state()?["tenants"][0]["status"] == "paused").then_some(())
    });
    standby.running.signal("HUP");
    eventually("a reload", || (standby.running.events("reload") == 1).then_some(()));
    assert_eq!(get(standby.port, "/healthz").unwrap().status, 200);
}

/// Nobody compares the clocks of two machines.
#[test]
fn hosts_whose_clocks_are_hours_apart_agree_on_the_owner() {
    let Some(library) = std::env::var_os("QUOTEGATE_TEST_FAKETIME") else {
        quotegate_test_support::skip("a test of wrong clocks: apt-get install libfaketime");
        return;
    };
    let sim = sim(1, None);
    let Some(cluster) = Cluster::or_skip("demo-lease-skew", &sim) else { return };
    let start = |number: usize| {
        let offset = ["-1h", "+0", "+1h"][number % 3];
        cluster.start_with(&name(number), |command| {
            command.env("LD_PRELOAD", &library).env("FAKETIME", offset).env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        })
    };
    let mut members: Vec<Member> = (0..3).map(start).collect();
    let mut apart = false;
    for round in 0..rounds() {
        let owner = cluster.wait_for_owner(&members);
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            let states: Vec<Value> = members.iter().filter_map(Member::state).collect();
            let held = states.iter().filter(|state| state["lease"]["held"] == true).count();
            assert!(held == 1 && states.len() == 3, "{states:?}");
            let times: Vec<i64> = states.iter().filter_map(|state| state["time"].as_i64()).collect();
            apart |= times.iter().max().unwrap() - times.iter().min().unwrap() > 6_000_000_000_000;
            thread::sleep(Duration::from_millis(50));
        }
        let epoch = members[owner].state().unwrap()["lease"]["epoch"].clone();
        assert_eq!(epoch, round as u64 + 1, "the owner has not changed by itself");
        let name = members[owner].name.clone();
        members.swap_remove(owner).running.signal(if round % 2 == 0 { "KILL" } else { "TERM" });
        // One with the same wrong clock takes its place.
        let number: usize = name.trim_start_matches("host-").parse().unwrap();
        members.push(start(number + 3));
    }
    assert!(apart, "the clocks were not hours apart");
}

/// Invariant 1: also the first write of a new owner is an interval after the last one of the owner before.
#[test]
fn the_interval_of_a_symbol_holds_across_a_takeover() {
    const INTERVAL: Duration = Duration::from_secs(6);
    let sim = sim(1, None);
    let Some(cluster) = Cluster::or_skip("demo-lease-interval", &sim) else { return };
    let start = |number: usize| {
        cluster.start_with(&name(number), |command| {
            command.env("PER_SYMBOL_MIN_INTERVAL_MS", INTERVAL.as_millis().to_string())
        })
    };
    let mut members = vec![start(0), start(1)];
    let mut shortest = f64::MAX;
    for round in 0..rounds().div_ceil(3) {
        let owner = cluster.wait_for_owner(&members);
        eventually("all symbols", || (cluster.write_times().len() == 4).then_some(()));
        eventually("documents of this owner", || (written(&members[owner])? >= 4).then_some(()));
        members.swap_remove(owner).running.signal("KILL");
        // What was on its way at the moment of its death may still be applied.
        thread::sleep(Duration::from_millis(200));
        let before = cluster.write_times();
        for (path, old) in before {
            let new = eventually("a document of the new owner", || {
                cluster.write_times().remove(&path).filter(|new| *new > old)
            });
            shortest = shortest.min(seconds(old, new));
        }
        members.push(start(2 + round));
    }
    eprintln!("at least {shortest:.3} s between the documents of two owners");
    assert!(shortest >= INTERVAL.as_secs_f64(), "{shortest}");
}

/// Invariant 1 over all hosts.
#[test]
fn all_hosts_together_keep_to_the_write_limit() {
    const RATE: f64 = 20.0;
    const BURST: f64 = 100.0;
    let sim = sim(1, None);
    let Some(cluster) = Cluster::or_skip("demo-lease-budget", &sim) else { return };
    let start = |number: usize| {
        cluster.start_with(&name(number), |command| {
            command
                .env("GLOBAL_WRITES_PER_SEC", RATE.to_string())
                .env("GLOBAL_BURST", BURST.to_string())
                .env("QUOTEGATE_LOG__LEVEL", "info,quotegate_sink=debug")
        })
    };
    let mut members = vec![start(0), start(1)];
    let (mut lines, takeovers) = (Vec::new(), 2 * rounds());
    for round in 0..takeovers {
        let owner = cluster.wait_for_owner(&members);
        // Until the burst is used up: then every token is used at once.
        let wanted = if round == 0 { BURST as u64 + 20 } else { 20 };
        eventually("full load", || (written(&members[owner])? >= wanted).then_some(()));
        eventually("a standby", || (members[owner].state()?["hosts"].as_array()?.len() >= 2).then_some(()));
        let owner = members.swap_remove(owner);
        owner.running.signal(if round % 2 == 0 { "TERM" } else { "KILL" });
        let log = owner.running.wait().stderr;
        lines.extend(log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()));
        members.push(start(2 + round));
    }
    let owner = cluster.wait_for_owner(&members);
    eventually("the last owner's documents", || (written(&members[owner])? >= 20).then_some(()));
    lines.extend(members.iter().flat_map(|member| member.running.lines()));

    let time = |line: &Value| line["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_nanosecond();
    let mut writes: Vec<(f64, f64)> = lines
        .iter()
        .filter(|line| line["event_type"] == "firestore_write" && line["documents"].is_u64())
        .map(|line| (time(line) as f64 / 1e9, line["documents"].as_f64().unwrap()))
        .collect();
    writes.sort_by(|one, other| one.0.total_cmp(&other.0));
    assert!(writes.iter().map(|(_, documents)| documents).sum::<f64>() > BURST + 20.0 * takeovers as f64);
    // Logged when they were answered. Two seconds of the rate are for the difference, and for heartbeats, which do not count.
    let mut most = f64::MIN;
    for (first, (from, _)) in writes.iter().enumerate() {
        let mut within = 0.0;
        for (to, documents) in &writes[first..] {
            within += documents;
            let allowed = BURST + (RATE + 2.0) * (to - from) + 2.0 * RATE;
            most = most.max(within - allowed);
        }
    }
    eprintln!("{takeovers} takeovers: {:.0} writes below the limit of any window", -most);
    assert!(most <= 0.0, "{most} writes too many");
}

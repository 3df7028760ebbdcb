//! Hosts that share one feed's tenants, and whatever ends: the reader, the broker. With real processes, a real NATS server, and
//! leases that expire in real time. What happens when a worker ends is in `shards.rs`.

use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use super::lease::{Times, seconds};
use crate::harness::{Member, SharedWork, Sim, eventually, rounds};
use quotegate_sim::{Rate, SimSettings};

fn sim() -> Sim {
    Sim::with(SimSettings { rate: Rate::PerSecond(300.0), ..SimSettings::default() })
}

/// The time-to-live that hosts have by default.
fn default_ttl(command: &mut Command) -> &mut Command {
    command.env_remove("QUOTEGATE_LEASE__TTL_S")
}

fn start(work: &SharedWork<'_>, number: usize) -> Member {
    work.start_with(&format!("host-{number}"), default_ttl)
}

/// The place of the reader among hosts that all follow it.
fn reader(members: &[Member]) -> usize {
    eventually("a reader", || {
        let owner =
            members.iter().position(|member| member.state().is_some_and(|state| state["lease"]["held"] == true))?;
        let follows = |member: &Member| {
            member.state().is_some_and(|state| state["relay"]["reader"]["instance"] == members[owner].name.as_str())
        };
        members.iter().all(follows).then_some(owner)
    })
}

/// The tenants of this host.
fn tenants(work: &SharedWork<'_>, members: &[Member], of: usize) -> Vec<String> {
    let all: Vec<&Member> = members.iter().collect();
    let places = work.wait_for_spread(&all);
    places.into_iter().filter(|(_, place)| *place == members[of].name).map(|(tenant, _)| tenant).collect()
}

#[test]
fn another_host_reads_when_the_reader_is_killed() {
    let sim = sim();
    let Some(work) = SharedWork::or_skip("demo-relay-reader", &sim, 12) else { return };
    let mut members: Vec<Member> = (0..3).map(|number| start(&work, number)).collect();
    let mut times = Times::default();
    for round in 0..rounds() {
        let victim = reader(&members);
        tenants(&work, &members, victim);
        work.wait_for_writes_after(&work.tenants, SystemTime::UNIX_EPOCH);
        members.swap_remove(victim).running.signal("KILL");
        let killed = SystemTime::now();
        let written = work.wait_for_writes_after(&work.tenants, killed + Duration::from_secs(1));
        times.add(seconds(killed, written));
        eventually("only the new reader is connected", || (sim.handle().connected() == 1).then_some(()));
        members.push(start(&work, 3 + round));
    }
    times.assert_within(8.0, 30.0, "from the death of the reader until every tenant has a new document");
}

#[test]
fn without_the_broker_workers_say_so_and_go_on_when_it_is_back() {
    let sim = sim();
    let Some(mut work) = SharedWork::or_skip("demo-relay-broker", &sim, 6) else { return };
    let members: Vec<Member> = (0..2).map(|number| work.start(&format!("host-{number}"))).collect();
    tenants(&work, &members, 0);
    work.wait_for_writes_after(&work.tenants, SystemTime::UNIX_EPOCH);
    for _ in 0..rounds() {
        work.nats.kill();
        for tenant in &work.tenants {
            eventually("the reason in the heartbeat", || {
                let heartbeat = work.heartbeat(tenant)?;
                let reason = heartbeat["reason"]["stringValue"].as_str()?.to_owned();
                (heartbeat["status"]["stringValue"] == "degraded" && reason.contains("the broker at")).then_some(())
            });
        }
        for member in &members {
            let state = member.state().unwrap();
            assert_eq!(member.readyz().unwrap().status, 503);
            assert!(state["relay"]["problem"].as_str().is_some_and(|problem| problem.contains("is not connected")));
            // The broker has no part in who owns what.
            assert!(!state["shards"]["holds"].as_array().unwrap().is_empty(), "{}", state["shards"]);
        }
        // It stays away for longer than it takes to notice.
        thread::sleep(Duration::from_secs(2));
        work.nats.start_again();
        let back = SystemTime::now();
        let written = work.wait_for_writes_after(&work.tenants, back);
        eprintln!(
            "{:.2} s from the return of the broker until every tenant has a new document",
            seconds(back, written)
        );
        for member in &members {
            eventually("it is ready", || member.readyz().filter(|answer| answer.status == 200));
        }
    }
    for member in &members {
        let events = ["relay_problem", "relay_works"].map(|event| member.running.events(event));
        assert!(events[0] >= rounds() && events[0] <= 3 * rounds() + 3, "logged once for each outage: {events:?}");
    }
}

#[test]
fn a_reload_changes_the_tenants_on_the_hosts_that_have_them() {
    let sim = sim();
    let Some(work) = SharedWork::or_skip("demo-relay-reload", &sim, 8) else { return };
    let members: Vec<Member> = (0..2).map(|number| work.start(&format!("host-{number}"))).collect();
    tenants(&work, &members, 0);
    work.wait_for_writes_after(&work.tenants, SystemTime::UNIX_EPOCH);
    // A tenant with a symbol that nobody has wanted yet, and one fewer.
    let (gone, stay) = work.tenants.split_first().unwrap();
    let sections = stay.iter().map(|tenant| format!("[tenants.{tenant}]\n"));
    work.write_settings(&sections.chain(["[tenants.late]\nsymbols = [\"TSLA\"]\n".to_owned()]).collect::<String>());
    for member in &members {
        member.running.signal("HUP");
    }
    let late = "late".to_owned();
    work.wait_for_writes_after([&late], SystemTime::UNIX_EPOCH);
    eventually("the last heartbeat of a tenant that is gone", || {
        (work.heartbeat(gone)?["status"]["stringValue"] == "stopped").then_some(())
    });
    let running = |member: &Member| member.state().unwrap()["tenants"].as_array().unwrap().len();
    assert_eq!(members.iter().map(running).sum::<usize>(), work.tenants.len());
}

//! Several processes that share one feed's tenants over a real NATS server: one reads, all work.

use std::net::TcpListener;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::harness::{Cluster, Member, SharedWork, Sim, eventually, finish, quotegate, time};
use quotegate_market::Quote;
use quotegate_sim::{Rate, SimSettings};

fn sim() -> Sim {
    Sim::with(SimSettings { rate: Rate::PerSecond(500.0), ..SimSettings::default() })
}

fn reader<'m>(members: &[&'m Member]) -> &'m Member {
    eventually("a reader that all agree on", || {
        let heard = |member: &&Member| Some(member.state()?["relay"]["reader"]["instance"].as_str()?.to_owned());
        let heard: Vec<String> = members.iter().map(heard).collect::<Option<_>>()?;
        let found = members.iter().find(|member| member.name == heard[0])?;
        (heard.iter().all(|name| *name == heard[0]) && found.state()?["lease"]["held"] == true).then_some(*found)
    })
}

fn has_relay_thread(member: &Member) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{}/task", member.running.id())).unwrap();
    let mut names = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    names.any(|name| name.trim() == "relay")
}

#[test]
fn one_host_reads_and_all_of_them_write() {
    let sim = sim();
    let Some(work) = SharedWork::or_skip("demo-relay", &sim, 12) else { return };
    let members = ["host-a", "host-b", "host-c"].map(|name| work.start(name));
    let all: Vec<&Member> = members.iter().collect();
    let places = work.wait_for_spread(&all);
    for member in &members {
        assert!(places.values().any(|place| *place == member.name), "{} has no tenants: {places:?}", member.name);
    }
    let reader = reader(&all);
    assert_eq!(sim.handle().connections(), 1, "only the reader connects");

    // Every tenant's documents and heartbeat come from the host that has the tenant.
    work.wait_for_writes_after(&work.tenants, SystemTime::UNIX_EPOCH);
    for (tenant, place) in &places {
        eventually("the heartbeat of the tenant's host", || {
            let heartbeat = work.heartbeat(tenant)?;
            let runs = heartbeat["status"]["stringValue"] == "running";
            (runs && heartbeat["instance_id"]["stringValue"] == place.as_str()).then_some(())
        });
    }

    assert!(members.iter().all(has_relay_thread));

    // What people see.
    for member in &members {
        let ready = eventually("it is ready", || member.readyz().filter(|answer| answer.status == 200));
        assert!(ready.body.starts_with("ready"), "{}", ready.body);
    }
    eventually("all reports", || {
        let hosts = members[0].state()?["hosts"].clone();
        (hosts.as_array()?.iter().filter(|host| host["worker"]["shards"].as_u64() > Some(0)).count() == 3).then_some(())
    });
    let url = format!("http://127.0.0.1:{}", members[0].port);
    let status = finish(&mut quotegate(["status", &url, "--all"]));
    assert_eq!(status.code, 0, "{}", status.stdout);
    assert!(status.stdout.contains(&format!("reader   {}", reader.name)), "{}", status.stdout);
    for member in &members {
        assert!(
            status.stdout.lines().any(|line| line.starts_with(&format!("worker   {}", member.name))),
            "{}",
            status.stdout
        );
    }
    let metrics = crate::harness::get(members[1].port, "/metrics").unwrap().body;
    for name in ["quotegate_relay_connected 1", "quotegate_shards_held", "quotegate_relay_lag_seconds"] {
        assert!(metrics.contains(name), "{name} is not among\n{metrics}");
    }
}

#[test]
fn without_a_broker_a_host_says_so_and_begins_when_it_comes() {
    let sim = sim();
    let Some(mut work) = SharedWork::without_broker_or_skip("demo-relay-late", &sim, 3) else { return };
    let member = work.start("host-a");
    let unready = eventually("an answer", || member.readyz().filter(|answer| answer.body.contains("is not connected")));
    assert_eq!(unready.status, 503);
    assert!(unready.body.contains(&work.nats.url()), "{}", unready.body);
    work.nats.start_again();
    work.wait_for_writes_after(&work.tenants, SystemTime::UNIX_EPOCH);
    eventually("it is ready", || member.readyz().filter(|answer| answer.status == 200));
}

#[test]
fn a_worker_that_is_stopped_gives_its_tenants_to_the_others() {
    let sim = sim();
    let Some(work) = SharedWork::or_skip("demo-relay-leave", &sim, 12) else { return };
    let [first, second] = ["host-a", "host-b"].map(|name| work.start(name));
    let places = work.wait_for_spread(&[&first, &second]);
    work.wait_for_writes_after(&work.tenants, SystemTime::UNIX_EPOCH);
    let moved: Vec<String> =
        places.iter().filter(|(_, place)| **place == second.name).map(|(id, _)| id.clone()).collect();

    let stopped = SystemTime::now();
    second.running.signal("TERM");
    let ended = second.running.wait();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let taken_over = |tenant: &String| {
        let heartbeat = work.heartbeat(tenant)?;
        assert_ne!(heartbeat["status"]["stringValue"], "stopped", "the tenant lives on elsewhere");
        (heartbeat["instance_id"]["stringValue"] == first.name.as_str()).then_some(())
    };
    for tenant in &moved {
        eventually("the new owner's heartbeat", || taken_over(tenant));
    }
    work.wait_for_writes_after(&moved, stopped);

    // The last worker says that ingest has stopped.
    first.running.signal("TERM");
    let ended = first.running.wait();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    for tenant in &work.tenants {
        assert_eq!(work.heartbeat(tenant).unwrap()["status"]["stringValue"], "stopped");
    }
}

#[test]
fn a_worker_needs_no_key_and_a_reader_writes_nothing() {
    let sim = sim();
    let Some(work) = SharedWork::or_skip("demo-relay-roles", &sim, 4) else { return };
    let reader = work.start_with("reader", |command| command.env("QUOTEGATE_RUN__ROLE", "reader"));
    let worker = work.start_with("worker", |command| {
        command.env("QUOTEGATE_RUN__ROLE", "worker").env_remove("ALPACA_KEY_ID").env_remove("ALPACA_SECRET_KEY")
    });
    work.wait_for_spread(&[&worker]);
    work.wait_for_writes_after(&work.tenants, SystemTime::UNIX_EPOCH);
    let state = eventually("the reader's state", || reader.state());
    assert_eq!((&state["tenant_count"], &state["lease"]["held"]), (&0.into(), &true.into()), "{state}");
    for member in [&reader, &worker] {
        eventually("it is ready", || member.readyz().filter(|answer| answer.status == 200));
    }
    assert_eq!(worker.state().unwrap()["relay"]["reader"]["instance"], "reader");
}

#[test]
fn a_new_reader_that_has_no_quote_yet_takes_no_heartbeat_back() {
    let sim = Sim::quiet();
    let Some(work) = SharedWork::or_skip("demo-relay-heartbeat", &sim, 1) else { return };
    let start = |name: &str, role: &str| {
        work.start_with(name, |command| {
            command.env("QUOTEGATE_RUN__ROLE", role).env("QUOTEGATE_FEED__CALENDAR", "always")
        })
    };
    let (first, worker) = (start("first", "reader"), start("worker", "worker"));
    let began = SystemTime::now();
    reader_heard_by(&worker, "first");
    let heartbeat = |of: &str| work.heartbeat("t00").map(|fields| time(&fields[of]["timestampValue"]));
    let before = eventually("the time of a quote in the heartbeat", || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
        sim.send("SPY", &Quote { bid_price: 1.0, ask_price: 2.0, event_time: now, ..Quote::default() });
        heartbeat("ts").filter(|ts| *ts > began)
    });
    let second = start("second", "reader");
    first.running.signal("TERM");
    assert_eq!(first.running.wait().code, 0);
    reader_heard_by(&worker, "second");
    let heard = SystemTime::now();
    eventually("a heartbeat after that", || heartbeat("updated_at").filter(|written| *written > heard));
    assert!(heartbeat("ts").unwrap() >= before);
    drop(second);
}

fn reader_heard_by(worker: &Member, name: &str) {
    eventually("the reader", || (worker.state()?["relay"]["reader"]["instance"] == name).then_some(()));
}

#[test]
fn without_a_relay_nobody_is_asked() {
    let sim = sim();
    let Some(cluster) = Cluster::or_skip("demo-relay-none", &sim) else { return };
    // Where a broker would be by default.
    let broker = TcpListener::bind("127.0.0.1:4222").ok();
    let member = cluster.start("host-a");
    cluster.wait_for_write_after(SystemTime::UNIX_EPOCH);
    let state = member.state().unwrap();
    assert!(state.get("relay").is_none() && state.get("shards").is_none(), "{state}");
    assert!(!has_relay_thread(&member));
    if let Some(broker) = broker {
        broker.set_nonblocking(true).unwrap();
        assert_eq!(broker.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
    assert_eq!(cluster.emulator.documents(cluster.project, "ops").len(), 1, "the lease, and nothing of shards");
}

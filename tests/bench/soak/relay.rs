//! A reader, one that waits to be the reader, and three workers. Each minute one of them is killed, stopped or frozen, or the
//! broker is killed or frozen.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use quotegate_test_support::NatsServer;

use crate::MINUTE;
use crate::cluster::{Cluster, End, Host, watch_pauses};
use crate::harness::eventually;
use crate::testbed::{Metrics, SYMBOLS};

const ROLES: [&str; 5] = ["reader", "reader", "worker", "worker", "worker"];
/// As many as there are by default.
const SHARDS: f64 = 64.0;
const TENANTS: usize = 12;

const RECEIVED: &str = "quotegate_relay_received_quotes_total";

fn hosts_of<'c>(cluster: &'c Cluster, role: &str) -> Vec<&'c Host> {
    cluster.hosts.iter().filter(|host| host.role == role).collect()
}

fn metrics_of(cluster: &Cluster, role: &str) -> Option<Vec<Metrics>> {
    hosts_of(cluster, role).into_iter().map(Host::metrics).collect()
}

/// Waits until one of the readers is the reader, each tenant runs on one worker, and the worker writes it.
fn wait_until_all_is_well(cluster: &Cluster) {
    eventually("one reader", || {
        let owners = metrics_of(cluster, "reader")?.iter().filter(|of| of.get("quotegate_lease_owner") == 1.0).count();
        assert!(owners <= 1, "several readers");
        (owners == 1).then_some(())
    });
    let workers = eventually("every tenant runs on one worker", || {
        let workers = metrics_of(cluster, "worker")?;
        let shards: Vec<f64> = workers.iter().map(|of| of.get("quotegate_shards_held")).collect();
        let is_even = shards.iter().sum::<f64>() == SHARDS && shards.iter().all(|held| *held >= (SHARDS / 3.0).floor());
        let is_connected = workers.iter().all(|of| of.get("quotegate_relay_connected") == 1.0);
        let tenants: Vec<String> = workers.iter().flat_map(Metrics::tenants).collect();
        let are_all = tenants.len() == TENANTS && cluster.tenants.iter().all(|tenant| tenants.contains(tenant));
        (is_even && is_connected && are_all).then_some(workers)
    });
    let written: BTreeMap<String, f64> = written(&workers).collect();
    eventually("each of them is written", || {
        let now: BTreeMap<String, f64> = self::written(&metrics_of(cluster, "worker")?).collect();
        let goes_on = |(tenant, before): (&String, &f64)| now.get(tenant).is_some_and(|now| *now > *before + 10.0);
        written.iter().all(goes_on).then_some(())
    });
}

/// The writes of each tenant on its worker.
fn written(workers: &[Metrics]) -> impl Iterator<Item = (String, f64)> {
    let of =
        |of: &Metrics| of.tenants().into_iter().map(|id| (id.clone(), of.of(&id, "writes_total"))).collect::<Vec<_>>();
    workers.iter().flat_map(of).collect::<Vec<_>>().into_iter()
}

/// Ends one of the processes. Returns what happened.
fn end_one(cluster: &mut Cluster, rng: &mut Rng) -> (String, String) {
    let victim = rng.usize(0..ROLES.len() + 2);
    if victim >= ROLES.len() {
        let nats = cluster.nats.as_mut().unwrap();
        let duration = Duration::from_secs(rng.u64(1..10));
        let end = if rng.bool() {
            nats.kill();
            thread::sleep(duration);
            nats.start_again();
            "Killed"
        } else {
            nats.freeze();
            thread::sleep(duration);
            nats.thaw();
            "Frozen"
        };
        return ("broker".to_owned(), format!("{end}({duration:?})"));
    }
    let host = &cluster.hosts[victim];
    let is_reader = host.is_owner();
    let role = if is_reader || host.role == "worker" { host.role } else { "standby" };
    let (name, end) = (format!("{}, {role}", host.name), End::random(rng));
    let unflushed = cluster.end(victim, end);
    (name, if unflushed == 0 { format!("{end:?}") } else { format!("{end:?}, {unflushed} not flushed") })
}

pub(crate) fn run(minutes: usize) {
    let nats = NatsServer::start().expect("a NATS server");
    let tenants = (0..TENANTS).map(|number| format!("tenant-{number}")).collect();
    let mut cluster = Cluster::start(tenants, &ROLES, Some(nats));
    let mut rng = Rng::with_seed(21);
    wait_until_all_is_well(&cluster);
    let pauses = watch_pauses(cluster.ledger.clone());
    println!(
        "| minute | process | | all is well after | longest pause of documents | documents | gaps | snapshots | old | backwards |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for minute in 1..=minutes {
        let began = Instant::now();
        hosts_of(&cluster, "worker").into_iter().for_each(Host::wait_until_quotes_add_up);
        pauses.store(0, Relaxed);
        let (process, end) = end_one(&mut cluster, &mut rng);
        let ended = Instant::now();
        wait_until_all_is_well(&cluster);
        let well = ended.elapsed().as_secs_f64();
        let workers = eventually("their numbers", || metrics_of(&cluster, "worker"));
        let sum = |name: &str| workers.iter().map(|of| of.all(name)).sum::<f64>();
        println!(
            "| {minute} | {process} | {end} | {well:.1} s | {:.2} s | {} | {} | {} | {} | {} |",
            pauses.load(Relaxed) as f64 / 1000.0,
            cluster.ledger.writes(),
            sum("quotegate_relay_gaps_total"),
            sum("quotegate_relay_snapshots_total"),
            sum("quotegate_relay_dropped_quotes_total{reason=\"old\"}"),
            cluster.ledger.reversed(),
        );
        thread::sleep(MINUTE.saturating_sub(began.elapsed()));
    }
    let mut before = Vec::new();
    cluster.send_last_quotes(|cluster| before = received(cluster));
    let passed: Vec<f64> = received(&cluster).iter().zip(&before).map(|(now, before)| now - before).collect();
    // A worker's shards may have no tenants, and then it gets no quotes.
    let wants = |of: &Metrics| if of.tenants().is_empty() { 0.0 } else { f64::from(SYMBOLS) };
    let wanted: Vec<f64> = eventually("their tenants", || metrics_of(&cluster, "worker")).iter().map(wants).collect();
    assert_eq!(passed, wanted, "received by each worker");
    assert_eq!(cluster.ledger.reversed(), 0, "documents went backwards");
    println!(
        "{} documents; every quote of every worker that still runs is accounted for, no document went backwards, every last quote \
         came once to every worker with tenants and is in the documents of all {TENANTS} tenants",
        cluster.ledger.writes()
    );
    cluster.stop();
}

/// The quotes that each worker has received so far.
fn received(cluster: &Cluster) -> Vec<f64> {
    let still = || Some(metrics_of(cluster, "worker")?.iter().map(|of| of.get(RECEIVED)).collect::<Vec<f64>>());
    // What is on its way arrives within moments.
    eventually("quotes have stopped", || {
        let before = still()?;
        thread::sleep(Duration::from_secs(2));
        still().filter(|now| *now == before)
    })
}

//! Several hosts with one lease. Each minute one of them, mostly the owner, is killed, stopped or frozen.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use fastrand::Rng;

use crate::MINUTE;
use crate::cluster::{Cluster, End, Host, watch_pauses};
use crate::testbed::TENANTS;

pub(crate) fn run(hosts: usize, minutes: usize) {
    let mut cluster = Cluster::start(TENANTS.map(str::to_owned).to_vec(), &vec!["all"; hosts], None);
    let mut rng = Rng::with_seed(20);
    let mut owner = cluster.wait_for_owner();
    let pauses = watch_pauses(cluster.ledger.clone());
    println!("| minute | host | | longest pause of documents | documents | not flushed | backwards |");
    println!("|---|---|---|---|---|---|---|");
    for minute in 1..=minutes {
        let began = Instant::now();
        cluster.hosts.iter().for_each(Host::wait_until_quotes_add_up);
        let at = if rng.u8(0..4) > 0 { owner } else { rng.usize(0..hosts) };
        let (name, role) = (cluster.hosts[at].name.clone(), if at == owner { "owner" } else { "standby" });
        let end = End::random(&mut rng);
        pauses.store(0, Relaxed);
        let unflushed = cluster.end(at, end);
        owner = cluster.wait_for_owner();
        println!(
            "| {minute} | {name}, {role} | {end:?} | {:.2} s | {} | {unflushed} | {} |",
            pauses.load(Relaxed) as f64 / 1000.0,
            cluster.ledger.writes(),
            cluster.ledger.reversed(),
        );
        std::thread::sleep(MINUTE.saturating_sub(began.elapsed()));
    }
    cluster.send_last_quotes(|_| {});
    assert!(cluster.hosts[owner].is_owner(), "the owner has changed by itself");
    assert_eq!(cluster.ledger.reversed(), 0, "documents went backwards");
    println!(
        "{} documents; every quote of every host that still runs is accounted for, no document went backwards, every last \
         quote is written",
        cluster.ledger.writes()
    );
    cluster.stop();
}

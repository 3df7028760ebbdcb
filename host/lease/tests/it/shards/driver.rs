use std::sync::Arc;
use std::time::Duration;

use quotegate_lease::Clock;
use tokio::time::sleep;

use super::instance::{Instance, until_all_are_served};
use super::memory::MemoryShardStore;
use crate::memory::{MemoryStore, tokio_clock};

struct Cluster {
    clock: Clock,
    lease: MemoryStore,
    shards: MemoryShardStore,
    started: usize,
}

impl Cluster {
    fn new() -> Self {
        Self { clock: tokio_clock(), lease: MemoryStore::new(), shards: MemoryShardStore::new(), started: 0 }
    }

    fn start(&mut self) -> Instance {
        self.started += 1;
        let name = format!("host-{}", self.started);
        Instance::start(&name, &self.clock, Arc::new(self.lease.clone()), Arc::new(self.shards.clone()))
    }
}

/// Also if the dead one is the coordinator, which happens in about a third of the rounds.
#[tokio::test(start_paused = true)]
async fn a_dead_workers_shards_are_served_within_four_seconds_and_a_leaving_ones_within_half_a_second() {
    let mut cluster = Cluster::new();
    let mut instances: Vec<Instance> = (0..3).map(|_| cluster.start()).collect();
    until_all_are_served(&instances).await;
    for round in 0..40 {
        // At any phase of the renewals.
        sleep(Duration::from_millis(fastrand::u64(1000..3000))).await;
        let ends = instances.swap_remove(fastrand::usize(0..3));
        let coordinated = ends.coordinates();
        let limit = if round % 2 == 0 {
            ends.kill().await;
            Duration::from_secs(4)
        } else {
            ends.leave().await;
            Duration::from_millis(500)
        };
        let took = until_all_are_served(&instances).await;
        assert!(took < limit, "round {round}: {took:?}, coordinator: {coordinated}");
        instances.push(cluster.start());
        let took = until_all_are_served(&instances).await;
        assert!(took < Duration::from_millis(500) || coordinated, "round {round}: joined after {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_cluster_moves_nothing_and_says_who_has_what() {
    let mut cluster = Cluster::new();
    let instances: Vec<Instance> = (0..3).map(|_| cluster.start()).collect();
    until_all_are_served(&instances).await;
    sleep(Duration::from_secs(1)).await;
    let before: Vec<_> = instances.iter().map(|instance| instance.handle().snapshot()).collect();
    let (written, revision) = cluster.shards.writes();
    for _ in 0..3600 {
        sleep(Duration::from_secs(1)).await;
        assert!(instances.iter().all(|instance| instance.handle().may_write()));
    }
    let after: Vec<_> = instances.iter().map(|instance| instance.handle().snapshot()).collect();
    assert_eq!(before, after);
    let (writes, same) = cluster.shards.writes();
    assert_eq!(same, revision);
    assert!((3500 * 3..=3600 * 3).contains(&(writes - written)), "one renewal per second: {}", writes - written);
    for snapshot in &after {
        assert_eq!((snapshot.workers.len(), snapshot.unassigned, &snapshot.problem), (3, 0, &None));
        assert_eq!(snapshot.workers.iter().map(|worker| worker.shards.len()).sum::<usize>(), 64);
        let own = snapshot.workers.iter().find(|worker| worker.is_self).unwrap();
        assert_eq!((&own.shards, &snapshot.holds), (&snapshot.assigned, &snapshot.assigned));
    }
    assert_eq!(after.iter().filter(|snapshot| snapshot.coordinates).count(), 1);
}

/// The coordinator has heard nothing for a while either, so it must not take that for silence of the workers.
#[tokio::test(start_paused = true)]
async fn when_the_database_is_back_after_an_outage_every_worker_still_has_its_shards() {
    let mut cluster = Cluster::new();
    let instances: Vec<Instance> = (0..3).map(|_| cluster.start()).collect();
    until_all_are_served(&instances).await;
    for _ in 0..10 {
        sleep(Duration::from_millis(fastrand::u64(1000..3000))).await;
        let before: Vec<_> = instances.iter().map(Instance::served).collect();
        cluster.shards.set_down(true);
        sleep(Duration::from_secs(30)).await;
        assert!(instances.iter().all(|instance| instance.served().is_empty()));
        assert!(instances.iter().all(|instance| instance.handle().snapshot().problem.is_some()));
        cluster.shards.set_down(false);
        let took = until_all_are_served(&instances).await;
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert_eq!(instances.iter().map(Instance::served).collect::<Vec<_>>(), before);
        sleep(Duration::from_secs(10)).await;
        assert!(instances.iter().all(|instance| instance.handle().snapshot().problem.is_none()));
    }
}

#[tokio::test(start_paused = true)]
async fn leases_of_workers_that_are_gone_are_forgotten_after_an_hour() {
    let mut cluster = Cluster::new();
    let instances = vec![cluster.start()];
    until_all_are_served(&instances).await;
    for _ in 0..5 {
        let other = cluster.start();
        sleep(Duration::from_secs(1)).await;
        other.kill().await;
    }
    sleep(Duration::from_secs(3500)).await;
    assert_eq!(cluster.shards.leases(), 6);
    sleep(Duration::from_secs(150)).await;
    assert_eq!(cluster.shards.leases(), 1);
}

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use quotegate_lease::{
    Assignment, Expected, FirestoreLeaseStore, FirestoreShardStore, InstanceRole, LeaseStore, Part, Record, ShardStore,
    StoreError, StoredAssignment, WorkerState, boot_clock,
};
use quotegate_sink::FirestoreSettings;
use tokio::time::{sleep, timeout};

use super::instance::{Instance, until_all_are_served};
use crate::emulator::{LIMIT, record, settings};

fn worker(held: impl IntoIterator<Item = u16>) -> Record {
    let state = WorkerState {
        role: InstanceRole::Worker,
        shards: 64,
        revision: 7,
        held: held.into_iter().collect(),
        is_leaving: false,
    };
    Record { worker: Some(state), ..record(1, 0) }
}

#[tokio::test]
async fn workers_and_the_assignment_are_read_and_heard_as_they_were_written() {
    let Some(settings) = settings("demo-shards-documents") else { return };
    let store = FirestoreShardStore::new(&settings, "iex");
    let (mut workers, mut assignments) = (store.worker_changes(), store.assignment_changes());
    assert_eq!(timeout(LIMIT, workers.next()).await.unwrap(), Some(Ok(BTreeMap::new())));
    assert_eq!(timeout(LIMIT, assignments.next()).await.unwrap(), Some(Ok(None)));
    assert_eq!(store.assignment(LIMIT).await, Ok(None));

    let lease = store.worker("a1");
    let first = lease.write(&worker([3, 63]), Expected::Absent, LIMIT).await.unwrap();
    let heard = timeout(LIMIT, workers.next()).await.unwrap().unwrap().unwrap();
    assert_eq!((&heard["a1"].record, heard["a1"].version), (&worker([3, 63]), first));
    let second = lease.write(&worker([]), Expected::Version(first), LIMIT).await.unwrap();
    let heard = timeout(LIMIT, workers.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(heard["a1"].record, worker([]));
    assert_eq!(store.workers(LIMIT).await, Ok(heard));
    let late = lease.write(&worker([]), Expected::Version(first), LIMIT).await;
    assert_eq!(late, Err(StoreError::Conflict));
    lease.write(&record(2, 0), Expected::Version(second), LIMIT).await.unwrap();
    assert_eq!(store.workers(LIMIT).await, Ok(BTreeMap::new()), "it is no worker's lease any more");
    assert_eq!(timeout(LIMIT, workers.next()).await.unwrap(), Some(Ok(BTreeMap::new())));

    let part = Part {
        instance: "host-a".into(),
        address: Some("10.0.0.5:8700".into()),
        owned: [0, 1].into(),
        gives_up: [2].into(),
        since: 4,
    };
    let parts = [("a1".to_owned(), part)].into();
    let assignment = Assignment { revision: 5, shards: 3, coordinator: "host-b".into(), parts };
    let version = store.write_assignment(&assignment, Expected::Absent, LIMIT).await.unwrap();
    let stored = Some(StoredAssignment { assignment: assignment.clone(), version });
    assert_eq!(timeout(LIMIT, assignments.next()).await.unwrap(), Some(Ok(stored.clone())));
    assert_eq!(store.assignment(LIMIT).await, Ok(stored));
    let again = store.write_assignment(&assignment, Expected::Absent, LIMIT).await;
    assert_eq!(again, Err(StoreError::Conflict));
}

fn start(name: &str, settings: &FirestoreSettings) -> Instance {
    let lease: Arc<dyn LeaseStore> = Arc::new(FirestoreLeaseStore::new(settings, "iex"));
    Instance::start(name, &boot_clock(), lease, Arc::new(FirestoreShardStore::new(settings, "iex")))
}

/// How long it takes is printed: `tests/it/full` and virtual time check it.
#[tokio::test]
async fn shards_of_dead_leaving_and_joining_instances_move_to_where_they_belong() {
    let Some(settings) = settings("demo-shards-moves") else { return };
    let mut instances: Vec<Instance> = ["a", "b", "c"].iter().map(|name| start(name, &settings)).collect();
    println!("three instances started: {:?}", until_all_are_served(&instances).await);
    for (round, polite) in [false, true, false, true].into_iter().enumerate() {
        sleep(Duration::from_millis(1500)).await;
        // The coordinator, then a worker that is not.
        let at = instances.iter().position(|instance| instance.coordinates() == (round < 2)).unwrap();
        let ends = instances.swap_remove(at);
        let began = tokio::time::Instant::now();
        if polite {
            ends.leave().await;
        } else {
            ends.kill().await;
        }
        until_all_are_served(&instances).await;
        println!("coordinator: {}, polite: {polite}: {:?}", round < 2, began.elapsed());
        instances.push(start(&format!("d{round}"), &settings));
        println!("one more instance: {:?}", until_all_are_served(&instances).await);
    }
}

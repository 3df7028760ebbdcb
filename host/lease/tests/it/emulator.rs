use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use quotegate_lease::{
    Expected, FirestoreLeaseStore, Holder, HostReport, HostReports, HostRole, Lease, LeaseSettings, LeaseStore, Record,
    StoreError, boot_clock,
};
use quotegate_sink::{FirestoreSettings, WriteMode};
use quotegate_test_support::SHARED_EMULATOR;
use tokio::time::{sleep, timeout};

/// No test may depend on how fast the machine is.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn settings(project: &str) -> Option<FirestoreSettings> {
    let emulator = SHARED_EMULATOR.as_ref()?;
    Some(FirestoreSettings {
        project_id: Some(project.to_owned()),
        database_id: "(default)".into(),
        emulator_host: Some(emulator.host()),
        credentials_file: None,
        request_timeout: LIMIT,
        mode: WriteMode::Merge,
    })
}

pub(crate) fn record(epoch: u64, renewals: u64) -> Record {
    Record {
        owner: Some("host-a".into()),
        session: "1f".into(),
        epoch,
        renewals,
        ttl: Duration::from_secs(3),
        address: None,
        version: "0.1.0".into(),
        since: 1_700_000_000_000_000_000,
        worker: None,
    }
}

#[tokio::test]
async fn a_write_replaces_only_the_version_that_it_names() {
    let Some(settings) = settings("demo-lease-cas") else { return };
    let store = FirestoreLeaseStore::new(&settings, "iex");
    assert_eq!(LeaseStore::read(&store, LIMIT).await, Ok(None));
    let first = LeaseStore::write(&store, &record(1, 0), Expected::Absent, LIMIT).await.unwrap();
    assert_eq!(LeaseStore::write(&store, &record(1, 0), Expected::Absent, LIMIT).await, Err(StoreError::Conflict));
    let second = LeaseStore::write(&store, &record(1, 1), Expected::Version(first), LIMIT).await.unwrap();
    let late = LeaseStore::write(&store, &record(2, 0), Expected::Version(first), LIMIT).await;
    assert_eq!(late, Err(StoreError::Conflict));
    let stored = LeaseStore::read(&store, LIMIT).await.unwrap().unwrap();
    assert_eq!((stored.record, stored.version), (record(1, 1), second));
}

#[tokio::test]
async fn listeners_get_the_document_as_it_is_and_each_change() {
    let Some(settings) = settings("demo-lease-listen") else { return };
    let store = FirestoreLeaseStore::new(&settings, "iex");
    let mut changes = store.changes();
    // The emulator has ended a stream with bytes that are no message. Another one begins with the document as it is.
    let mut ended = 0;
    let mut next = async || loop {
        match timeout(LIMIT, changes.next()).await.unwrap().unwrap() {
            Ok(document) => break document,
            Err(error) => {
                ended += 1;
                assert!(ended < 3, "{error}");
                changes = store.changes();
            }
        }
    };
    assert_eq!(next().await, None);
    let mut seen = None;
    for renewals in 0..3 {
        let expected = seen.map_or(Expected::Absent, Expected::Version);
        let version = LeaseStore::write(&store, &record(1, renewals), expected, LIMIT).await.unwrap();
        let change = loop {
            let document = next().await;
            if document.as_ref().map(|document| document.version) != seen {
                break document.unwrap();
            }
        };
        assert_eq!((change.record.renewals, change.version), (renewals, version));
        seen = Some(version);
    }
}

#[tokio::test]
async fn a_released_lease_is_taken_by_exactly_one_of_the_others() {
    let Some(settings) = settings("demo-lease-elections") else { return };
    let ttl = Duration::from_secs(10);
    let start = |name: usize| {
        let holder = Holder::new(format!("host-{name}"), None, "1".into());
        let store = FirestoreLeaseStore::new(&settings, "iex");
        Lease::start(LeaseSettings { holder, ttl, clock: boot_clock() }, Arc::new(store))
    };
    let mut contenders: Vec<Lease> = (0..4).map(start).collect();
    for epoch in 1..=4 {
        let deadline = Instant::now() + LIMIT;
        let winner = loop {
            let owners: Vec<usize> = (0..contenders.len()).filter(|at| contenders[*at].handle().is_held()).collect();
            assert!(owners.len() <= 1 && Instant::now() < deadline);
            match owners.first() {
                Some(winner) => break *winner,
                None => sleep(Duration::from_millis(5)).await,
            }
        };
        assert_eq!(contenders[winner].handle().snapshot().epoch, epoch);
        let owner = contenders.swap_remove(winner);
        assert!(owner.handle().release(LIMIT).await);
        owner.end().await;
    }
}

#[tokio::test]
async fn hosts_see_each_others_reports() {
    let Some(settings) = settings("demo-lease-hosts") else { return };
    let reports = HostReports::new(&settings);
    assert_eq!(reports.list().await, Ok(vec![]));
    let report = |instance: &str, role| HostReport {
        worker: None,
        instance: instance.to_owned(),
        role,
        feed: "iex".into(),
        epoch: 7,
        problem: None,
        address: Some("10.0.0.5:8700".into()),
        version: "0.1.0".into(),
        started: 1_700_000_000_000_000_000,
    };
    reports.write(&report("host-a", HostRole::Standby)).await.unwrap();
    reports.write(&report("host/b", HostRole::Standby)).await.unwrap();
    reports.write(&report("host-a", HostRole::Owner)).await.unwrap();
    let hosts = reports.list().await.unwrap();
    let found: Vec<HostReport> = hosts.iter().map(|host| host.report.clone()).collect();
    assert_eq!(found, [report("host-a", HostRole::Owner), report("host/b", HostRole::Standby)]);
    assert!(hosts.iter().all(|host| host.age_seconds < LIMIT.as_secs_f64()));
}

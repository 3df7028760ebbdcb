//! Several writers of one document: in Google's emulator, and in a Firestore that applies requests late.

use crate::common;
use crate::log;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use common::{Harness, LIMIT, document, firestore, settings};
use quotegate_document::{FieldPath, Value};
use quotegate_sink::{
    BatcherSettings, DocumentRead, DocumentReader, FenceSettings, FirestoreSink, Heartbeats, Outcome, RetryReason,
    TenantDocument, WriteMode,
};
use quotegate_test_support::{Act, Emulator, FakeFirestore, SHARED_EMULATOR};
use serde_json::{Value as Json, json};

const UNAVAILABLE: i32 = 14;
const SPY: &str = "tenants/acme/live_quotes/SPY";

/// A quote of this exchange time, in microseconds.
fn quote(id: &str, time: i64) -> TenantDocument {
    document("acme", id, [("bid", Value::Double(time as f64)), ("ts", Value::Timestamp(1000 * time))])
}

fn timestamp(time: i64) -> Json {
    json!({"timestampValue": format!("1970-01-01T00:00:00.{time:06}Z")})
}

async fn open(host: String, project: &str) -> Harness {
    let sink = firestore(host, project, WriteMode::Merge, LIMIT).await;
    Harness::fenced(sink, settings(), FenceSettings::default())
}

/// Writes a quote until it is settled, and gives the last outcome.
async fn settle(host: &mut Harness, quote: TenantDocument) -> Outcome {
    host.until_settled(&[quote]).await.pop().unwrap().into_values().next().unwrap()
}

async fn stored_time(sink: &FirestoreSink) -> Option<i64> {
    let (target, ts) = (quote("SPY", 0), FieldPath::literal("ts"));
    let read = DocumentRead { target: &target, order_field: Some(&ts) };
    sink.read(&[read]).await.pop().unwrap().unwrap().order
}

fn field(emulator: &Emulator, project: &str, name: &str) -> Json {
    emulator.document(project, SPY).unwrap()["fields"][name].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_that_write_one_document_never_move_it_backwards() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let project = "demo-fence-race";
    let (clock, stop) = (Arc::new(AtomicI64::new(1)), Arc::new(AtomicBool::new(false)));
    let mut hosts = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let (clock, mut host) = (clock.clone(), open(emulator.host(), project).await);
        hosts.spawn(async move {
            for _ in 0..150 {
                // Both take their time from the exchange, but one may take long to write it.
                let time = clock.fetch_add(1, Relaxed);
                tokio::task::yield_now().await;
                settle(&mut host, quote("SPY", time)).await;
            }
            host.close().await
        });
    }
    let reader = tokio::spawn({
        let (sink, stop) = (firestore(emulator.host(), project, WriteMode::Merge, LIMIT).await, stop.clone());
        async move {
            let mut last = None;
            while !stop.load(Relaxed) {
                let time = stored_time(&sink).await;
                assert!(time >= last, "backwards from {last:?} to {time:?}");
                last = time;
            }
            stored_time(&sink).await
        }
    });
    let statuses = hosts.join_all().await;
    stop.store(true, Relaxed);
    // Whichever host had the newest quote wrote it.
    assert_eq!(reader.await.unwrap(), Some(300));
    assert!(statuses.iter().map(|status| status.conflicts).sum::<u64>() > 0, "they never met: {statuses:?}");
}

#[tokio::test]
async fn an_application_that_writes_into_a_document_costs_a_read_and_loses_nothing() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let (project, lines) = ("demo-fence-foreign", log::capture());
    let sink = firestore(emulator.host(), project, WriteMode::Merge, LIMIT).await;
    let mut host = Harness::fenced(sink, settings(), FenceSettings::default());
    let of_tenant =
        |time| TenantDocument { tenant: quotegate_document::TenantId::new("foreign").unwrap(), ..quote("SPY", time) };
    let path = "tenants/foreign/live_quotes/SPY";
    assert_eq!(settle(&mut host, of_tenant(1)).await, Outcome::Written);
    for time in 2..5 {
        emulator.set(project, path, &json!({"ts": timestamp(time - 1), "note": {"stringValue": "mine"}}));
        assert_eq!(settle(&mut host, of_tenant(time)).await, Outcome::Written);
    }
    let fields = emulator.document(project, path).unwrap()["fields"].clone();
    assert_eq!((&fields["note"], &fields["bid"]), (&json!({"stringValue": "mine"}), &json!({"doubleValue": 4.0})));
    let status = host.close().await;
    assert_eq!((status.conflicts, status.foreign_writes, status.read, status.written), (3, 3, 4, 4));
    let named: Vec<_> = lines.of("foreign").into_iter().filter(|line| line.contains("also writes")).collect();
    assert!(named.len() == 1 && named[0].contains(path), "{named:?}");
}

#[tokio::test]
async fn a_deleted_document_is_written_again() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let project = "demo-fence-deleted";
    let mut host = open(emulator.host(), project).await;
    settle(&mut host, quote("SPY", 5)).await;
    let url = format!("/v1/projects/{project}/databases/(default)/documents/{SPY}");
    assert_eq!(emulator.request_status("DELETE", &url, Some("owner"), ""), 200);
    assert_eq!(settle(&mut host, quote("SPY", 6)).await, Outcome::Written);
    assert_eq!(field(emulator, project, "bid"), json!({"doubleValue": 6.0}));
    host.close().await;
}

#[tokio::test]
async fn what_a_backup_brings_back_is_overwritten_if_older_and_stays_if_newer() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let project = "demo-fence-restored";
    let mut host = open(emulator.host(), project).await;
    settle(&mut host, quote("SPY", 50)).await;
    emulator.set(project, SPY, &json!({"ts": timestamp(1)}));
    assert_eq!(settle(&mut host, quote("SPY", 51)).await, Outcome::Written);
    emulator.set(project, SPY, &json!({"ts": timestamp(100)}));
    assert_eq!(settle(&mut host, quote("SPY", 60)).await, Outcome::Older);
    assert_eq!(field(emulator, project, "ts"), timestamp(100));
    // It is known by now, so nothing is read again.
    assert_eq!(settle(&mut host, quote("SPY", 70)).await, Outcome::Older);
    assert_eq!(settle(&mut host, quote("SPY", 101)).await, Outcome::Written);
    let status = host.close().await;
    assert_eq!((status.older, status.conflicts, status.foreign_writes, status.read), (2, 2, 1, 3));
}

#[tokio::test]
async fn a_host_that_starts_leaves_newer_documents_as_they_are() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let project = "demo-fence-start";
    let mut first = open(emulator.host(), project).await;
    settle(&mut first, quote("SPY", 9)).await;
    let mut second = open(emulator.host(), project).await;
    assert_eq!(settle(&mut second, quote("SPY", 8)).await, Outcome::Older);
    // The quote that is stored already is not written again.
    assert_eq!(settle(&mut second, quote("SPY", 9)).await, Outcome::Older);
    assert_eq!(settle(&mut second, quote("SPY", 10)).await, Outcome::Written);
    assert_eq!(settle(&mut first, quote("SPY", 9)).await, Outcome::Older);
    assert_eq!(field(emulator, project, "bid"), json!({"doubleValue": 10.0}));
    first.close().await;
    second.close().await;
}

#[tokio::test]
async fn a_request_that_is_applied_after_it_was_given_up_neither_goes_back_nor_hides_the_last_word() {
    let late = || Act::Delay(Duration::from_secs(2), Box::new(Act::Write));
    let server = FakeFirestore::start(move |arrival| if arrival.earlier == 0 { late() } else { Act::Write }).await;
    let sink = firestore(server.host(), "demo-late", WriteMode::Merge, Duration::from_secs(1)).await;
    let mut host = Harness::fenced(sink, settings(), FenceSettings::default());
    let timed_out = Outcome::retry(RetryReason::DeadlineExceeded);
    assert_eq!(host.round(&[quote("SPY", 1)]).await.into_values().next(), Some(timed_out));
    assert_eq!(settle(&mut host, quote("SPY", 2)).await, Outcome::Written);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(server.time(SPY, "ts"), Some(2000));
    assert_eq!(settle(&mut host, quote("SPY", 3)).await, Outcome::Written);
    host.close().await;
    assert_eq!(server.time(SPY, "ts"), Some(3000));
}

#[tokio::test]
async fn when_a_request_without_an_answer_was_applied_its_retry_is_written_on_top() {
    let server = FakeFirestore::start(|arrival| if arrival.earlier == 0 { Act::LoseAnswer } else { Act::Write }).await;
    let sink = firestore(server.host(), "demo-lost", WriteMode::Merge, Duration::from_secs(1)).await;
    let mut host = Harness::fenced(sink, settings(), FenceSettings::default());
    host.round(&[quote("SPY", 1)]).await;
    // Two quotes of one time: the later one stays.
    let later = document("acme", "SPY", [("bid", Value::Null), ("ts", Value::Timestamp(1000))]);
    assert_eq!(settle(&mut host, later).await, Outcome::Written);
    let status = host.close().await;
    assert_eq!((status.conflicts, status.foreign_writes, status.read), (1, 0, 2));
    assert_eq!(server.arrivals().len(), 3, "lost, refused, written");
}

#[tokio::test]
async fn each_document_is_read_once_in_batches_and_no_more_in_flight_than_allowed() {
    let server = FakeFirestore::start(|_| Act::Write).await;
    let sink = firestore(server.host(), "demo-reads", WriteMode::Merge, LIMIT).await;
    let mut host = Harness::fenced(sink, settings(), FenceSettings::default());
    let documents = |time| (0..450).map(|number| quote(&format!("D{number}"), time)).collect::<Vec<_>>();
    for time in 1..4 {
        let outcomes = host.round(&documents(time)).await;
        assert!(outcomes.values().all(|outcome| *outcome == Outcome::Written));
    }
    let reads = server.reads();
    assert!(reads.iter().all(|request| request.len() <= 100), "within sink.batch_size");
    let paths: BTreeSet<_> = reads.iter().flatten().collect();
    assert_eq!((paths.len(), reads.iter().map(Vec::len).sum::<usize>()), (450, 450));
    let status = host.close().await;
    assert_eq!((status.read, status.written, status.conflicts), (450, 1350, 0));
}

#[tokio::test]
async fn documents_that_are_known_do_not_wait_for_those_that_are_read() {
    let server = FakeFirestore::start(|_| Act::Write).await;
    for max_in_flight in [2, 4] {
        let sink = firestore(server.host(), &format!("demo-flow-{max_in_flight}"), WriteMode::Merge, LIMIT).await;
        let batches = BatcherSettings { max_in_flight, ..settings() };
        let mut host = Harness::fenced(sink, batches, FenceSettings::default());
        let id = format!("KNOWN{max_in_flight}");
        settle(&mut host, quote(&id, 1)).await;
        server.script_reads(|_| Act::NeverAnswer);
        for number in 0..900 {
            host.send(quote(&format!("UNREAD{max_in_flight}-{number}"), 1)).await;
        }
        for time in 2..20 {
            host.send(quote(&id, time)).await;
            let (path, outcome) = host.answer().await;
            assert_eq!((path, outcome), (format!("tenants/acme/live_quotes/{id}"), Outcome::Written));
        }
        server.script_reads(|_| Act::Write);
    }
}

/// With one request in flight, reads and writes take turns.
#[tokio::test]
async fn neither_reads_nor_writes_starve_with_one_request_in_flight() {
    let server = FakeFirestore::start(|_| Act::Write).await;
    let sink = firestore(server.host(), "demo-turns", WriteMode::Merge, LIMIT).await;
    let batches = BatcherSettings { max_in_flight: 1, batch_size: 1, ..settings() };
    let mut host = Harness::fenced(sink, batches, FenceSettings::default());
    settle(&mut host, quote("KNOWN", 1)).await;
    for number in 0..80 {
        if number == 20 {
            host.send(quote("KNOWN", 2)).await;
        }
        host.send(quote(&format!("D{number}"), 1)).await;
    }
    let mut before = 0;
    while host.answer().await.0 != "tenants/acme/live_quotes/KNOWN" {
        before += 1;
    }
    assert!(before <= 20, "{before} were written before it, of which 20 came before it");
    host.close().await;
}

#[tokio::test]
async fn a_read_that_fails_is_a_reason_to_try_the_write_again() {
    let server = FakeFirestore::start(|_| Act::Write).await;
    server.script_reads(|number| if number == 0 { Act::FailRequest(UNAVAILABLE, "away") } else { Act::Write });
    let mut host = open(server.host(), "demo-unreadable").await;
    let rounds = host.until_settled(&[quote("SPY", 1)]).await;
    let outcomes: Vec<_> = rounds.into_iter().flat_map(|round| round.into_values()).collect();
    assert_eq!(outcomes, [Outcome::retry(RetryReason::Unavailable), Outcome::Written]);
    host.close().await;
}

#[tokio::test]
async fn a_conflict_asks_who_owns_the_document_before_it_is_written_again() {
    let server = FakeFirestore::start(|_| Act::Write).await;
    let owns = Arc::new(AtomicBool::new(true));
    let asked = owns.clone();
    let fence = FenceSettings { ownership: Some(Arc::new(move || asked.load(Relaxed))), ..FenceSettings::default() };
    let sink = firestore(server.host(), "demo-owner", WriteMode::Merge, LIMIT).await;
    let mut host = Harness::fenced(sink, settings(), fence);
    settle(&mut host, quote("SPY", 1)).await;
    owns.store(false, Relaxed);
    // Nobody else has written: the precondition alone protects the document.
    assert_eq!(settle(&mut host, quote("SPY", 2)).await, Outcome::Written);
    server.put(SPY, &[("ts", 2500)]);
    let outcome = host.round(&[quote("SPY", 3)]).await.into_values().next();
    assert_eq!(outcome, Some(Outcome::retry(RetryReason::NotOwner)));
    let outcome = host.round(&[quote("SPY", 3)]).await.into_values().next();
    assert_eq!(outcome, Some(Outcome::retry(RetryReason::NotOwner)), "it asks each time");
    assert_eq!(server.time(SPY, "ts"), Some(2500));
    owns.store(true, Relaxed);
    assert_eq!(settle(&mut host, quote("SPY", 3)).await, Outcome::Written);
    host.close().await;
}

#[tokio::test]
async fn a_document_without_ts_is_ordered_by_the_field_that_the_host_adds() {
    let server = FakeFirestore::start(|_| Act::Write).await;
    let path = "tenants/acme/live_quotes/MID";
    let mid =
        |time: i64| document("acme", "MID", [("ts", Value::Integer(0)), ("host.time", Value::Timestamp(1000 * time))]);
    let order = FieldPath::literal("host.time");
    let (target, read) = (mid(5), firestore(server.host(), "demo-order", WriteMode::Merge, LIMIT).await);
    common::write(&read, std::slice::from_ref(&target)).await;
    let stored =
        read.read(&[DocumentRead { target: &target, order_field: Some(&order) }]).await.pop().unwrap().unwrap();
    assert_eq!(stored.order, Some(5));
    assert!(stored.version.is_some());
    assert_eq!(server.time(path, "ts"), None);
}

#[tokio::test]
async fn what_another_host_has_just_written_is_replaced_when_the_interval_is_over() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let project = "demo-fence-interval";
    let (mut first, mut second) = (open(emulator.host(), project).await, open(emulator.host(), project).await);
    let round = async |host: &mut Harness, time| host.round(&[quote("SPY", time)]).await.into_values().next().unwrap();
    let updated = || {
        let time = emulator.document(project, SPY).unwrap()["updateTime"].as_str().unwrap().to_owned();
        time.parse::<jiff::Timestamp>().unwrap()
    };
    assert_eq!(round(&mut first, 1).await, Outcome::Written);
    let written = updated();
    second.min_interval = Duration::from_secs(2);
    while let Outcome::TooEarly { wait } = round(&mut second, 2).await {
        assert!(wait <= second.min_interval, "{wait:?}");
        tokio::time::sleep(wait).await;
    }
    assert!(updated().duration_since(written).unsigned_abs() >= second.min_interval, "{written} to {}", updated());
    // The other way round, at once.
    first.min_interval = Duration::from_secs(3600);
    let outcome = round(&mut first, 3).await;
    let Outcome::TooEarly { wait } = outcome else { panic!("{outcome:?}") };
    assert!(wait > Duration::from_secs(3000) && wait <= first.min_interval, "{wait:?}");
    assert_eq!(first.status().conflicts, 1, "it did not know of the second host");
    // A document that nobody has written has no interval.
    assert_eq!(first.round(&[quote("NEW", 3)]).await.into_values().next(), Some(Outcome::Written));
}

/// The heartbeat of one host.
fn heartbeat(time: i64) -> Vec<TenantDocument> {
    let fields = [("ts", Value::Timestamp(0)), ("updated_at", Value::Timestamp(1000 * time))];
    vec![document("acme", "HEARTBEAT", fields)]
}

#[tokio::test]
async fn a_host_that_stops_does_not_hide_the_heartbeat_of_the_one_that_took_over() {
    let server = FakeFirestore::start(|_| Act::Write).await;
    let host = async || {
        let sink = Arc::new(firestore(server.host(), "demo-heartbeats", WriteMode::Merge, LIMIT).await);
        Heartbeats::new(sink.clone(), 10, LIMIT).fenced(sink, None)
    };
    let (first, second) = (host().await, host().await);
    let stored = || server.time("tenants/acme/live_quotes/HEARTBEAT", "updated_at").unwrap() / 1000;
    // The first host's clock is ahead.
    assert_eq!(first.write(heartbeat(1000)).await.written, 1);
    assert_eq!(second.write(heartbeat(10)).await.written, 1, "a host that starts writes, whatever its clock says");
    let round = first.write(heartbeat(1001)).await;
    assert_eq!((round.written, round.failed, round.error.as_deref()), (0, 1, Some("another host writes it")));
    assert_eq!(second.write(heartbeat(11)).await.written, 1);
    assert_eq!((first.write(heartbeat(1002)).await.written, stored()), (0, 11));
    // When the second one is gone, the first one goes on.
    assert_eq!((first.write(heartbeat(1003)).await.written, stored()), (1, 1003));
    // Its clock may be set back.
    assert_eq!((first.write(heartbeat(900)).await.written, stored()), (1, 900));
}

#[tokio::test]
async fn the_last_heartbeat_replaces_one_that_was_on_its_way_when_the_host_stopped() {
    let later = || Act::Delay(Duration::from_secs(1), Box::new(Act::Write));
    let first = || Act::Hold(Box::new(Act::Write));
    let server = FakeFirestore::start(move |arrival| if arrival.earlier == 0 { first() } else { later() }).await;
    let sink = Arc::new(firestore(server.host(), "demo-stopping", WriteMode::Merge, LIMIT).await);
    let host = Heartbeats::new(sink.clone(), 10, LIMIT).fenced(sink, None);
    let arrived = async |documents| {
        while server.arrivals().len() < documents {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        round = host.write(heartbeat(1)) => panic!("was answered: {round:?}"),
        () = arrived(1) => {}
    }
    let applied_in_between = async {
        arrived(2).await;
        server.release();
    };
    let (round, ()) = tokio::join!(host.write(heartbeat(2)), applied_in_between);
    assert_eq!((round.written, round.error), (1, None));
    assert_eq!(server.time("tenants/acme/live_quotes/HEARTBEAT", "updated_at"), Some(2000));
}

#[tokio::test]
async fn only_the_owner_of_the_lease_writes_over_the_heartbeat_of_another_host() {
    let server = FakeFirestore::start(|_| Act::Write).await;
    let host = async |owns: bool| {
        let sink = Arc::new(firestore(server.host(), "demo-leased", WriteMode::Merge, LIMIT).await);
        Heartbeats::new(sink.clone(), 10, LIMIT).fenced(sink, Some(Arc::new(move || owns)))
    };
    let (owner, standby) = (host(true).await, host(false).await);
    assert_eq!(owner.write(heartbeat(5)).await.written, 1);
    let round = standby.write(heartbeat(6)).await;
    assert_eq!((round.written, round.error.as_deref()), (0, Some("this host does not hold the lease")));
    server.put("tenants/acme/live_quotes/HEARTBEAT", &[("updated_at", 9_000)]);
    assert_eq!(owner.write(heartbeat(6)).await.written, 1, "the owner does not yield");
}

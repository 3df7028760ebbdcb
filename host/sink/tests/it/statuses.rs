//! What the sink makes of every way in which Firestore can fail, document by document and request by request.

use crate::common;
use crate::log;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{Harness, LIMIT, document, firestore, outcomes, settings};
use quotegate_document::Value;
use quotegate_sink::{
    BatcherSettings, FirestoreSink, Heartbeats, Outcome, RefusedCode, RetryReason, TenantDocument, WriteMode,
};
use quotegate_test_support::{Act, Arrival, FakeFirestore};

// google.rpc.Code
const INVALID_ARGUMENT: i32 = 3;
const DEADLINE_EXCEEDED: i32 = 4;
const NOT_FOUND: i32 = 5;
const PERMISSION_DENIED: i32 = 7;
const RESOURCE_EXHAUSTED: i32 = 8;
const FAILED_PRECONDITION: i32 = 9;
const ABORTED: i32 = 10;
const INTERNAL: i32 = 13;
const UNAVAILABLE: i32 = 14;
const UNAUTHENTICATED: i32 = 16;

async fn sink(server: &FakeFirestore, request_timeout: Duration) -> FirestoreSink {
    firestore(server.host(), "demo-statuses", WriteMode::Merge, request_timeout).await
}

async fn open(server: &FakeFirestore) -> Harness {
    Harness::open(sink(server, LIMIT).await, settings())
}

fn quotes<const N: usize>(tenant: &str, ids: [&str; N]) -> Vec<TenantDocument> {
    ids.into_iter().map(|id| document(tenant, id, [("bid", Value::Double(1.0))])).collect()
}

/// How often each document arrived, by its id.
fn arrivals(server: &FakeFirestore) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for arrival in server.arrivals() {
        *times.entry(id(&arrival).to_owned()).or_default() += 1;
    }
    times
}

fn id(arrival: &Arrival) -> &str {
    arrival.path.rsplit('/').next().unwrap()
}

fn times<const N: usize>(times: [(&str, usize); N]) -> BTreeMap<String, usize> {
    times.into_iter().map(|(id, times)| (id.to_owned(), times)).collect()
}

fn only(outcomes: &BTreeMap<String, Outcome>) -> Vec<&Outcome> {
    outcomes.values().collect()
}

#[tokio::test]
async fn only_the_failed_documents_of_a_request_go_again_and_each_with_its_own_reason() {
    let server = FakeFirestore::start(|arrival| match (id(arrival), arrival.earlier) {
        ("ABORTED", 0 | 1) => Act::Fail(ABORTED, "contention"),
        ("BUSY", 0) => Act::Fail(RESOURCE_EXHAUSTED, "quota"),
        ("GONE", 0) => Act::Fail(UNAVAILABLE, "away"),
        ("LATE", 0) => Act::Fail(DEADLINE_EXCEEDED, "late"),
        ("TROUBLE", 0) => Act::Fail(INTERNAL, "trouble"),
        _ => Act::Write,
    })
    .await;
    let sink = sink(&server, LIMIT).await;
    let all = ["A", "ABORTED", "B", "BUSY", "GONE", "LATE", "TROUBLE", "Z"];
    let batch = quotes("acme", all);
    // In the order of the documents, and only the exhausted resource asks for the longest delay at once.
    let retry = Outcome::retry;
    let expected = [
        Outcome::Written,
        retry(RetryReason::Aborted),
        Outcome::Written,
        retry(RetryReason::ResourceExhausted),
        retry(RetryReason::Unavailable),
        retry(RetryReason::DeadlineExceeded),
        retry(RetryReason::Internal),
        Outcome::Written,
    ];
    assert_eq!(outcomes(&sink, &batch).await, expected);

    let mut harness = Harness::open(sink, settings());
    let again: Vec<_> = batch.into_iter().zip(expected).filter(|(_, outcome)| *outcome != Outcome::Written).collect();
    let again: Vec<_> = again.into_iter().map(|(document, _)| document).collect();
    let rounds = harness.until_settled(&again).await;
    assert_eq!(rounds.iter().map(BTreeMap::len).collect::<Vec<_>>(), [5, 1]);
    assert!(rounds[1].contains_key("tenants/acme/live_quotes/ABORTED"));
    let expected = [("A", 1), ("ABORTED", 3), ("B", 1), ("BUSY", 2), ("GONE", 2), ("LATE", 2), ("TROUBLE", 2)];
    let mut expected = times(expected);
    expected.insert("Z".to_owned(), 1);
    assert_eq!(arrivals(&server), expected);
    let status = harness.close().await;
    assert_eq!((status.attempted, status.written, status.retried, status.refused), (6, 5, 1, 0));
}

#[tokio::test]
async fn a_document_refused_for_good_is_not_sent_again_and_costs_only_itself() {
    let server = FakeFirestore::start(|arrival| match id(arrival) {
        "BAD" => Act::Fail(INVALID_ARGUMENT, "too large"),
        "DENIED" => Act::Fail(PERMISSION_DENIED, "no role"),
        "NOWHERE" => Act::Fail(NOT_FOUND, "no database"),
        "MODE" => Act::Fail(FAILED_PRECONDITION, "datastore mode"),
        "WHO" => Act::Fail(UNAUTHENTICATED, "no token"),
        _ => Act::Write,
    })
    .await;
    let mut harness = open(&server).await;
    let all = ["BAD", "DENIED", "GOOD", "MODE", "NOWHERE", "WHO"];
    let rounds = harness.until_settled(&quotes("acme", all)).await;
    let refused = |code, message: &str| Outcome::Refused { code, message: message.to_owned() };
    let expected = [
        refused(RefusedCode::InvalidArgument, "too large"),
        refused(RefusedCode::PermissionDenied, "no role"),
        Outcome::Written,
        refused(RefusedCode::FailedPrecondition, "datastore mode"),
        refused(RefusedCode::NotFound, "no database"),
        refused(RefusedCode::Unauthenticated, "no token"),
    ];
    assert_eq!(rounds.len(), 1);
    assert_eq!(only(&rounds[0]), expected.iter().collect::<Vec<_>>());
    assert_eq!(arrivals(&server), all.into_iter().map(|id| (id.to_owned(), 1)).collect());
    let status = harness.close().await;
    assert_eq!((status.written, status.retried, status.refused), (1, 0, 5));
}

#[tokio::test]
async fn a_refusal_is_named_once_with_its_document_and_its_remedy() {
    let lines = log::capture();
    let server = FakeFirestore::start(|_| Act::Fail(PERMISSION_DENIED, "no role")).await;
    let mut harness = open(&server).await;
    harness.round(&quotes("named", ["A"])).await;
    harness.round(&quotes("named", ["B", "C"])).await;
    harness.round(&quotes("named-too", ["A"])).await;
    let status = harness.close().await;
    let problem = "permission denied: no role; give the service account the role roles/datastore.user in the project";
    assert_eq!(status.last_error.as_deref(), Some(problem));
    let named = lines.of("named");
    assert_eq!(named.len(), 1, "{named:#?}");
    for part in ["tenants/named/live_quotes/A", problem, "not retrying"] {
        assert!(named[0].contains(part), "{part} in {}", named[0]);
    }
    // The other tenant has its own line.
    assert_eq!(lines.of("named-too").len(), 1);
}

#[tokio::test]
async fn a_request_that_fails_means_the_same_for_each_of_its_documents() {
    let retry = Outcome::retry;
    let denied = Outcome::Refused { code: RefusedCode::PermissionDenied, message: "no".to_owned() };
    let cases = [
        (UNAVAILABLE, retry(RetryReason::Unavailable)),
        (ABORTED, retry(RetryReason::Aborted)),
        (INTERNAL, retry(RetryReason::Internal)),
        (RESOURCE_EXHAUSTED, retry(RetryReason::ResourceExhausted)),
        (PERMISSION_DENIED, denied),
    ];
    for (code, expected) in cases {
        let server = FakeFirestore::start(move |arrival| match id(arrival) {
            "B" => Act::FailRequest(code, "no"),
            _ => Act::Write,
        })
        .await;
        let outcomes = outcomes(&sink(&server, LIMIT).await, &quotes("acme", ["A", "B", "C"])).await;
        assert_eq!(outcomes, vec![expected; 3], "code {code}");
        // The client library has retries of its own, which must not happen: they would send what is old by then.
        assert_eq!(arrivals(&server), times([("A", 1), ("B", 1), ("C", 1)]), "code {code}");
    }
}

#[tokio::test]
async fn documents_of_an_unavailable_server_go_again_until_it_is_there() {
    let server = FakeFirestore::start(|arrival| match arrival.earlier {
        0 | 1 => Act::FailRequest(UNAVAILABLE, "restarting"),
        _ => Act::Write,
    })
    .await;
    let mut harness = open(&server).await;
    let documents = quotes("acme", ["A", "B", "C"]);
    let rounds = harness.until_settled(&documents).await;
    assert!(rounds.last().unwrap().values().all(|outcome| *outcome == Outcome::Written));
    harness.close().await;
}

/// As when Firestore cannot even read a document: it refuses the whole request and does not say whose fault it is.
#[tokio::test]
async fn a_document_that_makes_firestore_refuse_its_request_costs_only_itself() {
    for bad in [&["D07"][..], &["D00", "D99"], &["D41", "D42", "D43"]] {
        let server = FakeFirestore::start(move |arrival| match id(arrival) {
            id if bad.contains(&id) => Act::FailRequest(INVALID_ARGUMENT, "longer than 1048487 bytes"),
            _ => Act::Write,
        })
        .await;
        let ids: Vec<_> = (0..100).map(|number| format!("D{number:02}")).collect();
        let batch: Vec<_> = ids.iter().map(|id| document("acme", id, [("bid", Value::Null)])).collect();
        let outcomes = outcomes(&sink(&server, LIMIT).await, &batch).await;
        let refused =
            Outcome::Refused { code: RefusedCode::InvalidArgument, message: "longer than 1048487 bytes".to_owned() };
        let of = |id: &String| if bad.contains(&id.as_str()) { refused.clone() } else { Outcome::Written };
        assert_eq!(outcomes, ids.iter().map(of).collect::<Vec<_>>());
        // Requests without a bad one were written: every good document is in exactly one of those.
        let arrivals = server.arrivals();
        let is_bad = |arrival: &&Arrival| bad.contains(&id(arrival));
        let failed: BTreeSet<_> = arrivals.iter().filter(is_bad).map(|arrival| arrival.request).collect();
        let written: Vec<_> = arrivals.iter().filter(|arrival| !failed.contains(&arrival.request)).map(id).collect();
        assert_eq!(written.len(), 100 - bad.len());
        assert_eq!(written.iter().collect::<BTreeSet<_>>().len(), written.len());
    }
}

/// The batcher gives up on a request soon after its time-out, and would then know nothing of any of its documents.
#[tokio::test]
async fn the_search_for_bad_documents_ends_with_the_time_of_one_request() {
    let slow = || Act::Delay(Duration::from_millis(300), Box::new(Act::FailRequest(INVALID_ARGUMENT, "unreadable")));
    let server = FakeFirestore::start(move |_| slow()).await;
    let sink = sink(&server, Duration::from_secs(1)).await;
    // Fifteen requests, which would take over four seconds.
    let outcomes = outcomes(&sink, &quotes("acme", ["A", "B", "C", "D", "E", "F", "G", "H"])).await;
    assert_eq!(outcomes.len(), 8);
    assert_eq!(outcomes[7], Outcome::retry(RetryReason::DeadlineExceeded));
    assert!(server.arrivals().iter().filter(|arrival| id(arrival) == "H").count() < 4);
}

#[tokio::test]
async fn a_request_without_an_answer_is_lost_after_the_time_out_and_the_connection_still_serves() {
    let server = FakeFirestore::start(|arrival| match (id(arrival), arrival.earlier) {
        ("SILENT", 0) => Act::NeverAnswer,
        _ => Act::Write,
    })
    .await;
    let sink = sink(&server, Duration::from_secs(1)).await;
    let lost = Outcome::retry(RetryReason::DeadlineExceeded);
    let batch = quotes("acme", ["A", "SILENT"]);
    assert_eq!(outcomes(&sink, &batch).await, vec![lost; 2]);
    let mut harness = Harness::open(sink, settings());
    let rounds = harness.until_settled(&batch).await;
    assert_eq!(only(rounds.last().unwrap()).last(), Some(&&Outcome::Written));
    harness.close().await;
}

#[tokio::test]
async fn a_silent_request_does_not_hold_up_the_others() {
    let server = FakeFirestore::start(|arrival| match id(arrival) {
        "SILENT" => Act::NeverAnswer,
        _ => Act::Write,
    })
    .await;
    let mut harness = Harness::open(sink(&server, LIMIT).await, BatcherSettings { batch_size: 1, ..settings() });
    harness.send(quotes("acme", ["SILENT"]).remove(0)).await;
    let others: Vec<_> = (0..20).map(|number| document("acme", &format!("D{number}"), [])).collect();
    for document in &others {
        harness.send(document.clone()).await;
    }
    // The answers of the others come while the silent one is still open.
    for _ in &others {
        let (path, outcome) = harness.answer().await;
        assert_eq!(outcome, Outcome::Written, "{path}");
    }
    assert_eq!(harness.status().in_flight, 1);
}

#[tokio::test]
async fn a_document_that_the_answer_leaves_out_goes_again() {
    let server = FakeFirestore::start(|arrival| match (id(arrival), arrival.earlier) {
        ("Y" | "Z", 0) => Act::Forget,
        _ => Act::Write,
    })
    .await;
    let sink = std::sync::Arc::new(sink(&server, LIMIT).await);
    let again = Outcome::retry(RetryReason::Internal);
    let outcomes = outcomes(sink.as_ref(), &quotes("acme", ["X", "Y"])).await;
    assert_eq!(outcomes, [Outcome::Written, again]);
    // Heartbeats go past the batcher, and count on it too.
    let round = Heartbeats::new(sink, 10, LIMIT).write(quotes("acme", ["X", "Z"])).await;
    assert_eq!((round.written, round.failed), (2, 0));
}

/// Every kind of trouble at once, in an order that the request numbers mix.
fn weather(arrival: &Arrival) -> Act {
    let number: usize = id(arrival)[1..].parse().unwrap();
    if arrival.earlier >= 4 {
        return Act::Write;
    }
    match (number * 7 + arrival.earlier * 13 + arrival.request) % 23 {
        0 => Act::Fail(ABORTED, "contention"),
        1 => Act::Fail(UNAVAILABLE, "away"),
        2 => Act::Fail(RESOURCE_EXHAUSTED, "quota"),
        3 => Act::FailRequest(UNAVAILABLE, "restarting"),
        4 if number.is_multiple_of(5) => Act::Fail(PERMISSION_DENIED, "no role"),
        5 if number.is_multiple_of(3) => Act::FailRequest(INVALID_ARGUMENT, "unreadable"),
        6 if number % 50 == 1 => Act::NeverAnswer,
        7..12 => Act::Delay(Duration::from_millis(5), Box::new(Act::Write)),
        _ => Act::Write,
    }
}

#[tokio::test]
async fn whatever_happens_every_document_gets_exactly_one_outcome_each_time_it_is_sent() {
    let server = FakeFirestore::start(weather).await;
    let request_timeout = Duration::from_secs(2);
    let batches = BatcherSettings { batch_size: 7, request_timeout, ..settings() };
    let mut harness = Harness::open(sink(&server, request_timeout).await, batches);
    let documents: Vec<_> = (0..300).map(|number| document("acme", &format!("D{number}"), [])).collect();
    // The harness checks: one outcome for each document of a round, one answer for each ticket in all.
    let rounds = harness.until_settled(&documents).await;
    let settled = rounds.iter().flatten().filter(|(_, outcome)| !matches!(outcome, Outcome::Retry { .. })).count();
    assert_eq!(settled, documents.len());
    harness.close().await;
    let arrivals = server.arrivals();
    let once: BTreeSet<_> = arrivals.iter().map(|arrival| (arrival.request, &arrival.path)).collect();
    assert_eq!(once.len(), arrivals.len(), "no document is twice in one request");
}

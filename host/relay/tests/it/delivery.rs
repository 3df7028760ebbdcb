use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use quotegate_market::{Subscription, Symbol};
use quotegate_relay::Compression;
use quotegate_test_support::NatsServer;

use crate::common::{LIMIT, Reader, Worker, settings, until};

fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("Q{number}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_see_the_last_quote_of_every_symbol() {
    let Some(server) = NatsServer::start() else { return };
    for compression in [Compression::None, Compression::Zstd] {
        let mut reader =
            Reader::start_with(quotegate_relay::RelaySettings { compression, ..settings(&server.url()) }, 1).await;
        let early = Worker::start(&server.url()).await;
        reader.connected().await;
        for time in 1..=50 {
            reader.quotes(names(500).map(|name| (name, time)));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        early.has(&reader.sent).await;
        // It has missed everything, and no more quotes come.
        let late = Worker::start(&server.url()).await;
        late.has(&reader.sent).await;
        assert_eq!((early.backwards(), late.backwards()), (0, 0));
        let status = reader.relay.status().publisher;
        assert_eq!((status.received, status.waiting, status.dropped), (25_000, 0, 0));
        assert_eq!(status.quotes + status.conflated, 25_000);
        until("it misses nothing", || early.relay.status().subscriber.waiting == 0).await;
        let status = early.relay.status().subscriber;
        assert_eq!((status.invalid, status.gaps), (0, 0), "{status:?}");
        late.end().await;
        early.end().await;
        reader.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_hear_what_the_reader_says_about_itself() {
    let Some(server) = NatsServer::start() else { return };
    let mut worker = Worker::start(&server.url()).await;
    let reader = Reader::start(&server.url(), 7).await;
    let heard = tokio::time::timeout(LIMIT, worker.reader.wait_for(Option::is_some)).await.unwrap().unwrap().clone();
    let heard = heard.unwrap();
    assert_eq!((heard.epoch, &heard.payload[..]), (7, &b"hello"[..]));
    worker.end().await;
    reader.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_receives_only_the_buckets_of_its_symbols_and_follows_when_they_change() {
    let Some(server) = NatsServer::start() else { return };
    let only = |name: &str| Subscription::Symbols([Symbol::new(name).unwrap()].into());
    let mut reader = Reader::start(&server.url(), 1).await;
    let worker = Worker::start_with(settings(&server.url()), only("Q1")).await;
    reader.connected().await;
    reader.quotes(names(2000).map(|name| (name, 1)));
    until("it receives the symbol", || worker.latest().contains_key("Q1")).await;
    assert_eq!(worker.relay.status().subscriber.buckets, 1);
    assert!(worker.latest().len() < 200, "one bucket of 32");
    // The next symbol has quoted before it is wanted, and does not quote again.
    let next = names(2000).find(|name| !worker.latest().contains_key(name)).unwrap();
    worker.wanted.send_replace(Arc::new(only(&next)));
    until("it receives the next symbol", || worker.latest().contains_key(&next)).await;
    worker.wanted.send_replace(Arc::new(Subscription::All));
    worker.has(&reader.sent).await;
    worker.end().await;
    reader.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_reader_takes_over_and_the_old_one_is_not_heard_again() {
    let Some(server) = NatsServer::start() else { return };
    let mut old = Reader::start(&server.url(), 1).await;
    let mut worker = Worker::start(&server.url()).await;
    old.connected().await;
    old.quotes(names(100).map(|name| (name, 10)));
    worker.has(&old.sent).await;

    let mut new = Reader::start(&server.url(), 2).await;
    new.connected().await;
    // In another order, and not all of them.
    new.quotes((0..50).rev().map(|number| (format!("Q{number}"), 20)));
    let mut expected: HashMap<_, _> = names(100).map(|name| (name, 10)).collect();
    expected.extend(new.sent.clone());
    worker.has(&expected).await;
    let heard = worker.reader.wait_for(|heard| heard.as_ref().is_some_and(|heard| heard.epoch == 2));
    tokio::time::timeout(LIMIT, heard).await.unwrap().unwrap();

    // It does not know yet that it has been replaced.
    old.quotes(names(100).map(|name| (name, 30)));
    until("its quotes arrive", || worker.relay.status().subscriber.old >= 100).await;
    assert_eq!((worker.latest(), worker.relay.status().subscriber.epoch), (expected, Some(2)));
    worker.end().await;
    old.end().await;
    new.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_becomes_the_reader_again_starts_with_an_empty_table() {
    let Some(server) = NatsServer::start() else { return };
    let mut reader = Reader::start(&server.url(), 1).await;
    let worker = Worker::start(&server.url()).await;
    reader.connected().await;
    reader.quotes(names(10).map(|name| (name, 1)));
    worker.has(&reader.sent).await;
    reader.epoch.send_replace(None);
    until("it is not the reader", || reader.relay.status().publisher.epoch.is_none()).await;
    reader.restart_feed();
    reader.epoch.send_replace(Some(5));
    reader.quote("Q9", 2);
    worker.has(&reader.sent).await;
    let late = Worker::start(&server.url()).await;
    late.has(&[("Q9".to_owned(), 2)].into()).await;
    late.end().await;
    worker.end().await;
    reader.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_starts_again_under_the_same_lease_numbers_its_symbols_anew() {
    let Some(server) = NatsServer::start() else { return };
    let mut reader = Reader::start(&server.url(), 1).await;
    let worker = Worker::start(&server.url()).await;
    reader.connected().await;
    reader.quotes(names(100).map(|name| (name, 1)));
    worker.has(&reader.sent).await;
    reader.restart_feed();
    reader.quotes((0..100).rev().map(|number| (format!("Q{number}"), number + 2)));
    worker.has(&reader.sent).await;
    worker.end().await;
    reader.end().await;
}

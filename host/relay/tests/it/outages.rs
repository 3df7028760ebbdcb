use std::time::{Duration, Instant};

use quotegate_test_support::NatsServer;

use crate::common::{Reader, Worker, until};

const SYMBOLS: i64 = 300;

/// Quotes of all symbols, one after another, for so long.
async fn quote_for(reader: &mut Reader, time: Duration, now: &mut i64) {
    let began = Instant::now();
    while began.elapsed() < time {
        for _ in 0..20 {
            *now += 1;
            let name = format!("Q{}", *now % SYMBOLS);
            reader.quote(&name, *now);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Neither the feed nor the publisher's task may wait for the broker. The bound is generous, because the machine may be busy:
/// a publisher that waits for a frozen broker waits for three seconds.
fn never_waited(reader: &Reader) {
    let longest = reader.longest_receive.max(*reader.longest_turn.lock());
    assert!(longest < Duration::from_secs(2), "held up for {longest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn quotes_flow_again_after_the_broker_was_killed_and_every_last_quote_arrives() {
    let Some(mut server) = NatsServer::start() else { return };
    let (mut reader, mut now) = (Reader::start(&server.url(), 1).await, 0);
    let workers = [Worker::start(&server.url()).await, Worker::start(&server.url()).await];
    reader.connected().await;
    quote_for(&mut reader, Duration::from_millis(300), &mut now).await;
    for worker in &workers {
        worker.has(&reader.sent).await;
    }
    server.kill();
    quote_for(&mut reader, Duration::from_secs(1), &mut now).await;
    until("the reader notices", || !reader.relay.status().connection.connected).await;
    let problem = |relay: &quotegate_relay::Relay| relay.status().connection.problem.unwrap_or_default();
    let refused = format!("connection refused by {}", server.address());
    until("it says why", || problem(&workers[0].relay) == refused).await;
    server.start_again();
    quote_for(&mut reader, Duration::from_millis(200), &mut now).await;
    for worker in &workers {
        worker.has(&reader.sent).await;
        assert_eq!((worker.backwards(), worker.relay.status().connection.problem), (0, None));
    }
    let status = reader.relay.status().publisher;
    assert_eq!(status.received, status.quotes + status.conflated, "{status:?}");
    for worker in workers {
        worker.end().await;
    }
    reader.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quotes_flow_again_after_the_broker_was_frozen_and_nothing_waits_meanwhile() {
    let Some(server) = NatsServer::start() else { return };
    let (mut reader, mut now) = (Reader::start(&server.url(), 1).await, 0);
    let worker = Worker::start(&server.url()).await;
    reader.connected().await;
    quote_for(&mut reader, Duration::from_millis(300), &mut now).await;
    worker.has(&reader.sent).await;
    server.freeze();
    quote_for(&mut reader, Duration::from_secs(3), &mut now).await;
    server.thaw();
    worker.has(&reader.sent).await;
    assert_eq!(worker.backwards(), 0);
    never_waited(&reader);
    worker.end().await;
    reader.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_appears_later_is_found() {
    let Some(mut server) = NatsServer::stopped() else { return };
    let began = Instant::now();
    let mut reader = Reader::start(&server.url(), 1).await;
    let worker = Worker::start(&server.url()).await;
    assert!(began.elapsed() < Duration::from_secs(10), "the start does not wait");
    let refused = format!("connection refused by {}", server.address());
    until("it says why", || worker.relay.status().connection.problem.as_ref() == Some(&refused)).await;
    for time in 1..200 {
        reader.quote("SPY", time);
    }
    until("quotes wait", || reader.relay.status().publisher.stalled_since.is_some()).await;
    server.start_again();
    worker.has(&reader.sent).await;
    reader.connected().await;
    until("nothing waits", || reader.relay.status().publisher.stalled_since.is_none()).await;
    worker.end().await;
    reader.end().await;
}

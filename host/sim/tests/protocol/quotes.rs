//! Which quotes are sent, and their encoding.

use quotegate_market::{Quote, conditions};
use quotegate_sim::{Rate, SimSettings};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Sim, busy, quiet, symbol};

fn sample() -> Quote {
    Quote {
        bid_price: 133.85,
        bid_size: 4.0,
        ask_price: 136.0,
        ask_size: 5.0,
        bid_exchange: b'O',
        ask_exchange: b'R',
        tape: b'A',
        conditions: conditions::pack([&b"R"[..]]),
        event_time: 1_721_807_813_639_713_735,
        received_time: 0,
    }
}

/// Quotes without their times, the only part that the seed does not determine.
async fn timeless(settings: SimSettings, count: usize) -> Vec<Value> {
    let sim = Sim::start(settings).await;
    let mut client = sim.subscriber(&["*"]).await;
    let mut quotes = Vec::new();
    while quotes.len() < count {
        quotes.append(&mut client.items().await);
    }
    quotes.truncate(count);
    quotes.iter_mut().for_each(|quote| drop(quote.as_object_mut().unwrap().remove("t")));
    quotes
}

#[tokio::test]
async fn the_seed_determines_every_quote() {
    let seeded = |seed| timeless(SimSettings { seed, ..busy() }, 500);
    assert_eq!(seeded(7).await, seeded(7).await);
    assert_ne!(seeded(7).await, seeded(8).await);
}

#[tokio::test]
async fn times_increase_and_frames_have_the_configured_size() {
    let sim = Sim::start(busy()).await;
    let mut client = sim.subscriber(&["SPY"]).await;
    let mut last = String::new();
    for _ in 0..50 {
        let items = client.items().await;
        assert_eq!(items.len(), 5);
        for quote in items {
            assert_eq!((&quote["T"], &quote["S"]), (&json!("q"), &json!("SPY")));
            // Trailing zeros are left out, so pad to nine digits before comparing.
            let time = quote["t"].as_str().unwrap().trim_end_matches('Z');
            let (seconds, nanos) = time.split_once('.').unwrap_or((time, ""));
            let time = format!("{seconds}.{nanos:0<9}");
            assert!(time > last, "{time} after {last}");
            last = time;
        }
    }
    sim.until("the count", |handle| handle.quotes_sent() >= 250).await;
}

#[tokio::test]
async fn quotes_are_sent_at_the_rate_and_stop_with_the_subscription() {
    let sim = Sim::start(SimSettings { rate: Rate::PerSecond(500.0), ..quiet() }).await;
    let mut client = sim.subscriber(&["AAPL"]).await;
    assert_eq!(client.items().await[0]["S"], "AAPL");
    let set = client.request(json!({"action": "unsubscribe", "quotes": ["AAPL"]})).await;
    assert_eq!(set["quotes"], json!([]));
    let sent = sim.handle.quotes_sent();
    client.ping().await;
    assert_eq!(sim.handle.quotes_sent(), sent);
}

#[tokio::test]
async fn fixed_frames_do_not_raise_the_rate() {
    let rate = Rate::PerSecond(2000.0);
    let sim = Sim::start(SimSettings { rate, quotes_per_frame: Some(200), ..quiet() }).await;
    let mut client = sim.subscriber(&["SPY"]).await;
    let start = tokio::time::Instant::now();
    for _ in 0..3 {
        assert_eq!(client.items().await.len(), 200);
    }
    // 600 quotes are due after 0.3 s, and later on a slow machine.
    assert!(start.elapsed() > std::time::Duration::from_millis(250), "{:?}", start.elapsed());
}

#[tokio::test]
async fn pushed_quotes_reach_subscribers_as_documented() {
    let sim = Sim::start(quiet()).await;
    let mut client = sim.subscriber(&["FAKEPACA"]).await;
    sim.handle.send_quote(&symbol("OTHER"), &sample());
    sim.handle.send_quote(&symbol("FAKEPACA"), &sample());
    let frame = client.data().await.unwrap();
    let documented = r#"[{"T":"q","S":"FAKEPACA","bx":"O","bp":133.85,"bs":4,"ax":"R","ap":136,"as":5,"c":["R"],"z":"A","t":"2024-07-24T07:56:53.639713735Z"}]"#;
    assert_eq!(frame.to_text().unwrap(), documented);
}

#[tokio::test]
async fn a_quote_without_exchange_tape_and_condition_is_valid_json() {
    let sim = Sim::start(quiet()).await;
    let mut client = sim.subscriber(&["BTC/USD"]).await;
    let coin = Quote { bid_price: 0.35718, bid_size: 13445.46, event_time: 1_000_000_000, ..Quote::default() };
    sim.handle.send_quote(&symbol("BTC/USD"), &coin);
    let quote = &client.items().await[0];
    assert_eq!((&quote["bp"], &quote["bs"], &quote["ap"]), (&json!(0.35718), &json!(13445.46), &json!(0)));
    assert_eq!((quote.get("bx"), quote.get("ax"), quote.get("z")), (None, None, None));
}

#[tokio::test]
async fn messagepack_starts_with_the_type_and_uses_the_timestamp_extension() {
    let sim = Sim::start(quiet()).await;
    let headers = [("Content-Type", "application/msgpack"), ("APCA-API-KEY-ID", "k"), ("APCA-API-SECRET-KEY", "s")];
    let mut client = sim.try_connect("/v2/iex", &headers).await.unwrap();
    client.send(Message::binary(&b"\x82\xa6action\xa9subscribe\xa6quotes\x91\xa3SPY"[..])).await;
    sim.until("the subscription", |handle| !handle.subscribed().is_empty()).await;
    for _ in ["connected", "authenticated", "subscription"] {
        client.data().await.unwrap();
    }
    sim.handle.send_quote(&symbol("SPY"), &sample());
    let frame = client.data().await.unwrap().into_data();
    let at = frame.windows(7).position(|bytes| bytes == b"\xa1T\xa1q\xa1S\xa3").expect("T and S first");
    assert_eq!(frame[at - 1], 0x8b, "a map of eleven");
    // Extension −1, in its form of eight bytes (0xd7) or twelve (0xc7 12).
    let time = frame.windows(2).position(|bytes| bytes == b"\xa1t").expect("a time") + 2;
    assert!(frame[time..].starts_with(b"\xd7\xff") || frame[time..].starts_with(b"\xc7\x0c\xff"), "{frame:x?}");
}

#[tokio::test]
async fn raw_frames_and_disconnects_reach_every_client() {
    let sim = Sim::start(quiet()).await;
    let mut client = sim.client().await;
    sim.handle.send_text("{broken");
    sim.handle.send_binary(b"\xff\x00");
    assert_eq!(client.data().await, Some(Message::text("{broken")));
    assert_eq!(client.data().await, Some(Message::binary(&b"\xff\x00"[..])));
    sim.handle.disconnect_all();
    assert_eq!(client.data().await, None);
    sim.until("no connection", |handle| handle.connected() == 0).await;
}

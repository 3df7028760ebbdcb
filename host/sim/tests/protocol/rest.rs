//! Alpaca's REST on the same port.

use quotegate_market::Quote;
use quotegate_sim::{Fault, Rate, SimSettings, Universe};
use serde_json::{Value, json};

use crate::client::{Sim, busy, quiet, symbol};

const KEYS: [(&str, &str); 2] = [("APCA-API-KEY-ID", "k"), ("APCA-API-SECRET-KEY", "s")];

fn quote(bid_price: f64, event_time: i64) -> Quote {
    Quote { bid_price, bid_size: 3.0, bid_exchange: b'V', event_time, ..Quote::default() }
}

async fn ok(sim: &Sim, path: &str) -> Value {
    let (status, body) = sim.get(path, &KEYS).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

#[tokio::test]
async fn the_latest_quotes_are_those_that_were_sent() {
    let sim = Sim::start(quiet()).await;
    sim.handle.send_quote(&symbol("SPY"), &quote(1.5, 2_000_000_000));
    sim.handle.change_quote(&symbol("SPY"), &quote(2.5, 3_000_000_000));
    sim.handle.change_quote(&symbol("SPY"), &quote(0.5, 1_000_000_000));
    let spy = json!({
        "t": "1970-01-01T00:00:03Z", "bp": 2.5, "bs": 3.0, "bx": "V", "ap": 0.0, "as": 0.0, "c": [],
    });
    let snapshot = json!({ "latestQuote": spy });
    for (path, expected) in [
        ("/v2/stocks/quotes/latest?symbols=SPY%2CAAPL&feed=iex", json!({"quotes": {"SPY": spy}})),
        ("/v2/stocks/SPY/quotes/latest", json!({"symbol": "SPY", "quote": spy})),
        ("/v2/stocks/snapshots?symbols=SPY,AAPL", json!({"SPY": snapshot})),
        ("/v2/stocks/SPY/snapshot", json!({"symbol": "SPY", "latestQuote": spy})),
        ("/v2/stocks/quotes/latest?symbols=AAPL", json!({"quotes": {}})),
    ] {
        assert_eq!(ok(&sim, path).await, expected, "{path}");
    }
}

#[tokio::test]
async fn crypto_and_options_have_their_own_paths() {
    let sim = Sim::start(quiet()).await;
    sim.handle.change_quote(&symbol("BTC/USD"), &Quote { ask_price: 9.0, event_time: 1, ..Quote::default() });
    sim.handle.change_quote(&symbol("SPY260116C00600000"), &quote(4.0, 1));
    let bitcoin = ok(&sim, "/v1beta3/crypto/us/latest/quotes?symbols=BTC%2FUSD").await;
    assert_eq!(bitcoin["quotes"]["BTC/USD"]["ap"], 9.0);
    let bitcoin = ok(&sim, "/v1beta3/crypto/us/snapshots?symbols=BTC/USD").await;
    assert_eq!(bitcoin["snapshots"]["BTC/USD"]["latestQuote"]["ap"], 9.0);
    let option = ok(&sim, "/v1beta1/options/quotes/latest?symbols=SPY260116C00600000&feed=indicative").await;
    assert_eq!(option["quotes"]["SPY260116C00600000"]["c"], "");
    let option = ok(&sim, "/v1beta1/options/snapshots?symbols=SPY260116C00600000").await;
    assert_eq!(option["snapshots"]["SPY260116C00600000"]["latestQuote"]["bp"], 4.0);
}

#[tokio::test]
async fn a_simulated_symbol_has_a_quote_before_a_client_comes_and_the_stream_goes_on_from_it() {
    let sim = Sim::start(SimSettings { rate: Rate::PerSecond(1.0), ..quiet() }).await;
    let path = "/v2/stocks/quotes/latest?symbols=SPY,UNKNOWN";
    let first = ok(&sim, path).await;
    assert_eq!((first["quotes"].get("UNKNOWN"), ok(&sim, path).await), (None, first.clone()));
    let mut client = sim.subscriber(&["SPY"]).await;
    let sent = client.items().await.remove(0);
    let (before, after) = (first["quotes"]["SPY"]["ap"].as_f64().unwrap(), sent["ap"].as_f64().unwrap());
    // One step of a few cents, unless one of the two has no ask.
    assert!((before - after).abs() < 0.2 || before == 0.0 || after == 0.0, "{before} and {after}");
    assert_eq!(ok(&sim, path).await["quotes"]["SPY"]["ap"], sent["ap"]);
}

#[tokio::test]
async fn a_simulator_of_any_symbol_quotes_what_is_asked_for() {
    let sim = Sim::start(SimSettings { any_symbol: true, ..busy() }).await;
    let mut client = sim.subscriber(&["ZZZZ"]).await;
    assert_eq!(client.items().await[0]["S"], "ZZZZ");
}

#[tokio::test]
async fn only_valid_requests_with_keys_are_answered() {
    let keys = Some(("k".to_owned(), "s".to_owned()));
    let universe = Universe::List(vec![symbol("SPY")]);
    let sim = Sim::start(SimSettings { universe, keys, ..quiet() }).await;
    let path = "/v2/stocks/quotes/latest?symbols=SPY";
    for (headers, status) in [
        (vec![], 401),
        (vec![KEYS[0], ("APCA-API-SECRET-KEY", "wrong")], 403),
        (vec![("Authorization", "Bearer s")], 200),
        (vec![("Authorization", "Basic azpz")], 200),
        (KEYS.to_vec(), 200),
    ] {
        assert_eq!(sim.get(path, &headers).await.0, status, "{headers:?}");
    }
    // Alpaca shows crypto to everyone.
    assert_eq!(sim.get("/v1beta3/crypto/us/latest/quotes?symbols=BTC/USD", &[]).await.0, 200);
    let many = format!("/v1beta1/options/quotes/latest?symbols={}", vec!["A"; 101].join(","));
    for (path, status) in [
        ("/v2/stocks/quotes/latest", 400),
        ("/v2/stocks/quotes/latest?symbols=SPY,A%20B", 400),
        ("/v2/stocks/quotes/latest?symbols=BTC/USD", 400),
        ("/v1beta3/crypto/us/latest/quotes?symbols=SPY", 400),
        (many.as_str(), 400),
        ("/v2/stocks/SPY/auctions", 404),
        ("/v2/iex", 404),
    ] {
        let (found, body) = sim.get(path, &KEYS).await;
        assert_eq!(found, status, "{path}: {body}");
        assert!(body["message"].is_string(), "{body}");
    }
}

#[tokio::test]
async fn faults_of_rest_leave_the_stream_alone() {
    let sim = Sim::start(busy()).await;
    let mut client = sim.subscriber(&["SPY"]).await;
    let path = "/v2/stocks/quotes/latest?symbols=SPY";
    for (fault, status) in [(Fault::Rest429, 429), (Fault::RestError, 500)] {
        sim.handle.set_fault(Some(fault));
        assert_eq!(sim.get(path, &KEYS).await.0, status);
        client.items().await;
    }
    sim.handle.set_fault(Some(Fault::RestSilent));
    let waiting = sim.get(path, &KEYS);
    tokio::pin!(waiting);
    tokio::select! {
        _ = &mut waiting => panic!("an answer"),
        () = sim.until("the request", |handle| handle.rest_requests() == 3) => {}
    }
    client.items().await;
    sim.handle.set_fault(None);
    assert_eq!(waiting.await.0, 200);
}

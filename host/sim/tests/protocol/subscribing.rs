//! Subscriptions and acknowledgements.

use quotegate_sim::SimSettings;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Sim, quiet};

#[tokio::test]
async fn every_change_is_acknowledged_with_all_subscriptions() {
    let sim = Sim::start(quiet()).await;
    let mut client = sim.client().await;
    client.request(json!({"action": "subscribe", "quotes": ["SPY", "AAPL"], "bars": ["*"]})).await;
    client.say(json!({"action": "subscribe", "trades": ["MSFT"], "statuses": ["*"]})).await;
    client
        .expect(json!({
            "T": "subscription", "trades": ["MSFT"], "quotes": ["AAPL", "SPY"], "bars": ["*"], "updatedBars": [],
            "dailyBars": [], "statuses": ["*"], "lulds": [], "corrections": ["MSFT"], "cancelErrors": ["MSFT"],
        }))
        .await;
    let left = client.request(json!({"action": "unsubscribe", "trades": ["MSFT", "NEVER"], "quotes": ["SPY"]})).await;
    assert_eq!((&left["trades"], &left["corrections"], &left["quotes"]), (&json!([]), &json!([]), &json!(["AAPL"])));
    assert_eq!(sim.handle.subscribed().into_iter().collect::<Vec<_>>(), ["AAPL"]);
}

#[tokio::test]
async fn a_partly_invalid_request_is_rejected_entirely() {
    let sim = Sim::start(quiet()).await;
    let mut client = sim.subscriber(&["SPY"]).await;
    let wrong = [
        (json!({"action": "subscribe", "quotes": ["AAPL", "A B"]}), 400),
        (json!({"action": "subscribe", "quotes": ["AAPL", ""]}), 400),
        (json!({"action": "subscribe", "quotes": "AAPL"}), 400),
        (json!({"action": "subscribe", "quotes": [7]}), 400),
        (json!({"action": "subscribe"}), 400),
        (json!({"action": "listen", "quotes": ["AAPL"]}), 400),
        (json!(["AAPL"]), 400),
        (json!({"action": "subscribe", "quotes": ["AAPL"], "gossip": ["AAPL"]}), 410),
    ];
    for (message, code) in wrong {
        assert_eq!(client.request(message.clone()).await["code"], code, "{message}");
    }
    client.send(Message::text("not JSON")).await;
    client.expect_error(400, "invalid syntax").await;
    let set = client.request(json!({"action": "unsubscribe", "quotes": ["NEVER"]})).await;
    assert_eq!(set["quotes"], json!(["SPY"]));
}

#[tokio::test]
async fn a_request_over_the_limit_changes_nothing() {
    let sim = Sim::start(SimSettings { symbol_limit: Some(2), ..quiet() }).await;
    let mut client = sim.subscriber(&["SPY"]).await;
    for names in [&["AAPL", "MSFT"][..], &["*"]] {
        client.say(json!({"action": "subscribe", "quotes": names})).await;
        client.expect_error(405, "symbol limit exceeded").await;
    }
    // A symbol in two channels counts once.
    let set = client.request(json!({"action": "subscribe", "quotes": ["AAPL"], "trades": ["SPY"]})).await;
    assert_eq!((&set["quotes"], &set["trades"]), (&json!(["AAPL", "SPY"]), &json!(["SPY"])));
}

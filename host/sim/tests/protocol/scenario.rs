//! A scenario instead of random quotes.

use jiff::Timestamp;
use quotegate_sim::{Scenario, SimSettings};
use serde_json::Value;

use crate::client::{Client, Sim, quiet};

fn scenario_settings() -> SimSettings {
    SimSettings { scenario: Some(Scenario::OpeningBell), seed: 7, ..quiet() }
}

async fn quotes(client: &mut Client, count: usize) -> Vec<Value> {
    let mut quotes = Vec::new();
    while quotes.len() < count {
        quotes.append(&mut client.items().await);
    }
    quotes.truncate(count);
    quotes
}

#[tokio::test]
async fn each_client_gets_the_scenario_from_its_start_at_current_times() {
    let wanted: Vec<(String, f64, f64)> = Scenario::OpeningBell
        .frames(7)
        .flat_map(|frame| frame.quotes)
        .map(|(symbol, quote)| (symbol.to_string(), quote.bid_price, quote.ask_price))
        .take(3)
        .collect();
    let sim = Sim::start(scenario_settings()).await;
    for _ in 0..2 {
        let before = Timestamp::now();
        let mut client = sim.subscriber(&["*"]).await;
        let quotes = quotes(&mut client, 3).await;
        let found = |quote: &Value| {
            let number = |key: &str| quote[key].as_f64().unwrap();
            (quote["S"].as_str().unwrap().to_owned(), number("bp"), number("ap"))
        };
        assert_eq!(quotes.iter().map(found).collect::<Vec<_>>(), wanted);
        let times = quotes.iter().map(|quote| quote["t"].as_str().unwrap().parse::<Timestamp>().unwrap());
        assert!(times.clone().is_sorted() && times.clone().all(|time| before < time && time < Timestamp::now()));
        assert!(client.goodbye().await);
    }
}

#[tokio::test]
async fn only_subscribed_symbols_are_sent() {
    let sim = Sim::start(scenario_settings()).await;
    let mut client = sim.subscriber(&["SPY", "QQQ"]).await;
    let quotes = quotes(&mut client, 2).await;
    assert!(quotes.iter().all(|quote| quote["S"] == "SPY" || quote["S"] == "QQQ"), "{quotes:?}");
}

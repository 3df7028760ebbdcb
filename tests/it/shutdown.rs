//! Invariant 7 with the real program: SIGTERM in the middle of a burst.

use std::collections::HashMap;

use crate::harness::{self, Running, Sim, quotegate};
use quotegate_market::Quote;
use quotegate_test_support::SHARED_EMULATOR;
use serde_json::{Value, json};

const SYMBOLS: [&str; 30] = [
    "A0", "A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "A9", "B0", "B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8",
    "B9", "C0", "C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C9",
];

fn quote(price: f64, event_time: i64) -> Quote {
    Quote { bid_price: price, ask_price: price + 1.0, event_time, ..Quote::default() }
}

fn start(sim: &Sim, host: &str, project: &str, rate: &str, burst: &str) -> Running {
    let running = Running::start(
        quotegate(["run"])
            .env("TENANT_ID", "acme")
            .env("ALPACA_KEY_ID", "key")
            .env("ALPACA_SECRET_KEY", "secret")
            .env("MONITORED_SYMBOLS", SYMBOLS.join(","))
            .env("PER_SYMBOL_MIN_INTERVAL_MS", "100")
            .env("GLOBAL_WRITES_PER_SEC", rate)
            .env("GLOBAL_BURST", burst)
            .env("QUOTEGATE_FEED__URL", sim.url())
            .env("FIRESTORE_PROJECT_ID", project)
            .env("FIRESTORE_EMULATOR_HOST", host),
    );
    sim.wait_for_symbols(&SYMBOLS);
    running
}

/// Sends a burst, stops the host while it is being written, and returns the newest price of each symbol.
fn burst(sim: &Sim, host: &mut Running) -> HashMap<String, f64> {
    let mut newest = HashMap::new();
    for round in 0..20 {
        for (at, symbol) in SYMBOLS.iter().enumerate() {
            let price = f64::from(100 * round + at as i32 + 1);
            sim.send(symbol, &quote(price, 1_700_000_000_000_000_000 + i64::from(round)));
            newest.insert((*symbol).to_owned(), price);
        }
    }
    // Once the last quote of the burst has been read, nothing may be lost; the last heartbeat counts them.
    host.wait_for("the burst in the log", |_| sim.handle().quotes_sent() >= 20 * SYMBOLS.len() as u64);
    newest
}

fn ending(finished: &harness::Finished) -> Value {
    let lines = finished.stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut lines = lines.filter(|line| line["event_type"] == "shutdown" && line["unflushed"].is_u64());
    lines.next_back().expect("a last line")
}

#[test]
fn every_quote_read_is_written_before_the_host_stops() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let sim = Sim::quiet();
    let mut host = start(&sim, &emulator.host(), "demo-shutdown", "500", "10");
    let newest = burst(&sim, &mut host);
    // Once the last quote is written, those before it have been read, because they arrive in order.
    sim.send("A0", &quote(9999.0, 1_700_000_001_000_000_000));
    harness::eventually("the last quote", || {
        let document = emulator.document("demo-shutdown", "tenants/acme/live_quotes/A0")?;
        (document["fields"]["bid"]["doubleValue"] == json!(9999.0)).then_some(())
    });
    host.signal("TERM");
    let finished = host.wait();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert_eq!(ending(&finished)["unflushed"], 0);
    for document in emulator.documents("demo-shutdown", "tenants/acme/live_quotes") {
        let symbol = document["fields"]["symbol"]["stringValue"].as_str().unwrap().to_owned();
        let expected = if symbol == "A0" { 9999.0 } else { newest[&symbol] };
        assert_eq!(document["fields"]["bid"]["doubleValue"].as_f64(), Some(expected), "{symbol}");
    }
    let heartbeat = emulator.document("demo-shutdown", "tenants/acme/ops/market_ingest").unwrap();
    assert_eq!(heartbeat["fields"]["status"]["stringValue"], "stopped");
}

#[test]
fn writes_that_do_not_fit_the_limits_are_counted_in_the_last_line() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let sim = Sim::quiet();
    // One write per second and a burst of two: only a few of thirty symbols can be written in the grace period.
    let mut host = start(&sim, &emulator.host(), "demo-limits", "1", "2");
    burst(&sim, &mut host);
    harness::eventually("the first write", || {
        (!emulator.documents("demo-limits", "tenants/acme/live_quotes").is_empty()).then_some(())
    });
    host.signal("TERM");
    let finished = host.wait();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let unflushed = ending(&finished)["unflushed"].as_u64().unwrap() as usize;
    let written = emulator.documents("demo-limits", "tenants/acme/live_quotes").len();
    assert!(unflushed > 0 && unflushed + written >= SYMBOLS.len(), "{unflushed} unflushed, {written} written");
}

#[test]
fn a_second_signal_stops_the_host_at_once() {
    let sim = Sim::quiet();
    let host = start(&sim, "127.0.0.1:9", "demo-second", "20", "40");
    sim.send("A0", &quote(1.0, 1_700_000_000_000_000_000));
    let mut host = host;
    host.signal("INT");
    host.wait_for_event("shutdown");
    host.signal("INT");
    assert_eq!(host.wait().code, 1);
}

#[test]
fn a_killed_host_leaves_whole_documents_and_the_next_one_continues() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let (project, sim) = ("demo-shutdown-kill", Sim::quiet());
    let mut host = start(&sim, &emulator.host(), project, "200", "10");
    burst(&sim, &mut host);
    let price = |symbol: &str| {
        let document = emulator.document(project, &format!("tenants/acme/live_quotes/{symbol}"))?;
        document["fields"]["bid"]["doubleValue"].as_f64()
    };
    harness::eventually("some documents", || SYMBOLS.iter().filter(|s| price(s).is_some()).nth(3).map(drop));
    host.signal("KILL");
    drop(host);
    // Each document is whole, whatever was in flight.
    for symbol in SYMBOLS {
        let Some(document) = emulator.document(project, &format!("tenants/acme/live_quotes/{symbol}")) else {
            continue;
        };
        assert_eq!(document["fields"].as_object().unwrap().len(), 12, "{document}");
    }

    let host = start(&sim, &emulator.host(), project, "1000", "100");
    for (at, symbol) in SYMBOLS.iter().enumerate() {
        sim.send(symbol, &quote(5000.0 + at as f64, 1_700_000_001_000_000_000));
    }
    for (at, symbol) in SYMBOLS.iter().enumerate() {
        harness::eventually(symbol, || (price(symbol)? == 5000.0 + at as f64).then_some(()));
    }
    host.signal("TERM");
    assert_eq!(host.wait().code, 0);
}

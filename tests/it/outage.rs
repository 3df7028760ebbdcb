//! The sink fails and recovers: no newest quote is lost and no older one is written over it (invariants 2 and 3).

use crate::harness::{Running, Sim, eventually, quotegate};
use quotegate_market::Quote;
use quotegate_test_support::{Emulator, emulator_or_skip};
use serde_json::json;

fn quote(bid_price: f64, event_time: i64) -> Quote {
    Quote { bid_price, ask_price: bid_price + 1.0, event_time, ..Quote::default() }
}

fn start(sim: &Sim, emulator: &Emulator, project: &str) -> Running {
    Running::start(
        quotegate(["run"])
            .env("TENANT_ID", "acme")
            .env("ALPACA_KEY_ID", "key")
            .env("ALPACA_SECRET_KEY", "secret")
            .env("MONITORED_SYMBOLS", "SPY,AAPL")
            .env("PER_SYMBOL_MIN_INTERVAL_MS", "50")
            .env("HEARTBEAT_INTERVAL_S", "1")
            .env("QUOTEGATE_SINK__REQUEST_TIMEOUT_S", "20")
            .env("QUOTEGATE_SINK__RETRY_MAX_S", "2")
            .env("QUOTEGATE_FEED__URL", sim.url())
            .env("FIRESTORE_PROJECT_ID", project)
            .env("FIRESTORE_EMULATOR_HOST", emulator.host()),
    )
}

#[test]
fn an_emulator_that_restarts_gets_the_newest_quote() {
    let Some(mut emulator) = emulator_or_skip() else { return };
    let sim = Sim::quiet();
    let mut host = start(&sim, &emulator, "demo-outage");
    sim.wait_for_symbols(&["AAPL", "SPY"]);
    sim.send("SPY", &quote(1.0, 1));
    let spy = "tenants/acme/live_quotes/SPY";
    eventually("the first write", || emulator.document("demo-outage", spy));

    emulator.stop();
    sim.send("SPY", &quote(2.0, 2));
    sim.send("AAPL", &quote(20.0, 2));
    host.wait_for_event("firestore_write_failed");
    // Newer quotes replace waiting ones; an older one does not.
    sim.send("SPY", &quote(4.0, 4));
    sim.send("SPY", &quote(3.0, 3));
    emulator.start_again();

    eventually("the newest quote of SPY", || {
        let document = emulator.document("demo-outage", spy)?;
        (document["fields"]["bid"] == json!({"doubleValue": 4.0})).then_some(())
    });
    eventually("the quote of AAPL", || emulator.document("demo-outage", "tenants/acme/live_quotes/AAPL"));
    eventually("a heartbeat that is well again", || {
        let document = emulator.document("demo-outage", "tenants/acme/ops/market_ingest")?;
        (document["fields"]["status"] == json!({"stringValue": "running"})).then_some(())
    });
    host.signal("TERM");
    let finished = host.wait();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert_eq!(emulator.document("demo-outage", spy).unwrap()["fields"]["bid"], json!({"doubleValue": 4.0}));
}

#[test]
fn a_database_that_starts_after_the_host_gets_the_newest_quote() {
    let Some(mut emulator) = emulator_or_skip() else { return };
    emulator.stop();
    let (project, sim) = ("demo-outage-late", Sim::quiet());
    let mut host = start(&sim, &emulator, project);
    sim.wait_for_symbols(&["AAPL", "SPY"]);
    sim.send("SPY", &quote(1.0, 1));
    host.wait_for_event("firestore_write_failed");
    sim.send("SPY", &quote(2.0, 2));
    emulator.start_again();
    eventually("the newest quote", || {
        let document = emulator.document(project, "tenants/acme/live_quotes/SPY")?;
        (document["fields"]["bid"] == json!({"doubleValue": 2.0})).then_some(())
    });
    eventually("a heartbeat", || emulator.document(project, "tenants/acme/ops/market_ingest"));
    host.signal("TERM");
    let finished = host.wait();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
}

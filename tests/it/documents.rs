//! Quotes in, documents out: the real program between the simulator and Google's emulator.

use crate::harness::{Running, Sim, eventually, quotegate};
use quotegate_market::{Quote, conditions};
use quotegate_test_support::SHARED_EMULATOR;
use serde_json::{Value, json};

/// A quote whose exchange time has nanoseconds, which Firestore cannot store.
fn quote(bid_price: f64, ask_price: f64, event_time: i64) -> Quote {
    Quote {
        bid_price,
        bid_size: 300.0,
        ask_price,
        ask_size: 1200.0,
        bid_exchange: b'V',
        ask_exchange: b'V',
        tape: b'B',
        conditions: conditions::pack([&b"R"[..]]),
        event_time,
        received_time: 0,
    }
}

const TIME: i64 = 1_700_000_000_123_456_789;

#[test]
fn documents_have_the_fields_and_types_that_clients_read() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    for encoding in ["json", "msgpack"] {
        let project = format!("demo-documents-{encoding}");
        let sim = Sim::quiet();
        let host = Running::start(
            quotegate(["run"])
                .env("TENANT_ID", "acme")
                .env("ALPACA_KEY_ID", "key")
                .env("ALPACA_SECRET_KEY", "secret")
                .env("MONITORED_SYMBOLS", "SPY,BTC/USD")
                .env("QUOTEGATE_FEED__URL", sim.url())
                .env("QUOTEGATE_FEED__ENCODING", encoding)
                .env("FIRESTORE_PROJECT_ID", &project)
                .env("FIRESTORE_EMULATOR_HOST", emulator.host()),
        );
        sim.wait_for_symbols(&["BTC/USD", "SPY"]);
        sim.send("SPY", &quote(501.25, 501.27, TIME));
        sim.send("BTC/USD", &quote(0.0, 64_000.5, TIME + 1));

        let path = "tenants/acme/live_quotes/SPY";
        let spy = eventually("SPY's document", || emulator.document(&project, path));
        let updated_at = spy["fields"]["updated_at"].clone();
        assert!(updated_at["timestampValue"].is_string(), "{updated_at}");
        let time = json!({"timestampValue": "2023-11-14T22:13:20.123456Z"});
        let expected = json!({
            "symbol": {"stringValue": "SPY"},
            "bid": {"doubleValue": 501.25},
            "ask": {"doubleValue": 501.27},
            "price": {"doubleValue": 501.26},
            "bid_size": {"doubleValue": 300.0},
            "ask_size": {"doubleValue": 1200.0},
            "ts": time,
            "updated_at": updated_at,
            "source": {"stringValue": "alpaca"},
            "bid_price": {"doubleValue": 501.25},
            "ask_price": {"doubleValue": 501.27},
            "last_update_ts": time,
        });
        assert_eq!(spy["fields"], expected);

        let path = "tenants/acme/live_quotes/BTC%2FUSD";
        let bitcoin = eventually("BTC/USD's document", || emulator.document(&project, path));
        for side in ["bid", "bid_price", "price"] {
            assert_eq!(bitcoin["fields"][side], json!({"nullValue": null}), "{side}");
        }
        assert_eq!(bitcoin["fields"]["ask"], json!({"doubleValue": 64_000.5}));

        host.signal("TERM");
        assert_eq!(host.wait().code, 0);
        let heartbeat = emulator.document(&project, "tenants/acme/ops/market_ingest").expect("a heartbeat");
        check_heartbeat(&heartbeat["fields"]);
    }
}

fn check_heartbeat(fields: &Value) {
    assert_eq!(fields["status"], json!({"stringValue": "stopped"}));
    assert_eq!(fields["dry_run"], json!({"booleanValue": false}));
    assert!(fields["ts"]["timestampValue"].is_string());
    assert!(fields["last_symbol"]["stringValue"].is_string());
    let counters = &fields["counters"]["mapValue"]["fields"];
    assert_eq!(counters["quotes"], json!({"integerValue": "2"}));
    assert_eq!(counters["written"], json!({"integerValue": "2"}));
}

#[test]
fn tenants_get_their_own_symbols_limits_and_collections() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let sim = Sim::quiet();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quotegate.toml");
    let text = r#"
        [tenants.acme]
        symbols = ["SPY", "AAPL"]
        [tenants.globex]
        symbols = ["AAPL"]
        collection = "board"
    "#;
    std::fs::write(&file, text).unwrap();
    let host = Running::start(
        quotegate(["run", "--config"])
            .arg(&file)
            .env("ALPACA_KEY_ID", "key")
            .env("ALPACA_SECRET_KEY", "secret")
            .env("QUOTEGATE_FEED__URL", sim.url())
            .env("FIRESTORE_PROJECT_ID", "demo-documents-tenants")
            .env("FIRESTORE_EMULATOR_HOST", emulator.host()),
    );
    sim.wait_for_symbols(&["AAPL", "SPY"]);
    sim.send("AAPL", &quote(200.0, 200.02, TIME));
    sim.send("SPY", &quote(500.0, 500.02, TIME));
    for path in ["tenants/acme/live_quotes/AAPL", "tenants/acme/live_quotes/SPY", "tenants/globex/board/AAPL"] {
        eventually(path, || emulator.document("demo-documents-tenants", path));
    }
    assert_eq!(emulator.documents("demo-documents-tenants", "tenants/globex/board").len(), 1);
    assert_eq!(emulator.documents("demo-documents-tenants", "tenants/globex/live_quotes").len(), 0);
    host.signal("TERM");
    assert_eq!(host.wait().code, 0);
}

#[test]
fn the_demo_writes_to_a_running_emulator() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let demo = Running::start(quotegate(["demo"]).env("FIRESTORE_EMULATOR_HOST", emulator.host()));
    for path in ["tenants/alpha/live_quotes/SPY", "tenants/omega/live_quotes/SPY"] {
        eventually(path, || emulator.document("quotegate-demo", path));
    }
    demo.signal("INT");
    let ended = demo.wait();
    assert!(ended.code == 0 && ended.stdout.contains(&emulator.host()), "{ended:?}");
}

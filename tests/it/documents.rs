//! Quotes in, documents out: the real program between the simulator and Google's emulator.

use crate::harness::{HostSetup, Running, Sim, eventually, get, quotegate};
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
    let no_gap = ["from", "to", "cause"].map(|key| (key.to_owned(), json!({"nullValue": null})));
    assert_eq!(fields["last_gap"]["mapValue"]["fields"], Value::Object(no_gap.into_iter().collect()));
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

/// Runs a host that writes to the shared emulator.
fn run(setup: &HostSetup, sim: &Sim, project: &str) -> Option<Running> {
    let emulator = SHARED_EMULATOR.as_ref()?;
    let mut command = setup.command(sim);
    command.env("FIRESTORE_PROJECT_ID", project).env("FIRESTORE_EMULATOR_HOST", emulator.host());
    Some(Running::start(&mut command))
}

/// The ids of the documents in a collection.
fn ids(project: &str, collection: &str) -> Vec<String> {
    let documents = SHARED_EMULATOR.as_ref().unwrap().documents(project, collection);
    let id = |document: &Value| document["name"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    documents.iter().map(id).collect()
}

/// The names of a document's fields, sorted.
fn names(document: &Value) -> Vec<String> {
    document["fields"].as_object().unwrap().keys().cloned().collect()
}

const STREAMER: [&str; 8] =
    ["ask_price", "ask_size", "asset_class", "bid_price", "bid_size", "ingest_ts", "last_update_ts", "symbol"];

#[test]
fn a_quote_goes_to_every_collection_in_its_shape_and_each_write_takes_a_token() {
    const PROJECT: &str = "demo-documents-collections";
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let sim = Sim::quiet();
    let setup = HostSetup::new(
        r#"
        run.shutdown_grace_s = 0.1
        [pace]
        writes_per_second = 0.001
        burst = 3
        [tenants.acme]
        symbols = ["SPY", "AAPL"]
        collections = ["live_quotes", { path = "market_intelligence/quotes/live", shape = "streamer" }]
        "#,
    );
    let Some(host) = run(&setup, &sim, PROJECT) else { return };
    sim.wait_for_symbols(&["AAPL", "SPY"]);
    sim.send("SPY", &quote(148.39, 148.40, TIME));
    let spy = eventually("SPY in the nested collection", || {
        emulator.document(PROJECT, "tenants/acme/market_intelligence/quotes/live/SPY")
    });
    assert_eq!(names(&spy), STREAMER);
    let fields = &spy["fields"];
    assert_eq!(fields["last_update_ts"], json!({"timestampValue": "2023-11-14T22:13:20.123456Z"}));
    assert!(fields["ingest_ts"]["timestampValue"].is_string() && fields["ingest_ts"] != fields["last_update_ts"]);
    assert_eq!(fields["asset_class"], json!({"stringValue": "us_equity"}));
    let spy = eventually("SPY in the standard shape", || emulator.document(PROJECT, "tenants/acme/live_quotes/SPY"));
    assert_eq!(spy["fields"]["price"], json!({"doubleValue": 148.395}));

    // One token is left, and this quote needs two.
    sim.send("AAPL", &quote(200.0, 200.02, TIME));
    let samples = eventually("three confirmed documents", || {
        let metrics = get(setup.port, "/metrics")?.body;
        metrics.contains("quotegate_tenant_writes_total{tenant=\"acme\"} 3\n").then_some(metrics)
    });
    for (collection, written) in [("live_quotes", 2), ("market_intelligence/quotes/live", 1)] {
        let labels = format!(r#"{{tenant="acme",collection="{collection}",outcome="written"}}"#);
        let sample = format!("quotegate_tenant_documents_total{labels} {written}\n");
        assert!(samples.contains(&sample), "{sample}{samples}");
    }
    assert!(samples.contains("quotegate_write_tokens 0\n"), "{samples}");
    assert_eq!(ids(PROJECT, "tenants/acme/live_quotes"), ["AAPL", "SPY"]);
    assert_eq!(ids(PROJECT, "tenants/acme/market_intelligence/quotes/live"), ["SPY"]);
    host.signal("TERM");
    assert_eq!(host.wait().code, 0);
}

#[test]
fn a_maps_documents_a_shape_and_the_mirror_of_one_tenant_stand_side_by_side() {
    const PROJECT: &str = "demo-documents-mirror";
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let sim = Sim::quiet();
    let setup = HostSetup::new(
        r#"
        sink.root_mirror = "acme"
        [tenants.acme]
        symbols = ["SPY"]
        collections = ["board", { path = "live", shape = "streamer" }, "copies/of/board"]
        [[tenants.acme.plugins]]
        standard = "field-map"
        config = { fields = { mapped = "mid" } }
        [tenants.globex]
        symbols = ["QQQ"]
        "#,
    );
    let Some(host) = run(&setup, &sim, PROJECT) else { return };
    sim.wait_for_symbols(&["QQQ", "SPY"]);
    sim.send("SPY", &quote(501.25, 501.27, TIME));
    sim.send("QQQ", &quote(400.0, 400.02, TIME));
    let document = |path: &str| eventually(path, || emulator.document(PROJECT, path));
    for path in ["tenants/acme/board/SPY", "tenants/acme/copies/of/board/SPY"] {
        // The host adds the quote's time, by which it compares versions.
        let event_time = json!({"timestampValue": "2023-11-14T22:13:20.123456Z"});
        let expected = json!({"mapped": {"doubleValue": 501.26}, "_event_time": event_time});
        assert_eq!(document(path)["fields"], expected, "{path}");
    }
    assert_eq!(names(&document("tenants/acme/live/SPY")), STREAMER);
    let mirrored = document("live_quotes/SPY");
    assert_eq!(mirrored["fields"]["price"], json!({"doubleValue": 501.26}));
    assert_eq!(names(&mirrored), names(&document("tenants/globex/live_quotes/QQQ")));
    host.signal("TERM");
    assert_eq!(host.wait().code, 0);
    assert_eq!(ids(PROJECT, "live_quotes"), ["SPY"], "only one tenant is mirrored");
    assert_eq!(ids(PROJECT, "tenants/acme/live_quotes"), [""; 0]);
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

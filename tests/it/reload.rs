//! Tenants, symbols and limits change while the real program runs, on one connection.

use std::path::PathBuf;
use std::time::Instant;

use crate::harness::{Running, Sim, eventually, free_port, get, quotegate};
use quotegate_market::Quote;
use quotegate_test_support::{Emulator, SHARED_EMULATOR};
use serde_json::{Value, json};
use tempfile::TempDir;

const TIME: i64 = 1_700_000_000_000_000_000;

fn quote(price: f64) -> Quote {
    Quote { bid_price: price, ask_price: price, event_time: TIME + price as i64, ..Quote::default() }
}

/// A folder with settings, and what the host needs to run: port and emulator.
struct HostSetup<'a> {
    folder: TempDir,
    emulator: &'a Emulator,
    project: &'static str,
    port: u16,
}

impl<'a> HostSetup<'a> {
    fn new(emulator: &'a Emulator, project: &'static str, settings: &str) -> Self {
        let setup = Self { folder: tempfile::tempdir().unwrap(), emulator, project, port: free_port() };
        setup.write(settings);
        setup
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("quotegate.toml")
    }

    fn write(&self, settings: &str) {
        let common =
            "[run]\nwatch_interval_s = 0\ncontrol_interval_s = 0\n[tenant_defaults]\nper_symbol_min_interval_ms = 0\n";
        let draft = self.folder.path().join("draft");
        std::fs::write(&draft, format!("{common}{settings}")).unwrap();
        std::fs::rename(&draft, self.file()).unwrap();
    }

    fn run(&self, sim: &Sim) -> Running {
        Running::start(
            quotegate(["run", "--config"])
                .arg(self.file())
                .env("ALPACA_KEY_ID", "key")
                .env("ALPACA_SECRET_KEY", "secret")
                .env("QUOTEGATE_FEED__URL", sim.url())
                .env("QUOTEGATE_OPS__PORT", self.port.to_string())
                .env("HEARTBEAT_INTERVAL_S", "1")
                .env("FIRESTORE_PROJECT_ID", self.project)
                // A timed-out write has used its token, and a test with two tokens per hour has none to spare.
                .env("QUOTEGATE_SINK__REQUEST_TIMEOUT_S", "60")
                .env("FIRESTORE_EMULATOR_HOST", self.emulator.host()),
        )
    }

    /// Writes new settings and waits until they apply.
    fn reload(&self, host: &mut Running, settings: &str) {
        self.write(settings);
        let before = host.events("reload");
        host.signal("HUP");
        eventually("the reload", || (host.events("reload") > before).then_some(()));
    }

    fn bid(&self, tenant: &str, symbol: &str) -> Option<f64> {
        let document = self.emulator.document(self.project, &format!("tenants/{tenant}/live_quotes/{symbol}"))?;
        document["fields"]["bid"]["doubleValue"].as_f64()
    }

    fn wait_for_bid(&self, tenant: &str, symbol: &str, expected: f64) {
        eventually(&format!("{tenant}'s {symbol} at {expected}"), || {
            self.bid(tenant, symbol).filter(|bid| *bid == expected)
        });
    }

    fn heartbeat(&self, tenant: &str) -> Option<Value> {
        let document = self.emulator.document(self.project, &format!("tenants/{tenant}/ops/market_ingest"))?;
        Some(document["fields"].clone())
    }

    fn tenants(&self) -> Option<Vec<Value>> {
        let state: Value = serde_json::from_str(&get(self.port, "/api/state")?.body).ok()?;
        Some(state["tenants"].as_array()?.clone())
    }
}

#[test]
fn tenants_are_added_changed_and_removed_on_one_connection() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let sim = Sim::quiet();
    let setup = HostSetup::new(
        emulator,
        "demo-reload",
        r#"
        [tenants.acme]
        symbols = ["AAPL", "SPY"]
        [tenants.initech]
        symbols = ["QQQ"]
        "#,
    );
    let mut host = setup.run(&sim);
    sim.wait_for_symbols(&["AAPL", "QQQ", "SPY"]);
    for symbol in ["AAPL", "QQQ", "SPY"] {
        sim.send(symbol, &quote(1.0));
    }
    setup.wait_for_bid("acme", "SPY", 1.0);
    setup.wait_for_bid("initech", "QQQ", 1.0);

    // One tenant is added, one is removed, one changes its symbols.
    setup.reload(
        &mut host,
        r#"
        [tenants.acme]
        symbols = ["SPY", "TSLA"]
        [tenants.globex]
        symbols = ["SPY", "MSFT"]
        "#,
    );
    sim.wait_for_symbols(&["MSFT", "SPY", "TSLA"]);
    for symbol in ["MSFT", "SPY", "TSLA"] {
        sim.send(symbol, &quote(2.0));
    }
    for (tenant, symbol) in [("acme", "SPY"), ("acme", "TSLA"), ("globex", "SPY"), ("globex", "MSFT")] {
        setup.wait_for_bid(tenant, symbol, 2.0);
    }
    assert_eq!((setup.bid("acme", "MSFT"), setup.bid("globex", "TSLA")), (None, None));
    eventually("the last heartbeat of the removed tenant", || {
        let fields = setup.heartbeat("initech")?;
        let gone = fields["status"]["stringValue"] == "stopped"
            && fields["reason"]["stringValue"] == "the tenant was removed from the settings";
        gone.then_some(())
    });
    eventually("the new tenant's heartbeat", || {
        (setup.heartbeat("globex")?["status"]["stringValue"] == "running").then_some(())
    });
    let ids: Vec<Value> = setup.tenants().unwrap().iter().map(|tenant| tenant["id"].clone()).collect();
    assert_eq!(ids, [json!("acme"), json!("globex")]);
    let metrics = get(setup.port, "/metrics").unwrap().body;
    assert!(metrics.contains("{tenant=\"globex\"}") && !metrics.contains("{tenant=\"initech\"}"), "{metrics}");

    // The removed tenant and one symbol return, and an older quote must not be written.
    setup.reload(
        &mut host,
        r#"
        [tenants.acme]
        symbols = ["AAPL", "SPY", "TSLA"]
        [tenants.globex]
        symbols = ["SPY"]
        collection = "board"
        [tenants.initech]
        symbols = ["QQQ"]
        "#,
    );
    sim.wait_for_symbols(&["AAPL", "QQQ", "SPY", "TSLA"]);
    sim.send("AAPL", &Quote { event_time: TIME, ..quote(9.0) });
    sim.send("QQQ", &quote(3.0));
    setup.wait_for_bid("initech", "QQQ", 3.0);
    sim.send("SPY", &quote(5.0));
    eventually("a quote in the new collection", || emulator.document(setup.project, "tenants/globex/board/SPY"));
    assert_eq!(setup.bid("globex", "SPY"), Some(2.0));
    eventually("the older quote", || {
        let tenants = setup.tenants()?;
        (tenants[0]["older"] == 1 && tenants[0]["dirty"] == 0 && tenants[0]["in_flight"] == 0).then_some(())
    });
    assert_eq!(setup.bid("acme", "AAPL"), Some(1.0));
    sim.send("AAPL", &quote(4.0));
    setup.wait_for_bid("acme", "AAPL", 4.0);
    eventually("a heartbeat after the goodbye", || {
        (setup.heartbeat("initech")?["status"]["stringValue"] == "running").then_some(())
    });

    assert_eq!(sim.handle().connections(), 1, "the websocket was not to be touched");
    host.signal("TERM");
    let ended = host.wait();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(!ended.stderr.contains("alpaca_disconnect"), "{}", ended.stderr);
}

#[test]
fn limits_change_without_a_second_burst_and_a_pause_applies_at_once() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let sim = Sim::quiet();
    let settings = |pace: &str, tenant: &str| {
        format!("[tenants.acme]\nsymbols = [\"*\"]\n{tenant}\n[tenants.globex]\nsymbols = [\"S0\"]\n[pace]\n{pace}\n")
    };
    // Two documents, then one per hour.
    let tight = "writes_per_second = 0.001\nburst = 2";
    let setup = HostSetup::new(emulator, "demo-reload-limits", &settings(tight, "paused = true"));
    let mut host = setup.run(&sim);
    sim.wait_for_symbols(&["*"]);
    setup.reload(&mut host, &settings(tight, "paused = false"));
    for number in 1..=30 {
        sim.send(&format!("S{number}"), &quote(1.0));
    }
    let written = || Some(setup.emulator.documents(setup.project, "tenants/acme/live_quotes").len());
    eventually("two documents", || written().filter(|count| *count == 2));

    // A larger burst adds no tokens: the bucket was empty and fills at the new rate.
    let began = Instant::now();
    setup.reload(&mut host, &settings("writes_per_second = 2\nburst = 100", "paused = false"));
    let count = eventually("three more documents", || written().filter(|count| *count >= 5));
    // The clock is read after the count, so writes in between are not counted.
    let most = 2 + (2.0 * began.elapsed().as_secs_f64()).floor() as usize + 1;
    assert!(count <= most, "{count} documents where {most} were allowed");

    // A tenant's own limit, then none.
    let tenant = "paused = false\nwrites_per_second = 0.001\nburst = 1";
    setup.reload(&mut host, &settings("writes_per_second = 1000\nburst = 100", tenant));
    eventually("nothing in flight", || setup.tenants().filter(|tenants| tenants[0]["in_flight"] == 0));
    let before = written().unwrap();
    for number in 100..150 {
        sim.send(&format!("S{number}"), &quote(1.0));
    }
    sim.send("S0", &quote(1.0));
    setup.wait_for_bid("globex", "S0", 1.0);
    assert!(written().unwrap() <= before + 1);
    setup.reload(&mut host, &settings("writes_per_second = 1000\nburst = 100", "paused = true"));
    eventually("a paused heartbeat", || {
        let fields = setup.heartbeat("acme")?;
        let paused = fields["status"]["stringValue"] == "paused"
            && fields["reason"]["stringValue"].as_str()?.contains("tenants.acme.paused");
        paused.then_some(())
    });
    let paused_at = written().unwrap();
    sim.send("S0", &quote(2.0));
    setup.wait_for_bid("globex", "S0", 2.0);
    assert_eq!(written().unwrap(), paused_at);
    setup.reload(&mut host, &settings("writes_per_second = 1000\nburst = 100", "paused = false"));
    eventually("everything", || written().filter(|count| *count == 81));

    assert_eq!(sim.handle().connections(), 1);
    host.signal("TERM");
    assert_eq!(host.wait().code, 0);
}

#[test]
fn a_bad_file_changes_nothing_and_settings_that_need_a_restart_are_named() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let sim = Sim::quiet();
    let good = "[tenants.acme]\nsymbols = [\"SPY\"]\n";
    let setup = HostSetup::new(emulator, "demo-reload-bad", good);
    let mut host = setup.run(&sim);
    sim.wait_for_symbols(&["SPY"]);
    // The second tenant is valid, but the first one's plugin does not exist.
    let bad = "[tenants.acme]\nsymbols = [\"QQQ\"]\nplugins = [{ path = \"nowhere.wasm\" }]\n[tenants.globex]\n";
    setup.write(bad);
    host.signal("HUP");
    let refused = host.wait_for_event("reload_refused");
    assert!(refused["message"].as_str().unwrap().contains("nowhere.wasm"), "{refused}");
    let metrics = || get(setup.port, "/metrics").map(|answer| answer.body);
    eventually("the refused reload in the metrics", || {
        metrics().filter(|text| text.contains("\nquotegate_reload_refused 1\n"))
    });
    setup.reload(&mut host, &format!("{good}[sink]\nbatch_size = 7\n[pace]\nburst = 41\n"));
    let text = metrics().unwrap();
    for line in ["quotegate_reload_refused 0", r#"quotegate_reloads_total{outcome="applied"} 1"#] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let named = host.wait_for_event("reload_needs_restart");
    assert!(named["message"].as_str().unwrap().ends_with("after a restart: sink.batch_size"), "{named}");
    sim.send("SPY", &quote(1.0));
    sim.send("QQQ", &quote(1.0));
    setup.wait_for_bid("acme", "SPY", 1.0);
    assert_eq!(setup.tenants().unwrap().len(), 1);
    assert_eq!(sim.handle().subscribed().into_iter().collect::<Vec<_>>(), ["SPY"]);
    host.signal("TERM");
    let ended = host.wait();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(setup.bid("acme", "QQQ"), None);
}

#[test]
fn tenant_files_are_added_and_removed_without_a_signal() {
    let sim = Sim::quiet();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quotegate.toml");
    std::fs::write(&file, "[run]\nwatch_interval_s = 0.1\n[tenants.acme]\nsymbols = [\"SPY\"]\n").unwrap();
    let mut host = Running::start(
        quotegate(["run", "--dry-run", "--config"])
            .arg(&file)
            .env("ALPACA_KEY_ID", "key")
            .env("ALPACA_SECRET_KEY", "secret")
            .env("QUOTEGATE_FEED__SOURCE", "alpaca")
            .env("QUOTEGATE_FEED__URL", sim.url()),
    );
    sim.wait_for_symbols(&["SPY"]);
    let tenants = folder.path().join("tenants");
    std::fs::create_dir(&tenants).unwrap();
    let draft = folder.path().join("draft");
    std::fs::write(&draft, "symbols = [\"QQQ\"]\n").unwrap();
    std::fs::rename(&draft, tenants.join("globex.toml")).unwrap();
    host.wait_for("a new tenant", |line| line["event_type"] == "tenant_added" && line["tenant"] == "globex");
    sim.wait_for_symbols(&["QQQ", "SPY"]);
    std::fs::remove_file(tenants.join("globex.toml")).unwrap();
    let removed = host.wait_for_event("tenant_removed");
    assert_eq!((&removed["tenant"], &removed["unflushed"]), (&json!("globex"), &json!(0)));
    sim.wait_for_symbols(&["SPY"]);
    assert_eq!(sim.handle().connections(), 1);
    host.signal("TERM");
    assert_eq!(host.wait().code, 0);
}

//! The latest quotes over REST (invariant 9): documents are right after a gap although no tick came, whatever REST does.

use std::io::Write;
use std::net::TcpListener;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::harness::{HostSetup, Running, SNAPSHOT, Sim, eventually, finish, free_port, get, quotegate};
use quotegate_market::{Quote, Symbol};
use quotegate_sim::{Fault, Rate, SimSettings};
use quotegate_test_support::{Emulator, SHARED_EMULATOR};
use serde_json::{Value, json};

const SETTINGS: &str = r#"
    [feed]
    calendar = "always"
    reconnect_backoff_base_s = 0.05
    reconnect_backoff_max_s = 0.1
    [tenants.acme]
    symbols = ["SPY", "AAPL"]
    per_symbol_min_interval_ms = 0
"#;

fn quote(bid_price: f64) -> Quote {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
    Quote { bid_price, ask_price: bid_price + 0.02, event_time: now, ..Quote::default() }
}

/// A tick that everybody misses.
fn change(sim: &Sim, symbol: &str, bid_price: f64) {
    sim.handle().change_quote(&Symbol::new(symbol).unwrap(), &quote(bid_price));
}

fn start(setup: &HostSetup, sim: &Sim, emulator: &Emulator, project: &str) -> Running {
    let firestore = [("FIRESTORE_PROJECT_ID", project.to_owned()), ("FIRESTORE_EMULATOR_HOST", emulator.host())];
    Running::start(setup.command(sim).env("ALPACA_SECRET_KEY", "hush-hush").envs(firestore).env_remove(SNAPSHOT))
}

fn wait_for_bid(emulator: &Emulator, project: &str, symbol: &str, bid: f64) {
    eventually(&format!("{symbol} at {bid}"), || {
        let document = emulator.document(project, &format!("tenants/acme/live_quotes/{symbol}"))?;
        (document["fields"]["bid"] == json!({ "doubleValue": bid })).then_some(())
    });
}

#[test]
fn after_a_gap_the_documents_are_right_although_no_tick_came() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let (project, sim, setup) = ("demo-snapshot-gap", Sim::quiet(), HostSetup::new(SETTINGS));
    // Before the host comes: its first snapshot brings both.
    change(&sim, "SPY", 500.0);
    change(&sim, "AAPL", 200.0);
    let mut host = start(&setup, &sim, emulator, project);
    wait_for_bid(emulator, project, "SPY", 500.0);
    wait_for_bid(emulator, project, "AAPL", 200.0);
    setup.wait_until_served();
    let status = finish(&mut quotegate(["status", &setup.page()])).stdout;
    // Quotes from REST are no sign that the feed is alive.
    assert!(status.starts_with("STALE ") && status.contains("\ntenant acme: STALE, "), "{status}");
    sim.send("SPY", &quote(501.0));
    wait_for_bid(emulator, project, "SPY", 501.0);

    let connections = sim.handle().connections();
    sim.handle().set_fault(Some(Fault::Http429));
    sim.handle().disconnect_all();
    host.wait_for_event("alpaca_disconnect");
    change(&sim, "SPY", 510.0);
    change(&sim, "AAPL", 210.0);
    sim.handle().set_fault(None);
    eventually("the reconnect", || (sim.handle().connections() > connections).then_some(()));
    let reconnected = Instant::now();
    wait_for_bid(emulator, project, "SPY", 510.0);
    wait_for_bid(emulator, project, "AAPL", 210.0);
    eprintln!("the documents were right {:.3} s after the reconnect", reconnected.elapsed().as_secs_f64());

    let gap = host.wait_for_event("feed_gap");
    assert_eq!(gap["cause"], "closed", "{gap}");
    assert!(gap["from"].as_str() < gap["to"].as_str() && gap["seconds"].as_f64() > Some(0.0), "{gap}");
    let state: Value = serde_json::from_str(&get(setup.port, "/api/state").unwrap().body).unwrap();
    let (gap, snapshot) = (&state["feed"]["gap"], &state["feed"]["snapshot"]);
    assert!(gap["cause"] == "closed" && gap["from"].as_i64() < gap["to"].as_i64(), "{gap}");
    assert!(snapshot["quotes"].as_u64() >= Some(4) && snapshot["failures"] == json!({}), "{snapshot}");
    let status = finish(&mut quotegate(["status", &setup.page()])).stdout;
    assert!(status.contains("\ngap      no quotes for "), "{status}");
    eventually("the gap in the heartbeat", || {
        let document = emulator.document(project, "tenants/acme/ops/market_ingest")?;
        let gap = &document["fields"]["last_gap"]["mapValue"]["fields"];
        let has_times = ["from", "to"].iter().all(|end| gap[end]["timestampValue"].is_string());
        (has_times && gap["cause"] == json!({"stringValue": "closed"})).then_some(())
    });
    host.signal("TERM");
    assert_eq!(host.wait().code, 0);
}

#[test]
fn whatever_rest_does_ticks_are_written_and_the_snapshot_follows_later() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    for (fault, failure) in
        [(Fault::Rest429, "rate_limited"), (Fault::RestError, "server_error"), (Fault::RestSilent, "")]
    {
        let project = format!("demo-snapshot-{fault}");
        let settings = SimSettings { rate: Rate::PerSecond(0.0), fault: Some(fault), ..SimSettings::default() };
        let (sim, setup) = (Sim::with(settings), HostSetup::new(SETTINGS));
        change(&sim, "AAPL", 200.0);
        let host = start(&setup, &sim, emulator, &project);
        sim.wait_for_symbols(&["AAPL", "SPY"]);
        eventually("a request", || (sim.handle().rest_requests() > 0).then_some(()));
        sim.send("SPY", &quote(500.0));
        wait_for_bid(emulator, &project, "SPY", 500.0);
        assert_eq!(emulator.document(&project, "tenants/acme/live_quotes/AAPL"), None, "{fault}");
        sim.handle().set_fault(None);
        wait_for_bid(emulator, &project, "AAPL", 200.0);
        host.signal("TERM");
        let finished = host.wait();
        assert_eq!(finished.code, 0, "{fault}: {}", finished.stderr);
        assert!(finished.stderr.contains(failure) && !finished.stderr.contains("hush-hush"), "{}", finished.stderr);
    }
}

#[test]
fn a_snapshot_passes_the_same_filters_and_never_replaces_a_newer_tick() {
    let filter = "[[tenants.acme.plugins]]\nstandard = \"quote-filter\"\nconfig = { min_price = 10 }\n";
    let (sim, setup) = (Sim::quiet(), HostSetup::new(&format!("{SETTINGS}{filter}")));
    let rest = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", rest.local_addr().unwrap());
    let mut command = setup.command(&sim);
    let mut host =
        Running::start(command.env("DRY_RUN", "1").env("QUOTEGATE_FEED__REST_URL", url).env_remove(SNAPSHOT));
    let (mut request, _) = rest.accept().unwrap();
    sim.send("SPY", &quote(500.0));
    host.wait_for("the tick's document", |line| line["fields"]["bid"] == 500.0);
    // The answer comes after the tick, with a quote from before it, and with one that the filter refuses.
    let time = "2023-04-06T11:54:00Z";
    let quotes = json!({"SPY": {"bp": 400, "ap": 401, "t": time}, "AAPL": {"bp": 5, "ap": 6, "t": time}});
    let body = json!({ "quotes": quotes }).to_string();
    write!(request, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).unwrap();
    eventually("both are counted", || {
        let metrics = get(setup.port, "/metrics")?.body;
        let is_one = |name: &str| metrics.contains(&format!("quotegate_tenant_{name}_total{{tenant=\"acme\"}} 1\n"));
        (is_one("older") && is_one("filtered") && is_one("writes")).then_some(())
    });
    host.signal("TERM");
    let ended = host.wait();
    let documents = ended.stderr.matches(r#""path":"tenants/acme/live_quotes/"#).count();
    assert_eq!((ended.code, documents), (0, 1), "{}", ended.stderr);
}

#[test]
fn a_symbol_that_a_reload_adds_has_its_document_before_its_first_tick() {
    let (sim, setup) = (Sim::quiet(), HostSetup::new(SETTINGS));
    change(&sim, "QQQ", 300.0);
    let mut host = Running::start(setup.command(&sim).env("DRY_RUN", "1").env_remove(SNAPSHOT));
    sim.wait_for_symbols(&["AAPL", "SPY"]);
    let more = SETTINGS.replace("\"AAPL\"", "\"AAPL\", \"QQQ\"");
    std::fs::write(setup.folder.path().join("quotegate.toml"), more).unwrap();
    host.signal("HUP");
    host.wait_for("the document of QQQ", |line| line["path"].as_str().is_some_and(|path| path.ends_with("/QQQ")));
    host.signal("TERM");
    assert_eq!(host.wait().code, 0);
}

#[test]
fn without_the_setting_nothing_is_asked() {
    let (sim, setup) = (Sim::quiet(), HostSetup::new(SETTINGS));
    let mut host = Running::start(setup.command(&sim).env("DRY_RUN", "1").env(SNAPSHOT, "false"));
    sim.wait_for_symbols(&["AAPL", "SPY"]);
    sim.send("SPY", &quote(500.0));
    host.wait_for_event("firestore_write");
    assert_eq!(sim.handle().rest_requests(), 0);
    host.signal("TERM");
    assert_eq!(host.wait().code, 0);
}

#[test]
fn a_dry_run_shows_quotes_of_any_symbol() {
    let mut host = Running::start(
        quotegate(["run"]).env("TENANT_ID", "acme").env("DRY_RUN", "1").env("MONITORED_SYMBOLS", "MYCO,ZZZQ"),
    );
    for symbol in ["MYCO", "ZZZQ"] {
        let path = format!("tenants/acme/live_quotes/{symbol}");
        host.wait_for(&path, |line| line["path"] == path.as_str());
    }
    host.signal("TERM");
    assert_eq!(host.wait().code, 0);
}

#[test]
fn the_simulator_says_what_it_does_and_serves_rest() {
    let refused = finish(&mut quotegate(["sim", "--rate", "0"]));
    assert!(refused.code == 2 && refused.stderr.contains("above 0"), "{refused:?}");

    let (port, sim) = {
        let port = free_port();
        (port, Running::start(&mut quotegate(["sim", "--listen", &format!("127.0.0.1:{port}"), "--symbols", "SPY"])))
    };
    let keys = "APCA-API-KEY-ID: k\r\nAPCA-API-SECRET-KEY: s\r\n";
    let answer =
        eventually("an answer", || crate::harness::request(port, "GET", "/v2/stocks/quotes/latest?symbols=SPY", keys));
    assert!(answer.status == 200 && answer.body.contains(r#""quotes":{"SPY":{"#), "{answer:?}");
    sim.signal("TERM");
    let ended = sim.wait();
    assert_eq!(ended.code, 0);
    assert!(ended.stderr.contains("clients are disconnected") && !ended.stderr.contains("dirty"), "{}", ended.stderr);
}

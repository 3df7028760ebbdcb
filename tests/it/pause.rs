//! The kill switch: the real program, the control document in Google's emulator, and everything that shows the pause.

use crate::harness::{Running, Sim, eventually, free_port, get, quotegate};
use quotegate_market::Quote;
use quotegate_test_support::{Emulator, SHARED_EMULATOR};
use serde_json::{Value, json};

const CONTROL: &str = "ops/ingest_control";

fn host(sim: &Sim, emulator: &Emulator, project: &str, port: u16) -> std::process::Command {
    let mut command = quotegate(["run"]);
    command
        .args(["--set", "tenants.acme.symbols=SPY", "--set", "tenants.globex.symbols=SPY"])
        .env("PER_SYMBOL_MIN_INTERVAL_MS", "0")
        .env("ALPACA_KEY_ID", "key")
        .env("ALPACA_SECRET_KEY", "secret")
        .env("HEARTBEAT_INTERVAL_S", "1")
        .env("QUOTEGATE_RUN__INSTANCE", "host-a")
        .env("QUOTEGATE_RUN__CONTROL_INTERVAL_S", "0.1")
        .env("QUOTEGATE_FEED__URL", sim.url())
        .env("QUOTEGATE_OPS__PORT", port.to_string())
        .env("FIRESTORE_PROJECT_ID", project)
        .env("FIRESTORE_EMULATOR_HOST", emulator.host());
    command
}

fn quote(price: f64) -> Quote {
    let event_time = 1_700_000_000_000_000_000 + price as i64;
    Quote { bid_price: price, ask_price: price, event_time, ..Quote::default() }
}

/// The bid of the tenant's document.
fn bid(emulator: &Emulator, project: &str, tenant: &str) -> Option<f64> {
    let document = emulator.document(project, &format!("tenants/{tenant}/live_quotes/SPY"))?;
    document["fields"]["bid"]["doubleValue"].as_f64()
}

/// Waits until the tenant's heartbeat has this status and this text in its reason.
fn heartbeat_says(emulator: &Emulator, project: &str, tenant: &str, status: &str, words: &str) {
    eventually(&format!("{tenant}: {status} {words}"), || {
        let document = emulator.document(project, &format!("tenants/{tenant}/ops/market_ingest"))?;
        let fields = &document["fields"];
        let reason = fields["reason"]["stringValue"].as_str().unwrap_or_default();
        (fields["status"]["stringValue"] == status && reason.contains(words)).then_some(())
    });
}

fn pause(paused: bool) -> Value {
    json!({"paused": {"booleanValue": paused}})
}

fn pause_in(map: &str, name: &str) -> Value {
    json!({map: {"mapValue": {"fields": {name: {"booleanValue": true}}}}})
}

#[test]
fn the_control_document_pauses_and_resumes_writes() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let (project, sim, port) = ("demo-pause", Sim::quiet(), free_port());
    // A host that starts during a pause writes nothing.
    emulator.set(project, CONTROL, &pause(true));
    let mut host = Running::start(&mut host(&sim, emulator, project, port));
    sim.wait_for_symbols(&["SPY"]);
    sim.send("SPY", &quote(1.0));
    sim.send("SPY", &quote(2.0));
    heartbeat_says(emulator, project, "acme", "paused", "ops/ingest_control pauses all hosts");
    heartbeat_says(emulator, project, "globex", "paused", "ops/ingest_control pauses all hosts");
    let state = eventually("both quotes in the state", || {
        let state: Value = serde_json::from_str(&get(port, "/api/state")?.body).ok()?;
        (state["tenants"][0]["quotes"] == 2 && state["tenants"][1]["quotes"] == 2).then_some(state)
    });
    let acme = &state["tenants"][0];
    assert_eq!((&acme["status"], &acme["dirty"], &acme["attempted"]), (&json!("paused"), &json!(1), &json!(0)));
    assert!(acme["paused"].as_str().unwrap().contains("ops/ingest_control"));
    let metrics = get(port, "/metrics").unwrap().body;
    assert!(metrics.contains("quotegate_tenant_paused{tenant=\"acme\"} 1"), "{metrics}");
    assert_eq!(get(port, "/readyz").unwrap().status, 200);
    assert_eq!(emulator.documents(project, "tenants/acme/live_quotes"), Vec::<Value>::new());

    emulator.set(project, CONTROL, &pause(false));
    for tenant in ["acme", "globex"] {
        eventually("the last word", || bid(emulator, project, tenant).filter(|bid| *bid == 2.0));
        heartbeat_says(emulator, project, tenant, "running", "");
    }

    // A pause for another host does not apply here; a tenant's pause applies only to that tenant.
    let mut other = pause_in("hosts", "host-b");
    other["tenants"] = pause_in("tenants", "acme")["tenants"].clone();
    emulator.set(project, CONTROL, &other);
    heartbeat_says(emulator, project, "acme", "paused", "pauses the tenant acme");
    sim.send("SPY", &quote(3.0));
    eventually("the other tenant's quote", || bid(emulator, project, "globex").filter(|bid| *bid == 3.0));

    // A malformed document changes nothing, and neither does losing it with the whole database.
    emulator.set(project, CONTROL, &json!({"paused": {"stringValue": "no"}}));
    let problem = host.wait_for_event("control_problem");
    assert!(problem["message"].as_str().unwrap().contains("paused must be true or false"), "{problem}");
    sim.send("SPY", &quote(4.0));
    eventually("the other tenant's quote", || bid(emulator, project, "globex").filter(|bid| *bid == 4.0));
    assert_eq!(bid(emulator, project, "acme"), Some(2.0));
    assert_eq!(host.events("control_problem"), 1);

    emulator.set(project, CONTROL, &pause_in("hosts", "host-a"));
    heartbeat_says(emulator, project, "globex", "paused", "pauses the host host-a");
    sim.send("SPY", &quote(5.0));
    eventually("the quote in the state", || {
        let state: Value = serde_json::from_str(&get(port, "/api/state")?.body).ok()?;
        (state["tenants"][1]["quotes"] == 5).then_some(())
    });
    host.signal("TERM");
    let ended = host.wait();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let line = ended.stderr.lines().rfind(|line| line.contains("unflushed_dirty")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(line).unwrap()["unflushed"], 2, "{line}");
    assert_eq!((bid(emulator, project, "acme"), bid(emulator, project, "globex")), (Some(2.0), Some(4.0)));
    heartbeat_says(emulator, project, "acme", "stopped", "");
}

#[test]
fn the_settings_pause_a_host_or_a_tenant() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let (project, sim, port) = ("demo-pause-settings", Sim::quiet(), free_port());
    let running = Running::start(
        host(&sim, emulator, project, port)
            .args(["--set", "tenants.acme.paused=true"])
            .env("QUOTEGATE_RUN__CONTROL_INTERVAL_S", "0"),
    );
    sim.wait_for_symbols(&["SPY"]);
    // The document is not read.
    emulator.set(project, CONTROL, &pause(true));
    sim.send("SPY", &quote(1.0));
    heartbeat_says(emulator, project, "acme", "paused", "tenants.acme.paused");
    eventually("the other tenant's quote", || bid(emulator, project, "globex"));
    assert_eq!(bid(emulator, project, "acme"), None);
    running.signal("TERM");
    assert_eq!(running.wait().code, 0);
}

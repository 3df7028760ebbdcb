//! The times and the last words of heartbeats, as trading gates and UIs read them from Google's emulator.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::harness::{Running, Sim, eventually, free_port, get, quotegate};
use quotegate_market::Quote;
use quotegate_sim::{Fault, SimSettings};
use quotegate_test_support::{Emulator, SHARED_EMULATOR};
use serde_json::Value;

fn host(sim: &Sim, emulator: &Emulator, project: &str) -> Command {
    let mut command = quotegate(["run"]);
    command
        .env("TENANT_ID", "acme")
        .env("ALPACA_KEY_ID", "key")
        .env("ALPACA_SECRET_KEY", "hush-hush")
        .env("HEARTBEAT_INTERVAL_S", "1")
        .env("QUOTEGATE_RUN__CONTROL_INTERVAL_S", "0")
        .env("QUOTEGATE_FEED__URL", sim.url())
        .env("QUOTEGATE_FEED__STALE_AFTER_S", "0")
        .env("FIRESTORE_PROJECT_ID", project)
        .env("FIRESTORE_EMULATOR_HOST", emulator.host());
    command
}

fn send(sim: &Sim) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
    sim.send("SPY", &Quote { bid_price: 1.0, ask_price: 2.0, event_time: now, ..Quote::default() });
}

/// The heartbeat's fields.
fn heartbeat(emulator: &Emulator, project: &str) -> Option<Value> {
    let mut document = emulator.document(project, "tenants/acme/ops/market_ingest")?;
    Some(document["fields"].take())
}

/// A timestamp up to its second. As text, it is in order.
fn second(heartbeat: &Value, field: &str) -> String {
    heartbeat[field]["timestampValue"].as_str().unwrap()[..19].to_owned()
}

/// Waits for a heartbeat that was written after `moment`.
fn written_after(emulator: &Emulator, project: &str, moment: &str) -> Value {
    eventually("a later heartbeat", || {
        heartbeat(emulator, project).filter(|found| second(found, "updated_at").as_str() > moment)
    })
}

#[test]
fn the_time_that_gates_read_stops_with_the_quotes_and_updated_at_goes_on() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let (project, sim) = ("demo-heartbeat-feed", Sim::quiet());
    let host = Running::start(host(&sim, emulator, project).env("QUOTEGATE_FEED__CALENDAR", "always"));
    sim.wait_for_symbols(&["SPY"]);
    let before = eventually("a heartbeat", || heartbeat(emulator, project));
    assert_eq!(second(&before, "ts"), "1970-01-01T00:00:00", "no quote yet, so no gate opens");

    send(&sim);
    let fed = eventually("a time of today", || {
        heartbeat(emulator, project).filter(|found| !second(found, "ts").starts_with("1970"))
    });
    let first = written_after(emulator, project, &second(&fed, "updated_at"));
    let second_later = written_after(emulator, project, &second(&first, "updated_at"));
    assert_eq!(second_later["ts"], fed["ts"], "silence: {second_later}");
    assert_eq!(second_later["last_heartbeat_at"], fed["ts"], "for UIs that read this name first");
    assert_eq!(second_later["ingest_enabled"]["booleanValue"], true);

    send(&sim);
    eventually("the time goes on", || {
        heartbeat(emulator, project).filter(|found| second(found, "ts") > second(&fed, "ts"))
    });
    host.signal("TERM");
    assert_eq!(host.wait().code, 0);
    let last = heartbeat(emulator, project).unwrap();
    assert_eq!(
        (&last["status"]["stringValue"], &last["reason"]),
        (&"stopped".into(), &serde_json::json!({"nullValue": null}))
    );
}

#[test]
fn the_first_quote_opens_gates_at_once_however_rare_heartbeats_are() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let (project, sim, port) = ("demo-heartbeat-rare", Sim::quiet(), free_port());
    let rare = [("HEARTBEAT_INTERVAL_S", "3600"), ("QUOTEGATE_FEED__CALENDAR", "always")];
    let ops = ("QUOTEGATE_OPS__PORT", port.to_string());
    let host = Running::start(host(&sim, emulator, project).envs(rare).envs([ops]));
    sim.wait_for_symbols(&["SPY"]);
    eventually("the first heartbeat", || heartbeat(emulator, project));
    send(&sim);
    eventually("another one, an hour early", || {
        heartbeat(emulator, project).filter(|found| !second(found, "ts").starts_with("1970"))
    });
    // Such a heartbeat is not late after 30 s.
    let metrics = get(port, "/metrics").unwrap().body;
    assert!(metrics.contains("\nquotegate_heartbeat_limit_seconds 7200\n"), "{metrics}");
    drop(host);
}

#[test]
fn the_time_goes_on_while_no_quotes_are_expected_or_if_it_follows_the_host() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    for (project, setting) in [
        // A feed whose hours are not in the calendar: to the host, it is always closed.
        ("demo-heartbeat-night", ("QUOTEGATE_FEED__NAME", "overnight")),
        ("demo-heartbeat-host", ("QUOTEGATE_HEARTBEAT__TS_FOLLOWS", "host")),
    ] {
        let sim = Sim::quiet();
        let calendar = if setting.1 == "host" { "always" } else { "auto" };
        let environment = [setting, ("QUOTEGATE_FEED__CALENDAR", calendar)];
        let host = Running::start(host(&sim, emulator, project).envs(environment));
        let first = eventually("a heartbeat", || heartbeat(emulator, project));
        let later = written_after(emulator, project, &second(&first, "updated_at"));
        for found in [&first, &later] {
            assert_eq!((&found["ts"], &found["last_heartbeat_at"]), (&found["updated_at"], &found["updated_at"]));
        }
        host.signal("TERM");
        assert_eq!(host.wait().code, 0);
    }
}

#[test]
fn the_last_heartbeat_says_that_alpaca_refused_the_key() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let project = "demo-heartbeat-refused";
    let sim = Sim::with(SimSettings { fault: Some(Fault::AuthRefused), ..SimSettings::default() });
    let ended = Running::start(&mut host(&sim, emulator, project)).wait();
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let last = heartbeat(emulator, project).unwrap();
    assert_eq!(last["status"]["stringValue"], "stopped");
    let reason = last["reason"]["stringValue"].as_str().unwrap();
    assert!(reason.contains("Alpaca refused the credentials") && !reason.contains("hush-hush"), "{reason}");
}

//! The switches of the old job: the real program, its heartbeat in Google's emulator, and files that change as Kubernetes
//! and Cloud Run change them.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::harness::{Running, Sim, eventually, finish, free_port, get, quotegate};
use quotegate_market::Quote;
use quotegate_test_support::{Emulator, SHARED_EMULATOR};
use serde_json::Value;

fn host(sim: &Sim, emulator: &Emulator, project: &str, port: u16) -> Command {
    let mut command = quotegate(["run"]);
    command
        .env("TENANT_ID", "acme")
        .env("ALPACA_KEY_ID", "key")
        .env("ALPACA_SECRET_KEY", "secret")
        .env("PER_SYMBOL_MIN_INTERVAL_MS", "0")
        .env("HEARTBEAT_INTERVAL_S", "1")
        .env("QUOTEGATE_RUN__CONTROL_INTERVAL_S", "0")
        .env("QUOTEGATE_FEED__URL", sim.url())
        .env("QUOTEGATE_OPS__PORT", port.to_string())
        .env("FIRESTORE_PROJECT_ID", project)
        .env("FIRESTORE_EMULATOR_HOST", emulator.host());
    command
}

fn send(sim: &Sim, price: f64) {
    let event_time = 1_700_000_000_000_000_000 + price as i64;
    sim.send("SPY", &Quote { bid_price: price, ask_price: price, event_time, ..Quote::default() });
}

fn bid(emulator: &Emulator, project: &str) -> Option<f64> {
    emulator.document(project, "tenants/acme/live_quotes/SPY")?["fields"]["bid"]["doubleValue"].as_f64()
}

/// Waits for a heartbeat with this status, and returns its reason.
fn heartbeat_says(emulator: &Emulator, project: &str, status: &str) -> String {
    eventually(status, || {
        let document = emulator.document(project, "tenants/acme/ops/market_ingest")?;
        let fields = &document["fields"];
        let enabled = status == "running";
        (fields["status"]["stringValue"] == status && fields["ingest_enabled"]["booleanValue"] == enabled)
            .then(|| fields["reason"]["stringValue"].as_str().unwrap_or_default().to_owned())
    })
}

/// Waits until the host has read so many quotes.
fn wait_for_quotes(port: u16, quotes: u64) {
    eventually("the quote is read", || {
        let state: Value = serde_json::from_str(&get(port, "/api/state")?.body).ok()?;
        (state["tenants"][0]["quotes"] == quotes).then_some(())
    });
}

/// A mounted configuration: a folder whose files are links through `..data`, which is exchanged as a whole.
struct Mount<'a>(&'a Path);

impl Mount<'_> {
    fn create(&self, name: &str, text: &str) {
        self.publish(name, text);
        symlink(Path::new("..data").join(name), self.0.join(name)).unwrap();
    }

    fn publish(&self, name: &str, text: &str) {
        let version = tempfile::Builder::new().prefix("..").tempdir_in(self.0).unwrap().keep();
        std::fs::write(version.join(name), text).unwrap();
        let new = self.0.join("..data_tmp");
        symlink(version.file_name().unwrap(), &new).unwrap();
        std::fs::rename(&new, self.0.join("..data")).unwrap();
    }
}

#[test]
fn a_mounted_file_stops_and_allows_writes_while_the_host_runs() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    for (project, variable, stop, allow) in [
        ("demo-switch-halted", "EXECUTION_HALTED_FILE", "1\n", "0\n"),
        ("demo-switch-kill", "EXEC_KILL_SWITCH_FILE", "on", "off"),
        ("demo-switch-ingest", "INGEST_ENABLED_FILE", "n\n", "y\n"),
    ] {
        let (folder, sim, port) = (tempfile::tempdir().unwrap(), Sim::quiet(), free_port());
        let mount = Mount(folder.path());
        mount.create("switch", allow);
        let file = folder.path().join("switch");
        let mut host = Running::start(host(&sim, emulator, project, port).env(variable, &file));
        sim.wait_for_symbols(&["SPY"]);
        send(&sim, 1.0);
        eventually("the first quote", || bid(emulator, project).filter(|bid| *bid == 1.0));
        heartbeat_says(emulator, project, "running");

        mount.publish("switch", stop);
        let reason = heartbeat_says(emulator, project, "paused");
        assert!(reason.starts_with(variable) && reason.ends_with("pauses this host"), "{reason}");
        host.wait_for("the change", |line| {
            let said = line["message"].as_str().unwrap_or_default();
            line["event_type"] == "switch" && said.ends_with("nothing but heartbeats is written")
        });
        send(&sim, 2.0);
        wait_for_quotes(port, 2);
        assert!(get(port, "/metrics").unwrap().body.contains("quotegate_tenant_paused{tenant=\"acme\"} 1"));
        assert_eq!(bid(emulator, project), Some(1.0));

        mount.publish("switch", allow);
        eventually("the last word", || bid(emulator, project).filter(|bid| *bid == 2.0));
        heartbeat_says(emulator, project, "running");
        assert_eq!(host.events("switch"), 3, "one line at the start, and one per change");
        host.signal("TERM");
        assert_eq!(host.wait().code, 0);
    }
}

#[test]
fn a_host_that_starts_halted_writes_only_heartbeats() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    for (project, variable, value) in [
        ("demo-switch-env-halted", "EXECUTION_HALTED", "1"),
        ("demo-switch-env-kill", "EXEC_KILL_SWITCH", "TRUE"),
        ("demo-switch-env-ingest", "INGEST_ENABLED", "0"),
    ] {
        let (sim, port) = (Sim::quiet(), free_port());
        let mut host = Running::start(host(&sim, emulator, project, port).env(variable, value));
        host.wait_for("the warning", |line| {
            let said = line["message"].as_str().unwrap_or_default();
            line["event_type"] == "switch" && line["severity"] == "WARNING" && said.starts_with(variable)
        });
        sim.wait_for_symbols(&["SPY"]);
        send(&sim, 1.0);
        wait_for_quotes(port, 1);
        let reason = heartbeat_says(emulator, project, "paused");
        assert!(reason.starts_with(&format!("{variable}=\"{value}\"")), "{reason}");
        host.signal("TERM");
        assert_eq!(host.wait().code, 0);
        assert_eq!(bid(emulator, project), None);
    }
}

#[test]
fn check_says_what_each_switch_does_and_warns_of_a_text_without_effect() {
    let mut command = quotegate(["check"]);
    command.env("TENANT_ID", "acme").env("DRY_RUN", "1");
    assert!(!finish(&mut command).stdout.contains("switches:"));
    let switches =
        [("EXECUTION_HALTED", "halt"), ("INGEST_ENABLED", "no"), ("EXECUTION_HALTED_FILE", "/nowhere/at/all")];
    let said = finish(command.envs(switches)).stdout;
    for line in [
        "\nswitches:\n",
        "EXECUTION_HALTED=\"halt\": this is none of 1, true, yes, on, so this switch does NOT stop writing\n",
        "EXECUTION_HALTED_FILE=\"/nowhere/at/all\": the file cannot be read (No such file or directory",
        "INGEST_ENABLED=\"no\": nothing but heartbeats is written\n",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
}

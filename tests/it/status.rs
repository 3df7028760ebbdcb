//! `quotegate status` and `quotegate top`, asking the real program.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::harness::{Finished, HostSetup, Running, Sim, eventually, finish, free_port, guest, quotegate};
use quotegate_market::Quote;
use quotegate_sim::Fault;
use quotegate_test_support::{Act, FakeFirestore};
use serde_json::Value;

const ONE_TENANT: &str = "[tenants.acme]\nsymbols = [\"SPY\"]\nper_symbol_min_interval_ms = 0\n";

fn quote(bid_price: f64) -> Quote {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
    Quote { bid_price, ask_price: bid_price + 0.02, event_time: now, ..Quote::default() }
}

fn status(setup: &HostSetup) -> Finished {
    finish(&mut quotegate(["status", &setup.page()]))
}

/// Sends quotes until the status matches.
fn status_until(setup: &HostSetup, sim: &Sim, what: &str, fits: impl Fn(&Finished) -> bool) -> Finished {
    eventually(what, || {
        sim.send("SPY", &quote(500.0 + fastrand::f64()));
        Some(status(setup)).filter(&fits)
    })
}

#[test]
fn a_host_that_is_well_is_live_and_the_exit_code_is_0() {
    let (setup, sim) = (HostSetup::new(ONE_TENANT), Sim::quiet());
    let host = setup.dry_run(&sim);
    sim.wait_for_symbols(&["SPY"]);
    let before = status(&setup);
    assert_eq!((before.code, before.stderr.as_str()), (1, ""), "{}", before.stdout);
    assert!(
        before.stdout.starts_with("STALE  test-host · quotegate ")
            && before.stdout.contains("no quote has arrived yet")
    );

    let well = status_until(&setup, &sim, "LIVE", |status| status.code == 0);
    assert!(well.stdout.starts_with("LIVE  test-host · quotegate "), "{}", well.stdout);
    for said in ["feed     streaming for ", "sink     working: ", "tenant acme: LIVE, running; ", "at most 20/s"] {
        assert!(well.stdout.contains(said), "{said}: {}", well.stdout);
    }
    assert!(!well.stdout.contains("problems:"));
    let json = finish(&mut quotegate(["status", &setup.page(), "--json"]));
    let state: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.code, &state["liveness"]["state"]), (0, &Value::from("live")));
    host.signal("TERM");
    assert_eq!(host.wait().code, 0);
}

#[test]
fn every_fault_is_said_and_the_exit_code_is_1() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let down = Arc::new(AtomicBool::new(false));
    let firestore = runtime.block_on(FakeFirestore::start({
        let down = down.clone();
        move |_| if down.load(Relaxed) { Act::FailRequest(14, "unavailable") } else { Act::Write }
    }));
    let setup = HostSetup::new(&format!(
        "{ONE_TENANT}[tenants.bad]\nsymbols = [\"SPY\"]\n[[tenants.bad.plugins]]\npath = \"trap.wasm\"\n"
    ));
    std::fs::write(setup.folder.path().join("trap.wasm"), guest("unreachable")).unwrap();
    let sim = Sim::quiet();
    let host = Running::start(
        setup
            .command(&sim)
            .env("FIRESTORE_PROJECT_ID", "demo-status")
            .env("FIRESTORE_EMULATOR_HOST", firestore.host())
            .env("QUOTEGATE_SINK__RETRY_MAX_S", "1"),
    );
    setup.wait_until_served();
    sim.wait_for_symbols(&["SPY"]);
    let said = |what: &'static str| move |status: &Finished| status.code == 1 && status.stdout.contains(what);
    let quarantine = "\n  tenant bad is degraded: the plugin trap is in quarantine: ";
    let found = status_until(&setup, &sim, "a plugin in quarantine", said(quarantine));
    assert!(found.stdout.contains("\n  plugin trap: quarantined; "), "{}", found.stdout);
    assert!(found.stdout.contains("latest warnings and errors:\n"), "{}", found.stdout);

    down.store(true, Relaxed);
    let broken = "\n  the sink does not accept documents: the sink cannot be reached\n";
    status_until(&setup, &sim, "the sink is down", said(broken));
    down.store(false, Relaxed);
    status_until(&setup, &sim, "the sink is back", |status| !status.stdout.contains(broken));

    sim.handle().set_fault(Some(Fault::ConnectionLimit));
    sim.handle().disconnect_all();
    let feed = "\n  the feed is not connected: another host holds the only connection that Alpaca allows (error 406)\n";
    let held = status_until(&setup, &sim, "the feed is taken", said(feed));
    // At once, and not only when the last quote is old.
    assert!(held.stdout.starts_with("STALE  test-host"), "{}", held.stdout);
    assert!(held.stdout.contains("\ntenant acme: STALE, degraded; "), "{}", held.stdout);
    assert!(!held.stdout.contains("tenant acme is degraded"), "said twice: {}", held.stdout);
    host.signal("TERM");
    host.wait();
}

#[test]
fn a_feed_that_is_quiet_because_the_exchange_is_closed_is_no_problem() {
    let (setup, sim) = (HostSetup::new(ONE_TENANT), Sim::quiet());
    // The hours of this feed are not in the calendar, so for the host its exchange is never open.
    let night = [("QUOTEGATE_FEED__NAME", "overnight"), ("QUOTEGATE_FEED__CALENDAR", "auto"), ("DRY_RUN", "1")];
    let host = Running::start(setup.command(&sim).envs(night));
    setup.wait_until_served();
    sim.wait_for_symbols(&["SPY"]);
    // Without a scheme, like an address in any other tool.
    let ask = || finish(&mut quotegate(["status", &format!("127.0.0.1:{}", setup.port)]));
    let quiet = eventually("QUIET", || Some(ask()).filter(|status| status.stdout.starts_with("QUIET  test-host")));
    assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""), "{}", quiet.stdout);
    assert!(quiet.stdout.contains("; this feed may be silent at any hour\n"), "{}", quiet.stdout);
    assert!(quiet.stdout.contains("\ntenant acme: QUIET, running; "), "{}", quiet.stdout);

    // A lost connection is a problem at any hour.
    sim.handle().set_fault(Some(Fault::ConnectionLimit));
    sim.handle().disconnect_all();
    let lost = eventually("STALE", || Some(ask()).filter(|status| status.stdout.starts_with("STALE  test-host")));
    assert_eq!(lost.code, 1, "{}", lost.stdout);
    drop(host);
}

#[test]
fn one_fault_of_many_tenants_is_said_once() {
    let tenants = (1..=50).map(|number| format!("[tenants.t{number:02}]\nsymbols = [\"SPY\"]\n"));
    let (setup, sim) = (HostSetup::new(&tenants.collect::<String>()), Sim::quiet());
    let host = Running::start(setup.command(&sim).env("DRY_RUN", "1").env("EXECUTION_HALTED", "1"));
    setup.wait_until_served();
    sim.wait_for_symbols(&["SPY"]);
    let paused = "\n  all 50 tenants are paused: EXECUTION_HALTED=\"1\" pauses this host\n";
    let said = status_until(&setup, &sim, "the pause", |status| status.stdout.contains(paused)).stdout;
    let problems = said.split("\nproblems:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    assert_eq!(problems.matches("paused").count(), 1, "{said}");
    let top = finish(&mut quotegate(["top", "--once", "--interval", "0.1", &setup.page()])).stdout;
    assert!(top.contains("\nall 50 tenants are paused: EXECUTION_HALTED"), "{top}");
    drop(host);
}

#[test]
fn a_host_that_does_not_answer_is_reported_with_advice() {
    let port = free_port();
    let unreachable = finish(&mut quotegate(["status", &format!("http://127.0.0.1:{port}")]));
    assert_eq!((unreachable.code, unreachable.stdout.as_str()), (1, ""));
    assert!(
        unreachable.stderr.starts_with(&format!("quotegate: no answer from http://127.0.0.1:{port}/")),
        "{}",
        unreachable.stderr
    );
    assert!(
        unreachable.stderr.contains("is this its ops.port?")
            && unreachable.stderr.contains("gcloud run services proxy")
    );
    let top = finish(&mut quotegate(["top", "--once", &format!("http://127.0.0.1:{port}")]));
    assert_eq!((top.code, top.stderr), (1, unreachable.stderr));

    for wrong in [["status", "localhost:port"], ["top", "ftp://host"]] {
        let refused = finish(&mut quotegate(wrong));
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains("try something like 127.0.0.1:8700"), "{}", refused.stderr);
    }
    assert_eq!(finish(&mut quotegate(["top", "--interval", "0"])).code, 2);

    let (setup, sim) = (HostSetup::new(ONE_TENANT), Sim::quiet());
    let _host = Running::start(setup.command(&sim).env("DRY_RUN", "1").env("QUOTEGATE_OPS__TOKEN", "hush"));
    setup.wait_until_served();
    let locked = status(&setup);
    assert_eq!(locked.code, 1);
    assert!(locked.stderr.contains("requires a token; pass its ops.token with --token"), "{}", locked.stderr);
    let wrong = finish(quotegate(["status", &setup.page()]).env("QUOTEGATE_OPS__TOKEN", "sesame"));
    assert!(wrong.stderr.contains("rejects the token") && !wrong.stderr.contains("sesame"), "{}", wrong.stderr);
    let right = finish(quotegate(["status", &setup.page()]).env("QUOTEGATE_OPS__TOKEN", "hush"));
    assert!(right.stdout.contains("test-host"), "{}", right.stderr);
}

#[test]
fn top_shows_rates_and_leaves_the_terminal_as_it_was() {
    let (setup, sim) = (
        HostSetup::new(ONE_TENANT),
        Sim::with(quotegate_sim::SimSettings {
            rate: quotegate_sim::Rate::PerSecond(200.0),
            ..quotegate_sim::SimSettings::default()
        }),
    );
    let host = setup.dry_run(&sim);
    eventually("LIVE", || (status(&setup).code == 0).then_some(()));
    let once = finish(&mut quotegate(["top", "--once", "--interval", "0.5", &setup.page()]));
    assert_eq!(once.code, 0, "{}", once.stderr);
    assert!(once.stdout.starts_with("LIVE  test-host · ") && !once.stdout.contains('\u{1b}'), "{}", once.stdout);
    let row = once.stdout.lines().find(|line| line.starts_with("acme ")).unwrap();
    let quotes: f64 = row.split_whitespace().nth(3).unwrap().parse().unwrap();
    assert!(quotes > 0.0, "{row}");

    // A real terminal, and the key q.
    let mut terminal = Command::new("script")
        .args([
            "-qec",
            &format!("{} top --interval 0.2 {}", env!("CARGO_BIN_EXE_quotegate"), setup.page()),
            "/dev/null",
        ])
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("util-linux's script gives a terminal");
    let (mut keys, mut seen) = (terminal.stdin.take().unwrap(), terminal.stdout.take().unwrap());
    let shown = Arc::new(Mutex::new(Vec::new()));
    let reader = std::thread::spawn({
        let shown = shown.clone();
        move || {
            let mut part = [0; 4096];
            while let Ok(count @ 1..) = seen.read(&mut part) {
                shown.lock().unwrap().extend_from_slice(&part[..count]);
            }
        }
    });
    let text = || String::from_utf8_lossy(&shown.lock().unwrap()).into_owned();
    eventually("the alternate screen", || text().contains("\u{1b}[?1049h").then_some(()));
    eventually("the host", || text().contains("LIVE  test-host").then_some(()));
    drop(host); // kills it, while top is running
    eventually("the host is gone", || text().contains("OFFLINE  no answer from").then_some(()));
    eventually("what was known", || text().contains("last known state:").then_some(()));
    eventually("the tenant is not shown as LIVE", || text().contains("acme                 OFFLINE").then_some(()));
    keys.write_all(b"q").unwrap();
    assert!(terminal.wait().unwrap().success(), "{}", text());
    reader.join().unwrap();
    assert!(text().trim_end().ends_with("\u{1b}[?25h\u{1b}[?1049l"), "{:?}", text());
}

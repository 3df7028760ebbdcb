//! `quotegate status` and `quotegate top`, asking the real program.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::harness::{Finished, House, Running, Sim, eventually, finish, free_port, guest, quotegate};
use quotegate_market::Quote;
use quotegate_sim::Fault;
use quotegate_test_support::{Act, FakeFirestore};
use serde_json::Value;

const ONE_TENANT: &str = "[tenants.acme]\nsymbols = [\"SPY\"]\nper_symbol_min_interval_ms = 0\n";

fn quote(bid_price: f64) -> Quote {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
    Quote { bid_price, ask_price: bid_price + 0.02, event_time: now, ..Quote::default() }
}

fn status(house: &House) -> Finished {
    finish(&mut quotegate(["status", &house.page()]))
}

/// Sends quotes until the status is as wanted.
fn status_until(house: &House, sim: &Sim, what: &str, fits: impl Fn(&Finished) -> bool) -> Finished {
    eventually(what, || {
        sim.send("SPY", &quote(500.0 + fastrand::f64()));
        Some(status(house)).filter(&fits)
    })
}

#[test]
fn a_host_that_is_well_is_live_and_the_exit_code_is_0() {
    let (house, sim) = (House::new(ONE_TENANT), Sim::quiet());
    let host = house.dry_run(&sim);
    sim.wait_for_symbols(&["SPY"]);
    let before = status(&house);
    assert_eq!((before.code, before.stderr.as_str()), (1, ""), "{}", before.stdout);
    assert!(before.stdout.starts_with("STALE  test-host · quotegate ") && before.stdout.contains("no quote came yet"));

    let well = status_until(&house, &sim, "LIVE", |status| status.code == 0);
    assert!(well.stdout.starts_with("LIVE  test-host · quotegate "), "{}", well.stdout);
    for said in ["feed     streaming for ", "sink     works: ", "tenant acme: LIVE, running; ", "at most 20/s"] {
        assert!(well.stdout.contains(said), "{said}: {}", well.stdout);
    }
    assert!(!well.stdout.contains("wrong:"));
    let json = finish(&mut quotegate(["status", &house.page(), "--json"]));
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
        move |_| if down.load(Relaxed) { Act::FailRequest(14, "nobody home") } else { Act::Write }
    }));
    let house = House::new(&format!(
        "{ONE_TENANT}[tenants.bad]\nsymbols = [\"SPY\"]\n[[tenants.bad.plugins]]\npath = \"trap.wasm\"\n"
    ));
    std::fs::write(house.folder.path().join("trap.wasm"), guest("unreachable")).unwrap();
    let sim = Sim::quiet();
    let host = Running::start(
        house
            .command(&sim)
            .env("FIRESTORE_PROJECT_ID", "demo-status")
            .env("FIRESTORE_EMULATOR_HOST", firestore.host())
            .env("QUOTEGATE_SINK__RETRY_MAX_S", "1"),
    );
    house.wait_until_served();
    sim.wait_for_symbols(&["SPY"]);
    let said = |what: &'static str| move |status: &Finished| status.code == 1 && status.stdout.contains(what);
    let quarantine = "\n  tenant bad is degraded: the plugin trap is in quarantine: ";
    let found = status_until(&house, &sim, "a plugin in quarantine", said(quarantine));
    assert!(found.stdout.contains("\n  plugin trap: quarantined; "), "{}", found.stdout);
    assert!(found.stdout.contains("last warnings and errors:\n"), "{}", found.stdout);

    down.store(true, Relaxed);
    let broken = "\n  the sink does not take documents: the sink cannot be reached\n";
    status_until(&house, &sim, "the sink is down", said(broken));
    down.store(false, Relaxed);
    status_until(&house, &sim, "the sink is back", |status| !status.stdout.contains(broken));

    sim.handle().set_fault(Some(Fault::ConnectionLimit));
    sim.handle().disconnect_all();
    let feed = "\n  the feed is not connected: held_elsewhere\n";
    let held = status_until(&house, &sim, "the feed is taken", said(feed));
    assert!(held.stdout.contains("tenant acme is degraded: another host holds"), "{}", held.stdout);
    host.signal("TERM");
    host.wait();
}

#[test]
fn who_does_not_answer_is_told_with_what_to_do() {
    let port = free_port();
    let nobody = finish(&mut quotegate(["status", &format!("http://127.0.0.1:{port}")]));
    assert_eq!((nobody.code, nobody.stdout.as_str()), (1, ""));
    assert!(
        nobody.stderr.starts_with(&format!("quotegate: no answer from http://127.0.0.1:{port}/")),
        "{}",
        nobody.stderr
    );
    assert!(nobody.stderr.contains("is this its ops.port?") && nobody.stderr.contains("gcloud run services proxy"));
    let top = finish(&mut quotegate(["top", "--once", &format!("http://127.0.0.1:{port}")]));
    assert_eq!((top.code, top.stderr), (1, nobody.stderr));

    for wrong in [["status", "localhost:8700"], ["top", "ftp://host"]] {
        let refused = finish(&mut quotegate(wrong));
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains("give something like http://127.0.0.1:8700"), "{}", refused.stderr);
    }
    assert_eq!(finish(&mut quotegate(["top", "--interval", "0"])).code, 2);

    let (house, sim) = (House::new(ONE_TENANT), Sim::quiet());
    let _host = Running::start(house.command(&sim).env("DRY_RUN", "1").env("QUOTEGATE_OPS__TOKEN", "hush"));
    house.wait_until_served();
    let locked = status(&house);
    assert_eq!(locked.code, 1);
    assert!(locked.stderr.contains("requires a token; give its ops.token with --token"), "{}", locked.stderr);
    let wrong = finish(quotegate(["status", &house.page()]).env("QUOTEGATE_OPS__TOKEN", "sesame"));
    assert!(wrong.stderr.contains("rejected the token") && !wrong.stderr.contains("sesame"), "{}", wrong.stderr);
    let right = finish(quotegate(["status", &house.page()]).env("QUOTEGATE_OPS__TOKEN", "hush"));
    assert!(right.stdout.contains("test-host"), "{}", right.stderr);
}

#[test]
fn top_shows_rates_and_leaves_the_terminal_as_it_was() {
    let (house, sim) = (
        House::new(ONE_TENANT),
        Sim::with(quotegate_sim::SimSettings {
            rate: quotegate_sim::Rate::PerSecond(200.0),
            ..quotegate_sim::SimSettings::default()
        }),
    );
    let host = house.dry_run(&sim);
    eventually("LIVE", || (status(&house).code == 0).then_some(()));
    let once = finish(&mut quotegate(["top", "--once", "--interval", "0.5", &house.page()]));
    assert_eq!(once.code, 0, "{}", once.stderr);
    assert!(once.stdout.starts_with("LIVE  test-host · ") && !once.stdout.contains('\u{1b}'), "{}", once.stdout);
    let row = once.stdout.lines().find(|line| line.starts_with("acme ")).unwrap();
    let quotes: f64 = row.split_whitespace().nth(3).unwrap().parse().unwrap();
    assert!(quotes > 0.0, "{row}");

    // A real terminal, and the key q.
    let mut terminal = Command::new("script")
        .args([
            "-qec",
            &format!("{} top --interval 0.2 {}", env!("CARGO_BIN_EXE_quotegate"), house.page()),
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
    eventually("a screen of its own", || text().contains("\u{1b}[?1049h").then_some(()));
    eventually("the host", || text().contains("LIVE  test-host").then_some(()));
    drop(host); // kills it, while somebody watches
    eventually("the host is gone", || text().contains("OFFLINE  no answer from").then_some(()));
    eventually("what was known", || text().contains("what was last known:").then_some(()));
    keys.write_all(b"q").unwrap();
    assert!(terminal.wait().unwrap().success(), "{}", text());
    reader.join().unwrap();
    assert!(text().trim_end().ends_with("\u{1b}[?25h\u{1b}[?1049l"), "{:?}", text());
}

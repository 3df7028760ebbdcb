//! The real program with every fault of the simulator.

use crate::harness::{self, Running, Sim, finish, quotegate};
use quotegate_sim::{Fault, Rate, SimSettings};

fn sim(fault: Option<Fault>) -> Sim {
    Sim::with(SimSettings { rate: Rate::PerSecond(2000.0), fault, ..SimSettings::default() })
}

fn command(sim: &Sim) -> std::process::Command {
    let mut command = quotegate(["run"]);
    command
        .env("TENANT_ID", "acme")
        .env("DRY_RUN", "1")
        .env("ALPACA_KEY_ID", "key-of-the-test")
        .env("ALPACA_SECRET_KEY", "hush-hush")
        .env("MONITORED_SYMBOLS", "SPY,AAPL,MSFT,TSLA")
        .env("RECONNECT_BACKOFF_BASE_S", "0.01")
        .env("RECONNECT_BACKOFF_MAX_S", "0.05")
        .env("HEARTBEAT_INTERVAL_S", "1")
        .env("QUOTEGATE_FEED__CALENDAR", "always")
        .env("QUOTEGATE_FEED__PING_INTERVAL_S", "0.3")
        .env("QUOTEGATE_FEED__PONG_TIMEOUT_S", "0.3")
        .env("QUOTEGATE_FEED__STALE_AFTER_S", "1")
        .env("QUOTEGATE_FEED__URL", sim.url());
    command
}

/// Injects a fault, removes it once the host has noticed, and waits until quotes are written again.
fn recovers_from(fault: Fault) {
    let sim = sim(Some(fault));
    let mut host = Running::start(&mut command(&sim));
    host.wait_for_event("alpaca_disconnect");
    sim.handle().set_fault(None);
    let before = host.events("firestore_write");
    harness::eventually(&format!("writes after {fault}"), || {
        (host.events("firestore_write") > before + 8).then_some(())
    });
    host.signal("TERM");
    let finished = host.wait();
    assert_eq!(finished.code, 0, "{fault}: {}", finished.stderr);
}

#[test]
fn a_closed_connection_is_reopened() {
    for fault in [Fault::DropAfter(20), Fault::InternalError, Fault::Http429] {
        recovers_from(fault);
    }
}

#[test]
fn a_silent_connection_is_reopened() {
    for fault in [Fault::SlowClient, Fault::Silent, Fault::NoPong] {
        recovers_from(fault);
    }
}

#[test]
fn invalid_frames_are_skipped() {
    for fault in [Fault::Garbage, Fault::Truncated, Fault::UnknownTypes, Fault::HugeFrame, Fault::MissingAck] {
        let sim = sim(Some(fault));
        // The fault is in the frames. A machine that is slow to answer pings must not look like another fault.
        let patient = ["QUOTEGATE_FEED__PONG_TIMEOUT_S", "QUOTEGATE_FEED__STALE_AFTER_S"].map(|name| (name, "60"));
        let mut host = Running::start(command(&sim).envs(patient));
        harness::eventually(&format!("writes in spite of {fault}"), || {
            (host.events("firestore_write") > 10 && sim.handle().quotes_sent() > 5000).then_some(())
        });
        if fault == Fault::MissingAck {
            host.wait_for("the missing symbols", |line| line["severity"] == "WARNING");
        } else {
            assert_eq!(host.events("alpaca_disconnect"), 0, "{fault}");
        }
        host.signal("TERM");
        assert_eq!(host.wait().code, 0, "{fault}");
    }
}

#[test]
fn refused_credentials_stop_the_host_with_a_clear_error_and_no_secret() {
    let sim = sim(Some(Fault::AuthRefused));
    let finished = finish(&mut command(&sim));
    assert_eq!(finished.code, 1);
    assert!(finished.stderr.contains("refused the credentials"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("hush-hush") && !finished.stdout.contains("hush-hush"));
}

#[test]
fn a_second_host_waits_and_takes_over_when_the_first_leaves() {
    let sim = sim(None);
    let mut first = Running::start(&mut command(&sim));
    first.wait_for_event("firestore_write");
    first.wait_for("quotes", |line| line["event_type"] == "alpaca_subscribed");
    let mut second = Running::start(&mut command(&sim));
    second.wait_for("the refusal", |line| line.to_string().contains("406") || line.to_string().contains("held"));
    assert_eq!(second.events("alpaca_subscribed"), 0);
    first.signal("TERM");
    assert_eq!(first.wait().code, 0);
    second.wait_for_event("alpaca_subscribed");
    second.wait_for("a quote document", |line| line["path"].as_str().is_some_and(|path| path.contains("live_quotes")));
    second.signal("TERM");
    assert_eq!(second.wait().code, 0);
}

//! A wanted symbol that never quotes is visible wherever people look.

use crate::harness::{Browser, HostSetup, Screen, Sim, eventually, finish, get, quotegate};
use quotegate_sim::{Rate, SimSettings, Universe};
use serde_json::{Value, json};

#[test]
fn a_misspelled_symbol_is_named_with_the_one_that_was_meant() {
    let universe = "SPY,TSLA".parse::<Universe>().unwrap();
    let sim = Sim::with(SimSettings { universe, rate: Rate::PerSecond(50.0), ..SimSettings::default() });
    let setup = HostSetup::new(
        "[feed]\ncalendar = \"always\"\n[tenants.acme]\nsymbols = [\"SPY\", \"TSLA\", \"TSLAA\", \"QQQQ\"]\n",
    );
    let mut host = setup.dry_run(&sim);
    let metric = |count: u32| {
        let text = get(setup.port, "/metrics")?.body;
        text.contains(&format!("\nquotegate_feed_unquoted_symbols {count}\n")).then_some(())
    };
    eventually("the metric", || metric(0));
    let line = host.wait_for_event("symbols_unquoted");
    assert!(line["message"].as_str().unwrap().ends_with("QQQQ, TSLAA (did you mean TSLA?)"), "{line}");
    eventually("the metric", || metric(2));
    let state: Value = serde_json::from_str(&get(setup.port, "/api/state").unwrap().body).unwrap();
    let symbols = json!([{"symbol": "QQQQ", "nearest": null}, {"symbol": "TSLAA", "nearest": "TSLA"}]);
    assert_eq!(state["feed"]["unquoted"], json!({"count": 2, "symbols": symbols}));
    let status = finish(&mut quotegate(["status", &setup.page()]));
    let said = "\nsymbols  wanted, but never quoted: QQQQ, TSLAA (did you mean TSLA?)\n";
    // The host itself is well.
    assert!(status.code == 0 && status.stdout.contains(said), "{}", status.stdout);
    if let Some(mut browser) = Browser::or_skip() {
        browser.look(Screen { width: 1100, height: 900, dark: false });
        browser.open(&setup.page());
        browser.until("the notice", "!document.querySelector('#unquoted').hidden");
        assert_eq!(browser.text("#unquoted"), "Wanted, but never quoted: QQQQ, TSLAA (did you mean TSLA?)");
    }
    // Said once: two more looks have passed since.
    eventually("more heartbeats", || (host.events("heartbeat") > 80).then_some(()));
    assert_eq!(host.events("symbols_unquoted"), 1);
    host.signal("TERM");
    assert_eq!(host.wait().code, 0);
}

//! What affects every tenant is said once.

use super::{DESKTOP, quote};
use crate::harness::{Browser, HostSetup, Running, Sim};
use quotegate_sim::Fault;

#[test]
fn a_lost_feed_is_stale_at_once_and_said_once() {
    let Some(mut browser) = Browser::or_skip() else { return };
    let tenants = (1..=50).map(|number| format!("[tenants.t{number:02}]\nsymbols = [\"SPY\"]\n"));
    let (setup, sim) = (HostSetup::new(&tenants.collect::<String>()), Sim::quiet());
    let host = setup.dry_run(&sim);
    sim.wait_for_symbols(&["SPY"]);
    browser.look(DESKTOP);
    browser.open(&setup.page());
    let badges = |word: &str| {
        let badges = "[...document.querySelectorAll('#badge, #tenants .badge:first-child')]";
        format!("{badges}.length === 51 && {badges}.every(badge => badge.textContent === '{word}')")
    };
    browser.until_by("LIVE", &badges("LIVE"), || sim.send("SPY", &quote(500.0)));
    sim.handle().set_fault(Some(Fault::ConnectionLimit));
    sim.handle().disconnect_all();
    let held = "another host holds the only connection that Alpaca allows (error 406)";
    browser.until("the reason", &format!("document.querySelector('#reason').textContent.includes('{held}')"));
    assert_eq!(browser.evaluate(&badges("STALE")), true);
    // Not because the last quote is old.
    assert_eq!(browser.text("#reason"), format!("the feed is not connected: {held}"));
    assert!(!browser.text("#tenants").contains(held), "{}", browser.text("#tenants"));
    browser.screenshot("page-feed-lost");
    drop(host);
}

#[test]
fn a_switch_that_stops_writing_is_said_in_the_header() {
    let Some(mut browser) = Browser::or_skip() else { return };
    let (setup, sim) = (HostSetup::new("[tenants.acme]\n[tenants.zeta]\n"), Sim::quiet());
    let host = Running::start(setup.command(&sim).env("DRY_RUN", "1").env("INGEST_ENABLED", "off"));
    setup.wait_until_served();
    sim.wait_for_symbols(&["SPY"]);
    browser.look(DESKTOP);
    browser.open(&setup.page());
    let live = "document.querySelector('#badge').textContent === 'LIVE'";
    browser.until_by("LIVE", live, || sim.send("SPY", &quote(500.0)));
    let paused = "but both tenants are paused: INGEST_ENABLED=\"off\" pauses this host";
    browser.until("the pause", &format!("document.querySelector('#reason').textContent === '{paused}'"));
    browser.screenshot("page-paused");
    drop(host);
}

#[test]
fn a_host_that_hangs_is_offline_until_it_goes_on() {
    let Some(mut browser) = Browser::or_skip() else { return };
    let (setup, sim) = (HostSetup::new("[tenants.acme]\n"), Sim::quiet());
    let host = setup.dry_run(&sim);
    sim.wait_for_symbols(&["SPY"]);
    browser.look(DESKTOP);
    browser.open(&setup.page());
    let badge = |word: &str| format!("document.querySelector('#badge').textContent === '{word}'");
    browser.until_by("LIVE", &badge("LIVE"), || sim.send("SPY", &quote(500.0)));
    host.signal("STOP");
    browser.until("OFFLINE", &badge("OFFLINE"));
    assert_eq!(browser.text("#tenants .badges").trim(), "OFFLINE");
    host.signal("CONT");
    browser.until_by("LIVE again", &badge("LIVE"), || sim.send("SPY", &quote(501.0)));
    browser.until("its tenant, too", "document.querySelector('#tenants .badge').textContent === 'LIVE'");
    drop(host);
}

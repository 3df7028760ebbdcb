//! Each fault is visible everywhere that people look: probes, metrics, state, `status`, `top`, page, heartbeat.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::harness::{Browser, HostSetup, Running, Screen, Sim, eventually, finish, get, guest, quotegate};
use quotegate_market::Quote;
use quotegate_test_support::{Emulator, emulator_or_skip};
use serde_json::Value;

const PROJECT: &str = "demo-visible";
const SETTINGS: &str = r#"
    [feed]
    calendar = "always"
    reconnect_backoff_base_s = 0.05
    reconnect_backoff_max_s = 0.1
    [sink]
    request_timeout_s = 2
    retry_max_s = 1
    [run]
    control_interval_s = 0
    [tenant_defaults]
    symbols = ["SPY"]
    per_symbol_min_interval_ms = 0
    [tenants.acme]
"#;

/// What a fault looks like.
struct Signs {
    readyz: (u16, &'static str),
    metric: (&'static str, f64),
    state: fn(&Value) -> bool,
    /// In `status`, in `top` and on the page.
    words: &'static str,
}

/// A host, and every tool that people watch it with.
struct Watched {
    setup: HostSetup,
    sim: Sim,
    emulator: Emulator,
    browser: Option<Browser>,
    host: Running,
}

impl Watched {
    fn start(settings: &str, files: &[(&str, Vec<u8>)]) -> Option<Self> {
        let emulator = emulator_or_skip()?;
        let (setup, sim) = (HostSetup::new(settings), Sim::quiet());
        for (name, bytes) in files {
            std::fs::write(setup.folder.path().join(name), bytes).unwrap();
        }
        let firestore = [("FIRESTORE_PROJECT_ID", PROJECT.to_owned()), ("FIRESTORE_EMULATOR_HOST", emulator.host())];
        let host = Running::start(setup.command(&sim).envs(firestore));
        setup.wait_until_served();
        sim.wait_for_symbols(&["SPY"]);
        let mut browser = Browser::or_skip();
        if let Some(browser) = &mut browser {
            browser.look(Screen { width: 1100, height: 900, dark: false });
            browser.open(&setup.page());
        }
        Some(Self { setup, sim, emulator, browser, host })
    }

    fn send(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
        let bid_price = 500.0 + fastrand::f64();
        self.sim.send("SPY", &Quote { bid_price, ask_price: bid_price + 0.02, event_time: now, ..Quote::default() });
    }

    fn state(&self) -> Option<Value> {
        serde_json::from_str(&get(self.setup.port, "/api/state")?.body).ok()
    }

    fn metric(&self, name: &str) -> Option<f64> {
        let text = get(self.setup.port, "/metrics")?.body;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// The output of `status` and `top`.
    fn terminal(&self) -> [String; 2] {
        let page = self.setup.page();
        let status = finish(&mut quotegate(["status", &page])).stdout;
        [status, finish(&mut quotegate(["top", "--once", "--interval", "0.1", &page])).stdout]
    }

    fn heartbeat(&self, tenant: &str) -> Option<Value> {
        let mut document = self.emulator.document(PROJECT, &format!("tenants/{tenant}/ops/market_ingest"))?;
        Some(document["fields"].take())
    }

    fn has_status(&self, tenant: &str, status: &str) -> Option<Value> {
        self.heartbeat(tenant).filter(|heartbeat| heartbeat["status"]["stringValue"] == status)
    }

    /// Waits until everything is healthy, while quotes keep arriving.
    fn is_well(&mut self) {
        eventually("ready", || {
            self.send();
            let answer = get(self.setup.port, "/readyz")?;
            (answer.status == 200 && answer.body == "ready\n").then_some(())
        });
        eventually("status says so", || {
            self.send();
            (finish(&mut quotegate(["status", &self.setup.page()])).code == 0).then_some(())
        });
        eventually("the heartbeat says so", || {
            self.send();
            self.has_status("acme", "running")
        });
    }

    /// Waits until the fault is visible everywhere except in the heartbeat. Calls `meanwhile` before each check.
    fn is_seen(&mut self, signs: &Signs, meanwhile: impl Fn(&Self)) {
        let Signs { readyz: (code, reason), metric: (name, value), state, words } = signs;
        eventually("/readyz", || {
            meanwhile(self);
            let answer = get(self.setup.port, "/readyz")?;
            (answer.status == *code && answer.body.contains(reason)).then_some(())
        });
        eventually("/metrics", || {
            meanwhile(self);
            self.metric(name).filter(|found| found == value)
        });
        eventually("/api/state", || {
            meanwhile(self);
            self.state().filter(state)
        });
        eventually("status and top", || {
            meanwhile(self);
            self.terminal().iter().all(|said| said.contains(words)).then_some(())
        });
        if let Some(mut browser) = self.browser.take() {
            eventually("the page", || {
                meanwhile(self);
                browser.evaluate("document.body.textContent").as_str()?.contains(words).then_some(())
            });
            self.browser = Some(browser);
        }
        // A restart would fix none of them.
        assert_eq!(get(self.setup.port, "/healthz").unwrap().status, 200);
    }

    fn end(self) {
        self.host.signal("TERM");
        assert_eq!(self.host.wait().code, 0);
    }
}

#[test]
fn a_silent_feed_is_visible_everywhere() {
    let settings = SETTINGS.replace("[feed]", "[feed]\n    stale_after_s = 2");
    let Some(mut host) = Watched::start(&settings, &[]) else { return };
    host.is_well();
    let silent = Signs {
        readyz: (503, "the feed is silent: no quotes arrive although the exchange is open"),
        metric: ("quotegate_feed_silent", 1.0),
        state: |state| state["feed"]["silent"] == true && state["tenants"][0]["status"] == "degraded",
        words: "no quote arrived although the exchange is open",
    };
    host.is_seen(&silent, |_| {});
    eventually("the heartbeat", || {
        let heartbeat = host.has_status("acme", "degraded")?;
        heartbeat["reason"]["stringValue"].as_str()?.contains("no quote arrived").then_some(())
    });
    let stale = host.state().unwrap();
    assert_eq!(stale["liveness"]["state"], "stale", "{stale}");
    host.is_well();
    host.end();
}

#[test]
fn a_sink_that_is_down_is_visible_everywhere() {
    let Some(mut host) = Watched::start(SETTINGS, &[]) else { return };
    host.is_well();
    host.emulator.stop();
    let down = Signs {
        readyz: (503, "the sink does not accept documents: "),
        metric: ("quotegate_sink_failing", 1.0),
        state: |state| state["sink"]["failing"] == true && state["tenants"][0]["status"] == "degraded",
        words: "the sink does not accept documents: ",
    };
    host.is_seen(&down, Watched::send);
    // No heartbeat can be written, so the last one is outdated after thirty seconds.
    let stale = eventually("STALE", || {
        host.send();
        host.state().filter(|state| state["liveness"]["state"] == "stale")
    });
    assert!(stale["liveness"]["reason"].as_str().unwrap().starts_with("no heartbeat was confirmed for "), "{stale}");
    assert!(host.metric("quotegate_heartbeat_age_seconds").unwrap() >= 30.0);
    host.emulator.start_again();
    host.is_well();
    host.end();
}

#[test]
fn a_plugin_in_quarantine_is_visible_everywhere_and_affects_no_other_tenant() {
    let settings = format!("{SETTINGS}[tenants.bad]\n[[tenants.bad.plugins]]\npath = \"trap.wasm\"\n");
    let Some(mut host) = Watched::start(&settings, &[("trap.wasm", guest("unreachable"))]) else { return };
    let quarantine = Signs {
        readyz: (200, "ready\ntenant bad is degraded: the plugin trap is in quarantine: "),
        metric: ("quotegate_plugin_tenants{plugin=\"trap\",state=\"quarantined\"}", 1.0),
        state: |state| state["tenants"][1]["plugins"][0]["state"] == "quarantined",
        words: "the plugin trap is in quarantine",
    };
    host.is_seen(&quarantine, Watched::send);
    eventually("the heartbeat", || {
        host.send();
        let heartbeat = host.has_status("bad", "degraded")?;
        let plugin = &heartbeat["plugins"]["mapValue"]["fields"]["trap"]["mapValue"]["fields"];
        (plugin["state"]["stringValue"] == "quarantined").then_some(())
    });
    eventually("the other tenant is well", || {
        host.send();
        host.has_status("acme", "running")
    });
    std::fs::write(host.setup.folder.path().join("trap.wasm"), guest("")).unwrap();
    host.host.signal("HUP");
    host.is_well();
    host.end();
}

#[test]
fn probes_do_not_reveal_tenant_names_without_a_token() {
    let settings = format!("{SETTINGS}paused = true\n[ops]\ntoken = \"hush\"\n");
    let (setup, sim) = (HostSetup::new(&settings), Sim::quiet());
    let host = setup.dry_run(&sim);
    eventually("ready, with a remark", || {
        let answer = get(setup.port, "/readyz").filter(|answer| answer.status == 200)?;
        (answer.body == "ready\ntenants that need attention: 1\n").then_some(())
    });
    host.signal("TERM");
    host.wait();
}

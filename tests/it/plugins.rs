//! Tenants with plugins: the real program, the standard plugins, hostile ones, and changes while it runs.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{self, Running, Sim, eventually, finish, guest, quotegate};
use quotegate_market::Quote;
use quotegate_test_support::{Emulator, SHARED_EMULATOR};
use serde_json::{Value, json};
use tempfile::TempDir;

const TIME: i64 = 1_700_000_000_000_000_000;

fn quote(bid_price: f64, ask_price: f64, after: i64) -> Quote {
    let event_time = TIME + after;
    Quote { bid_price, bid_size: 100.0, ask_price, ask_size: 300.0, event_time, ..Quote::default() }
}

/// A folder with a settings file.
struct HostSetup {
    folder: TempDir,
}

impl HostSetup {
    fn new(settings: &str) -> Self {
        let setup = Self { folder: tempfile::tempdir().unwrap() };
        setup.write("quotegate.toml", settings);
        setup
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces the file atomically.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path("draft"), content).unwrap();
        std::fs::rename(self.path("draft"), self.path(name)).unwrap();
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = quotegate([verb, "--config"]);
        command
            .arg(self.path("quotegate.toml"))
            .current_dir(self.folder.path())
            .env("XDG_CACHE_HOME", self.path("cache"));
        command
    }

    fn run(&self, sim: &Sim, emulator: &Emulator, project: &str) -> Running {
        Running::start(
            self.command("run")
                .env("ALPACA_KEY_ID", "key")
                .env("ALPACA_SECRET_KEY", "secret")
                .env("QUOTEGATE_FEED__URL", sim.url())
                .env("HEARTBEAT_INTERVAL_S", "1")
                .env("FIRESTORE_PROJECT_ID", project)
                .env("FIRESTORE_EMULATOR_HOST", emulator.host()),
        )
    }
}

const FOREVER: &str = "(loop $for (br $for))";

fn heartbeat(emulator: &Emulator, project: &str, tenant: &str) -> Option<Value> {
    emulator
        .document(project, &format!("tenants/{tenant}/ops/market_ingest"))
        .map(|document| document["fields"].clone())
}

#[test]
fn the_standard_plugins_filter_and_map_documents() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let setup = HostSetup::new(
        r#"
        [tenants.acme]
        symbols = ["SPY", "QQQ"]
        per_symbol_min_interval_ms = 0
        [[tenants.acme.plugins]]
        standard = "quote-filter"
        config = { max_spread_bps = 100, deny_symbols = ["QQQ"] }
        [[tenants.acme.plugins]]
        standard = "field-map"
        collections = ["mids"]
        config = { collection = "mids", fields = { "price.mid" = "mid", name = "symbol" } }
        "#,
    );
    let (project, sim) = ("demo-plugins-standard", Sim::quiet());
    let host = setup.run(&sim, emulator, project);
    sim.wait_for_symbols(&["QQQ", "SPY"]);
    sim.send("SPY", &quote(100.0, 100.5, 1));
    sim.send("QQQ", &quote(100.0, 100.5, 2));
    // The newest quote is refused, so it must not hide the valid one before it.
    sim.send("SPY", &quote(100.0, 200.0, 3));

    let document = eventually("the shaped document", || emulator.document(project, "tenants/acme/mids/SPY"));
    let expected = json!({
        "name": {"stringValue": "SPY"},
        "price": {"mapValue": {"fields": {"mid": {"doubleValue": 100.25}}}},
        // The host's, because the map's fields do not tell the time.
        "_event_time": {"timestampValue": "2023-11-14T22:13:20Z"},
    });
    assert_eq!(document["fields"], expected);
    let plugins = eventually("the plugins' numbers in the heartbeat", || {
        let plugins = heartbeat(emulator, project, "acme")?["plugins"]["mapValue"]["fields"].clone();
        (plugins["quote_filter"]["mapValue"]["fields"]["quotes"]["integerValue"] == "3").then_some(plugins)
    });
    let filter = &plugins["quote_filter"]["mapValue"]["fields"];
    assert_eq!((&filter["state"], &filter["kept"]), (&json!({"stringValue": "ready"}), &json!({"integerValue": "1"})));
    let refused = &filter["refused"]["mapValue"]["fields"];
    assert_eq!(refused, &json!({"r_spread": {"integerValue": "1"}, "r_symbol": {"integerValue": "1"}}));
    assert_eq!(plugins["field_map"]["mapValue"]["fields"]["documents"], json!({"integerValue": "1"}));

    host.signal("TERM");
    let ended = host.wait();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(emulator.document(project, "tenants/acme/mids/QQQ"), None);
    assert_eq!(emulator.document(project, "tenants/acme/live_quotes/SPY"), None);
    let line = ended.stderr.lines().rfind(|line| line.contains(r#""event_type":"plugin""#)).unwrap();
    assert!(line.contains("\"kept\":1"), "{line}");
}

#[test]
fn a_plugin_that_loops_is_quarantined_and_affects_only_its_tenant() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let setup = HostSetup::new(
        r#"
        [tenant_defaults]
        symbols = ["SPY"]
        per_symbol_min_interval_ms = 0
        [tenants.good]
        [[tenants.bad.plugins]]
        path = "forever.wasm"
        [[tenants.stopped.plugins]]
        path = "forever.wasm"
        on_error = "stop-tenant"
        [[tenants.passing.plugins]]
        path = "forever.wasm"
        on_error = "pass"
        "#,
    );
    setup.write("forever.wasm", guest(FOREVER));
    let (project, sim) = ("demo-plugins-forever", Sim::quiet());
    let host = setup.run(&sim, emulator, project);
    sim.wait_for_symbols(&["SPY"]);
    let mut after = 0;
    let mut send_until = |what: &str, condition: &dyn Fn() -> Option<Value>| {
        eventually(what, || {
            after += 1;
            sim.send("SPY", &quote(100.0, 100.5, after));
            condition()
        })
    };
    let status = |tenant: &str, wanted: &str, reason: &str| {
        let fields = heartbeat(emulator, project, tenant)?;
        let fits = fields["status"]["stringValue"] == wanted
            && fields["reason"]["stringValue"].as_str().unwrap_or_default().contains(reason);
        fits.then_some(fields)
    };
    send_until("quarantine", &|| status("bad", "degraded", "the plugin forever is in quarantine: "));
    send_until("a tenant stopped", &|| status("stopped", "stopped", "the plugin forever has stopped this tenant: "));
    send_until("quotes that pass", &|| emulator.document(project, "tenants/passing/live_quotes/SPY"));
    assert!(status("good", "running", "").is_some());
    assert!(emulator.document(project, "tenants/good/live_quotes/SPY").is_some());
    for tenant in ["bad", "stopped"] {
        assert_eq!(emulator.document(project, &format!("tenants/{tenant}/live_quotes/SPY")), None);
    }
    host.signal("TERM");
    let ended = host.wait();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

#[test]
fn a_host_that_stops_does_not_wait_for_a_call_that_may_run_for_longer_than_its_grace_period() {
    let sim = Sim::quiet();
    let plugin = r#"{ path = "forever.wasm", limits = { time_per_call_ms = 60000 } }"#;
    let setup = harness::HostSetup::new(&format!(
        "[run]\nshutdown_grace_s = 2\n[tenants.acme]\nsymbols = [\"SPY\"]\nplugins = [{plugin}]\n"
    ));
    std::fs::write(setup.folder.path().join("forever.wasm"), guest(FOREVER)).unwrap();
    let host = setup.dry_run(&sim);
    sim.wait_for_symbols(&["SPY"]);
    sim.send("SPY", &quote(1.0, 2.0, 1));
    eventually("the quote", || {
        harness::get(setup.port, "/metrics")?.body.contains("\nquotegate_feed_quotes_total 1\n").then_some(())
    });
    // A call shows only when it has ended.
    std::thread::sleep(Duration::from_secs(1));
    let stopped = Instant::now();
    host.signal("TERM");
    let finished = host.wait();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(stopped.elapsed() < Duration::from_secs(30), "{:?}", stopped.elapsed());
}

#[test]
fn new_plugins_replace_running_ones_and_bad_ones_do_not() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let settings = |config: &str| {
        format!(
            r#"
            [run]
            watch_interval_s = 0
            [tenants.acme]
            symbols = ["SPY"]
            per_symbol_min_interval_ms = 0
            [[tenants.acme.plugins]]
            standard = "field-map"
            config = {{ fields = {{ {config} }} }}
            "#
        )
    };
    let setup = HostSetup::new(&settings(r#"version = { constant = 1 }, ts = "event_time""#));
    let (project, sim) = ("demo-plugins-swap", Sim::quiet());
    let mut host = setup.run(&sim, emulator, project);
    sim.wait_for_symbols(&["SPY"]);
    let version = || {
        let document = emulator.document(project, "tenants/acme/live_quotes/SPY")?;
        document["fields"]["version"]["integerValue"].as_str().map(str::to_owned)
    };
    let is_version = |wanted: &str| (version()? == wanted).then_some(());
    sim.send("SPY", &quote(100.0, 100.5, 1));
    eventually("the first version's document", || is_version("1"));

    setup.write("quotegate.toml", settings(r#"version = { constnat = 2 }"#));
    host.signal("HUP");
    let refused = host.wait_for_event("reload_refused");
    assert!(refused["message"].as_str().unwrap().contains("stay as they are"), "{refused}");
    setup.write("quotegate.toml", "[tenants.acme]\nsymbls = 1\n");
    host.signal("HUP");
    host.wait_for("a complaint about the file", |line| {
        line["event_type"] == "reload_refused" && line["message"].as_str().unwrap_or_default().contains("symbls")
    });
    sim.send("SPY", &quote(100.0, 100.5, 2));

    setup.write("quotegate.toml", settings(r#"version = { constant = 2 }, ts = "event_time""#));
    host.signal("HUP");
    host.wait_for_event("plugins_changed");
    sim.send("SPY", &quote(100.0, 100.5, 3));
    eventually("the second version's document", || is_version("2"));
    host.signal("TERM");
    let ended = host.wait();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

#[test]
fn a_changed_component_is_loaded_without_a_signal() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let setup = HostSetup::new(
        r#"
        [run]
        watch_interval_s = 0.1
        [tenants.acme]
        symbols = ["SPY"]
        [[tenants.acme.plugins]]
        path = "filter.wasm"
        limits = { time_per_call_ms = 5 }
        "#,
    );
    setup.write("filter.wasm", guest(FOREVER));
    let (project, sim) = ("demo-plugins-watch", Sim::quiet());
    let mut host = setup.run(&sim, emulator, project);
    sim.wait_for_symbols(&["SPY"]);
    sim.send("SPY", &quote(100.0, 100.5, 1));
    host.wait_for_event("plugin_failed");
    setup.write("filter.wasm", "not a component");
    host.wait_for_event("reload_refused");
    setup.write("filter.wasm", guest("(memory.fill (i32.const 1024) (i32.const 0) (i32.const 512))"));
    host.wait_for_event("plugins_changed");
    sim.send("SPY", &quote(100.0, 100.5, 2));
    eventually("a quote through the repaired filter", || {
        let plugins = &heartbeat(emulator, project, "acme")?["plugins"]["mapValue"]["fields"];
        let filter = &plugins["filter"]["mapValue"]["fields"];
        (filter["kept"]["integerValue"] == "1" && filter["state"]["stringValue"] == "ready").then_some(())
    });
}

#[test]
fn bad_plugins_are_reported_before_anything_starts() {
    let setup = HostSetup::new(
        r#"
        [tenants.missing]
        plugins = [{ path = "nowhere.wasm" }, { path = "elsewhere.wasm" }]
        [tenants.other]
        plugins = [{ standard = "field-map", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }]
        [tenants.shaped]
        collections = [{ path = "live", shape = "streamer" }]
        plugins = [{ standard = "field-map" }]
        [tenants.text]
        plugins = [{ path = "quotegate.toml", name = "text" }]
        [tenants.unknown]
        plugins = [{ standard = "quote-filter", config = { max_spred_bps = 1 } }]
        "#,
    );
    let checked = finish(setup.command("check").env("DRY_RUN", "1"));
    assert_eq!(checked.code, 2);
    for sentence in [
        "tenants.missing.plugins: nowhere: cannot read nowhere.wasm: No such file",
        "tenants.missing.plugins: elsewhere: cannot read elsewhere.wasm: No such file",
        "tenants.other.plugins: field-map (built in) is not accepted. Its SHA-256 is",
        "tenants.shaped.plugins: field-map: it makes documents, but each of the tenant's `collections` has a shape",
        "tenants.text.plugins: text (quotegate.toml) is not accepted. ",
        "the nearest is `max_spread_bps`",
        "6 problems",
    ] {
        assert!(checked.stderr.contains(sentence), "{sentence:?} is missing in:\n{}", checked.stderr);
    }
    let ran = finish(setup.command("run").env("DRY_RUN", "1"));
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("cannot read nowhere.wasm"), "{}", ran.stderr);
}

#[test]
fn refused_documents_are_reported_in_the_log_and_the_heartbeat() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let setup = HostSetup::new(
        r#"
        [tenants.acme]
        symbols = ["SPY"]
        per_symbol_min_interval_ms = 0
        [[tenants.acme.plugins]]
        standard = "field-map"
        config = { standard = true, collection = "elsewhere" }
        "#,
    );
    let (project, sim, began) = ("demo-plugins-refused", Sim::quiet(), Instant::now());
    let mut host = setup.run(&sim, emulator, project);
    sim.wait_for_symbols(&["SPY"]);
    for after in 1..10 {
        sim.send("SPY", &quote(100.0, 100.5, after));
    }
    let told = host.wait_for_event("plugin_trouble");
    assert!(told["problem"].as_str().unwrap().contains("elsewhere"), "{told}");
    let mut after = 10;
    eventually("a heartbeat that is not well", || {
        // The heartbeat drops an error once it has ended, so keep causing it.
        after += 1;
        sim.send("SPY", &quote(100.0, 100.5, after));
        let fields = heartbeat(emulator, project, "acme")?;
        let reason = "the plugin field-map loses quotes: it names the collection \"elsewhere\"";
        let fits = fields["status"]["stringValue"] == "degraded"
            && fields["reason"]["stringValue"].as_str()?.starts_with(reason);
        fits.then_some(())
    });
    host.signal("TERM");
    let ended = host.wait();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let lines = ended.stderr.matches("plugin_trouble").count() as u64;
    assert!(lines <= 1 + began.elapsed().as_secs() / 60, "a line a minute is enough: {}", ended.stderr);
    assert!(emulator.documents(project, "tenants/acme/live_quotes").is_empty());
}

/// A tenant with both standard plugins, for a smoke test that writes nothing.
const BOTH: &str = r#"
    [[tenants.acme.plugins]]
    standard = "quote-filter"
    [[tenants.acme.plugins]]
    standard = "field-map"
    config = { standard = true }
"#;

fn events(finished: &harness::Finished, event_type: &str) -> Vec<Value> {
    let lines = finished.stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["event_type"] == event_type).collect()
}

#[test]
fn plugins_are_compiled_once_and_the_log_says_so() {
    let setup = HostSetup::new(BOTH);
    let smoke = || finish(setup.command("smoke").env("DRY_RUN", "1"));
    let (first, second) = (smoke(), smoke());
    assert_eq!((first.code, second.code), (0, 0), "{first:?}\n{second:?}");
    assert_eq!((events(&first, "plugin_compile").len(), events(&second, "plugin_compile").len()), (2, 0));
    assert!(events(&first, "plugin_prepared").iter().all(|line| line["took_ms"].is_u64()));
    let of_cache = |finished| events(finished, "plugin_prepared").iter().all(|line| line["from_cache"] == true);
    assert!(!of_cache(&first) && of_cache(&second));
}

#[test]
fn a_host_with_little_address_space_runs_its_plugins() {
    let setup = HostSetup::new(BOTH);
    let whole = setup.command("smoke");
    // Two gigabytes: the memory pool of even one plugin would need more.
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -v 2000000 && exec \"$0\" \"$@\""]).arg(whole.get_program()).args(whole.get_args());
    let variables = whole.get_envs().filter_map(|(name, value)| Some((name, value?)));
    limited.env_clear().envs(variables).env("DRY_RUN", "1").current_dir(setup.folder.path());
    let finished = finish(&mut limited);
    assert!(finished.code == 0 && finished.stdout.contains("PASS"), "{finished:?}");
    let engine = &events(&finished, "plugin_engine")[0];
    assert!(["small-reservations", "on-demand"].map(Value::from).contains(&engine["allocator"]), "{engine}");
}

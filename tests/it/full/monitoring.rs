//! config/prometheus and config/grafana against what the real program serves.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{Running, Sim, eventually, free_port, get, quotegate};
use quotegate_market::Quote;
use serde_json::{Value, json};

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Prometheus' checker, if it is installed; in CI it must be.
fn promtool() -> Option<PathBuf> {
    let given = std::env::var_os("QUOTEGATE_TEST_PROMTOOL").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        given.or_else(|| std::env::split_paths(&path).map(|dir| dir.join("promtool")).find(|file| file.is_file()));
    if found.is_none() {
        quotegate_test_support::skip("tests of the alerts with promtool: apt-get install prometheus");
    }
    found
}

fn accepts(command: &mut Command) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "{command:?}: {said}");
}

/// The metrics named in a text.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    words.filter(|word| word.starts_with("quotegate_")).map(str::to_owned).collect()
}

/// The text of `/metrics` once a quote has been written and a heartbeat confirmed.
fn metrics() -> String {
    let (sim, port) = (Sim::quiet(), free_port());
    let _host = Running::start(
        quotegate(["run"])
            .env("TENANT_ID", "acme")
            .env("DRY_RUN", "1")
            .env("ALPACA_KEY_ID", "key")
            .env("ALPACA_SECRET_KEY", "secret")
            .env("QUOTEGATE_FEED__SOURCE", "alpaca")
            .env("QUOTEGATE_FEED__URL", sim.url())
            .env("QUOTEGATE_TENANTS__ACME__PLUGINS", r#"[{ standard = "quote-filter", config = { min_price = 10 } }]"#)
            .env("QUOTEGATE_PLUGINS__CACHE", "false")
            .env("QUOTEGATE_OPS__PORT", port.to_string()),
    );
    sim.wait_for_symbols(&["SPY"]);
    for (event_time, price) in [(1, 5.0), (2, 100.0)] {
        sim.send("SPY", &Quote { bid_price: price, ask_price: price + 0.01, event_time, ..Quote::default() });
    }
    eventually("a write and a heartbeat in the metrics", || {
        let text = get(port, "/metrics")?.body;
        let written = text.contains("quotegate_tenant_writes_total{tenant=\"acme\"} 1\n");
        (written && text.contains("\nquotegate_heartbeat_age_seconds ")).then_some(text)
    })
}

#[test]
fn alerts_and_dashboard_use_only_existing_metrics() {
    let text = metrics();
    let mut served: BTreeSet<String> = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        served.insert(name.to_owned());
        if kind == "histogram" {
            served.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}")));
        }
    }
    for file in ["config/prometheus/alerts.yml", "config/prometheus/alerts.test.yml", "config/grafana/quotegate.json"] {
        let named = named(&read(file));
        assert!(named.len() > 10, "{file}: {named:?}");
        let unknown: Vec<_> = named.difference(&served).collect();
        assert!(unknown.is_empty(), "{file} names metrics that the host does not serve: {unknown:?}");
    }
    let Some(promtool) = promtool() else { return };
    let folder = tempfile::tempdir().unwrap();
    let scraped = folder.path().join("metrics.txt");
    std::fs::write(&scraped, &text).unwrap();
    accepts(
        Command::new(promtool).args(["check", "metrics"]).stdin(Stdio::from(std::fs::File::open(scraped).unwrap())),
    );
}

#[test]
fn every_alert_is_tested_and_fires_when_it_should() {
    let Some(promtool) = promtool() else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/prometheus");
    accepts(Command::new(&promtool).current_dir(&folder).args(["check", "rules", "alerts.yml"]));
    accepts(Command::new(&promtool).current_dir(&folder).args(["test", "rules", "alerts.test.yml"]));
    let tests = read("config/prometheus/alerts.test.yml");
    for alert in read("config/prometheus/alerts.yml").lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("alertname=\"{alert}\"")), "{alert} has no test");
    }
}

#[test]
fn the_dashboards_queries_are_valid() {
    let dashboard: Value = serde_json::from_str(&read("config/grafana/quotegate.json")).unwrap();
    let (mut ids, mut rules) = (BTreeSet::new(), Vec::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels have the id {}", panel["id"]);
        let place = &panel["gridPos"];
        assert!(place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24, "{}", panel["title"]);
        let queries = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
        assert_eq!(queries.is_empty(), panel["type"] == "row", "{}", panel["title"]);
        for query in queries {
            assert_eq!(query["datasource"]["uid"], "${datasource}");
            let query = query["expr"].as_str().unwrap();
            // At least four scrapes: `$__interval` can be shorter than one, and then there is no value.
            for (before, _) in query.match_indices('[').map(|(at, _)| query.split_at(at)) {
                let window = &query[before.len()..];
                assert!(window.starts_with("[$__rate_interval]"), "{}: {query}", panel["title"]);
            }
            let query = query.replace("$__rate_interval", "1m").replace("\"$instance\"", "\".*\"");
            let query = query.replace("\"$tenant\"", "\".*\"");
            assert!(!query.contains('$'), "no such variable: {query}");
            rules.push(json!({"record": format!("panel:query_{}", rules.len()), "expr": query}));
        }
    }
    let Some(promtool) = promtool() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("queries.yml");
    // JSON is YAML.
    std::fs::write(&file, json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string()).unwrap();
    accepts(Command::new(promtool).args(["check", "rules"]).arg(file));
}

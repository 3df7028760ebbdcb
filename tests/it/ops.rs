//! The HTTP endpoints of the real program.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{self, HostSetup, Running, Sim, eventually, free_port, get, guest, quotegate, request};
use quotegate_market::Quote;
use quotegate_sim::{Rate, SimSettings};
use serde_json::Value;

fn host(sim_url: &str, port: u16) -> std::process::Command {
    let mut command = quotegate(["run"]);
    command
        .env("TENANT_ID", "acme")
        .env("DRY_RUN", "1")
        .env("ALPACA_KEY_ID", "key")
        .env("ALPACA_SECRET_KEY", "secret")
        .env("QUOTEGATE_FEED__SOURCE", "alpaca")
        .env("QUOTEGATE_FEED__URL", sim_url)
        .env("QUOTEGATE_TENANTS__ACME__PLUGINS", r#"[{ standard = "quote-filter", config = { min_price = 10 } }]"#)
        .env("QUOTEGATE_PLUGINS__CACHE", "false")
        .env("QUOTEGATE_OPS__PORT", port.to_string());
    command
}

fn quote(bid_price: f64, event_time: i64) -> Quote {
    Quote { bid_price, ask_price: bid_price + 0.01, event_time, ..Quote::default() }
}

/// Every sample of the metrics, by name with labels.
fn metrics(port: u16) -> BTreeMap<String, f64> {
    let answer = get(port, "/metrics").unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    let lines = answer.body.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

#[test]
fn probes_metrics_and_state_show_what_the_host_does() {
    let (sim, port) = (Sim::quiet(), free_port());
    let running = Running::start(&mut host(&sim.url(), port));
    sim.wait_for_symbols(&["SPY"]);
    for (after, bid_price) in [(1, 100.0), (2, 5.0), (3, 101.0), (4, 102.0)] {
        sim.send("SPY", &quote(bid_price, after));
    }
    eventually("ready", || (get(port, "/readyz")?.status == 200).then_some(()));
    assert_eq!(get(port, "/healthz").unwrap().body, "ok\n");

    let of = |name: &str| format!("quotegate_tenant_{name}_total{{tenant=\"acme\"}}");
    let found = eventually("four quotes, the last of them written", || {
        let found = metrics(port);
        let waiting = ["dirty", "in_flight"].map(|name| found[&format!("quotegate_tenant_{name}{{tenant=\"acme\"}}")]);
        let written = found[&of("writes")] >= 1.0 && waiting == [0.0, 0.0];
        (found[&of("quotes")] == 4.0
            && written
            && found.contains_key("quotegate_plugin_kept_total{plugin=\"quote-filter\"}"))
        .then_some(found)
    });
    // Every quote is accounted for.
    let ends = ["filtered", "conflated", "older", "lost", "unmapped", "settled"];
    assert_eq!(ends.map(|name| found[&of(name)]).iter().sum::<f64>(), 4.0, "{found:#?}");
    assert_eq!(found[&of("settled")], found[&of("writes")]);
    assert_eq!(found["quotegate_feed_connected"], 1.0);
    assert_eq!(found["quotegate_tick_to_commit_seconds_count"], found[&of("writes")]);
    eventually("the plugin's numbers", || {
        let found = metrics(port);
        let refused = found.get("quotegate_plugin_refused_total{plugin=\"quote-filter\",reason=\"price\"}");
        (refused == Some(&1.0) && found["quotegate_plugin_tenants{plugin=\"quote-filter\",state=\"ready\"}"] == 1.0)
            .then_some(())
    });

    let state: Value = serde_json::from_str(&get(port, "/api/state").unwrap().body).unwrap();
    assert_eq!((&state["schema"], &state["connection"]), (&Value::from(1), &Value::from("streaming")));
    assert_eq!(state["tenants"][0]["id"], "acme");
    assert_eq!(state["tenants"][0]["plugins"][0]["quotes_refused"]["price"], 1);
    assert!(!state.to_string().contains("secret"));

    assert_eq!(request(port, "POST", "/api/state", "Content-Length: 0\r\n").unwrap().status, 405);
    assert_eq!(get(port, "/nowhere").unwrap().status, 404);
    let head = get(port, "/api/state").unwrap().head;
    for header in ["x-content-type-options: nosniff", "content-security-policy: default-src 'self'"] {
        assert!(head.contains(header), "{head}");
    }
    running.signal("TERM");
    assert_eq!(running.wait().code, 0);
}

#[test]
fn a_plugins_own_counters_and_gauges_are_in_the_metrics() {
    let setup = HostSetup::new("[[tenants.acme.plugins]]\npath = \"counting.wasm\"\n");
    // The guest's text at 8: "cheap", then "SPY", then "mid".
    let body = "(call $count (i32.const 8) (i32.const 5) (i64.const 3))
        (call $gauge (i32.const 16) (i32.const 3) (f64.const 2.5))
        (memory.fill (i32.const 1024) (i32.const 0) (i32.const 512))";
    std::fs::write(setup.folder.path().join("counting.wasm"), guest(body)).unwrap();
    let sim = Sim::quiet();
    let running = setup.dry_run(&sim);
    sim.wait_for_symbols(&["SPY"]);
    sim.send("SPY", &quote(100.0, 1));
    eventually("its numbers", || {
        let found = metrics(setup.port);
        let count = found.get("quotegate_plugin_count_total{plugin=\"counting\",name=\"cheap\"}")?;
        let gauge = found.get("quotegate_plugin_gauge{tenant=\"acme\",plugin=\"counting\",name=\"mid\"}")?;
        (*count >= 3.0 && *gauge == 2.5).then_some(())
    });
    running.signal("TERM");
    assert_eq!(running.wait().code, 0);
}

#[test]
fn a_host_without_its_feed_is_alive_but_not_ready() {
    let port = free_port();
    let running = Running::start(&mut host(&format!("ws://127.0.0.1:{}/v2/iex", free_port()), port));
    let answer = eventually("an answer", || get(port, "/readyz"));
    assert_eq!(answer.status, 503);
    assert!(answer.body.starts_with("the feed is not connected: "), "{}", answer.body);
    assert_eq!(get(port, "/healthz").unwrap().status, 200);
    eventually("a counted reconnect", || {
        metrics(port).get("quotegate_feed_reconnects_total{cause=\"connect\"}").filter(|count| **count >= 1.0).map(drop)
    });
    running.signal("TERM");
    running.wait();
}

#[test]
fn a_token_protects_everything_but_the_probes() {
    let port = free_port();
    let url = format!("ws://127.0.0.1:{}/v2/iex", free_port());
    let running = Running::start(host(&url, port).env("QUOTEGATE_OPS__TOKEN", "hush"));
    eventually("an answer", || get(port, "/healthz"));
    for path in ["/", "/page.js", "/page.css"] {
        assert_eq!(get(port, path).unwrap().status, 200, "{path}");
    }
    assert_eq!(get(port, "/api/events").unwrap().status, 401);
    for path in ["/metrics", "/api/state"] {
        let refused = get(port, path).unwrap();
        assert_eq!((refused.status, refused.head.contains("www-authenticate: bearer")), (401, true));
        assert_eq!(request(port, "GET", path, "Authorization: Bearer hus\r\n").unwrap().status, 401);
        assert_eq!(request(port, "GET", path, "Authorization: Bearer hush\r\n").unwrap().status, 200);
    }
    running.signal("TERM");
    let ended = running.wait();
    assert!(!ended.stderr.contains("hush"));
}

/// Opens `/api/events` and returns its lines as they arrive, those of the head first.
fn listen(port: u16, query: &str) -> impl Iterator<Item = String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(harness::LIMIT)).unwrap();
    write!(stream, "GET /api/events{query} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    BufReader::new(stream).lines().map_while(Result::ok)
}

fn data(line: &str) -> Value {
    serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap()
}

#[test]
fn events_are_rate_limited_however_fast_the_feed_is() {
    let port = free_port();
    let sim = Sim::with(SimSettings { rate: Rate::PerSecond(5000.0), ..SimSettings::default() });
    let running = Running::start(host(&sim.url(), port).env("MONITORED_SYMBOLS", "SPY,AAPL"));
    eventually("quotes", || (get(port, "/readyz")?.status == 200).then_some(()));
    let began = Instant::now();
    let mut events = listen(port, "");
    assert_eq!(events.next().unwrap(), "HTTP/1.1 200 OK");
    let mut events = events.skip_while(|line| !line.starts_with("event: "));
    assert_eq!(events.next().unwrap(), "event: state");
    assert_eq!(data(&events.next().unwrap())["tenants"][0]["id"], "acme");
    let mut events = events.filter(|line| line.starts_with("data: {\"full\""));
    let first = data(&events.next().unwrap());
    assert_eq!((&first["tenant"], &first["full"]), (&Value::from("acme"), &Value::from(true)));
    let more: Vec<_> = events.by_ref().take(8).map(|line| data(&line)).collect();
    assert!(began.elapsed() >= Duration::from_millis(8 * 350), "9 updates took {:?}", began.elapsed());
    for update in more {
        assert_eq!(update["full"], false);
        assert!((1..=2).contains(&update["rows"].as_array().unwrap().len()), "{update}");
    }
    assert_eq!(get(port, "/api/events?tenant=nobody").unwrap().status, 404);
    running.signal("TERM");
    assert_eq!(running.wait().code, 0);
    // An open stream does not keep the host from stopping.
    assert!(events.count() < 100);
}

#[test]
fn the_number_of_event_streams_is_limited() {
    let port = free_port();
    let running = Running::start(&mut host(&format!("ws://127.0.0.1:{}/v2/iex", free_port()), port));
    eventually("an answer", || get(port, "/healthz"));
    let answered = |mut lines: Box<dyn Iterator<Item = String>>| (lines.next().unwrap(), lines);
    let mut listeners: Vec<_> = (0..16).map(|_| answered(Box::new(listen(port, "")))).collect();
    assert!(listeners.iter().all(|(head, _)| head == "HTTP/1.1 200 OK"));
    let refused = get(port, "/api/events").unwrap();
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("16 clients are already watching"), "{}", refused.body);
    // Everything else still answers.
    assert_eq!(get(port, "/api/state").unwrap().status, 200);
    listeners.pop();
    eventually("a place that is free again", || {
        let (head, _) = answered(Box::new(listen(port, "")));
        (head == "HTTP/1.1 200 OK").then_some(())
    });
    running.signal("TERM");
    assert_eq!(running.wait().code, 0);
}

#[test]
fn readiness_fails_first_when_the_host_shuts_down() {
    let (sim, port) = (Sim::quiet(), free_port());
    // One write per ten seconds: the second symbol keeps the host flushing.
    let running = Running::start(
        host(&sim.url(), port)
            .env("MONITORED_SYMBOLS", "SPY,QQQ")
            .env("GLOBAL_WRITES_PER_SEC", "0.1")
            .env("GLOBAL_BURST", "1"),
    );
    sim.wait_for_symbols(&["QQQ", "SPY"]);
    sim.send("SPY", &quote(100.0, 1));
    sim.send("QQQ", &quote(100.0, 1));
    eventually("a symbol that waits", || {
        (metrics(port)["quotegate_tenant_dirty{tenant=\"acme\"}"] == 1.0).then_some(())
    });
    running.signal("TERM");
    let answer = eventually("not ready", || get(port, "/readyz").filter(|answer| answer.status == 503));
    assert!(answer.body.contains("shutting down"), "{}", answer.body);
    assert_eq!(get(port, "/healthz").unwrap().status, 200);
    assert_eq!(running.wait().code, 0);
}

#[test]
fn a_configured_port_that_is_taken_stops_the_host() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let ended = harness::finish(&mut host("ws://127.0.0.1:1/v2/iex", port));
    assert_eq!(ended.code, 1);
    let told =
        format!("ops.port: could not listen on 127.0.0.1:{port}: another program uses the port; choose another port");
    assert!(ended.stderr.contains(&told), "{}", ended.stderr);

    let foreign = harness::finish(host("ws://127.0.0.1:1/v2/iex", port).env("QUOTEGATE_OPS__ADDRESS", "203.0.113.7"));
    let told = format!("ops.address: could not listen on 203.0.113.7:{port}: this machine does not have that address");
    assert!(foreign.code == 1 && foreign.stderr.contains(&told), "{}", foreign.stderr);
}

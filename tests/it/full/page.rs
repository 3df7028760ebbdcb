//! The page, in a real Chromium, of the real program.

mod host_wide;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::harness::{Browser, Cluster, HostSetup, Running, Screen, Sim, eventually, get, guest};
use quotegate_market::Quote;
use quotegate_test_support::{Act, FakeFirestore};
use serde_json::{Value, json};

const DESKTOP: Screen = Screen { width: 1100, height: 900, dark: false };
const PHONE: Screen = Screen { width: 360, height: 740, dark: false };

/// A quote with the current time, like the simulator's.
fn quote(bid_price: f64) -> Quote {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
    let (bid_size, ask_size) = (3.0, 4.0);
    Quote { bid_price, bid_size, ask_price: bid_price + 0.02, ask_size, event_time: now, ..Quote::default() }
}

/// The symbols in the table, in order of rows.
const ROWS: &str = "[...document.querySelectorAll('#rows th')].map(cell => cell.textContent).join(' ')";

fn rows(browser: &mut Browser) -> String {
    browser.evaluate(ROWS).as_str().unwrap().to_owned()
}

fn focused(browser: &mut Browser) -> String {
    let text = browser.evaluate("document.activeElement.dataset.key ?? document.activeElement.id");
    text.as_str().unwrap_or_default().to_owned()
}

/// Asserts that nothing is wider than the screen. `innerWidth` does not show it, because phones widen it for wide pages.
fn assert_fits(browser: &mut Browser, width: u32, what: &str) {
    let beyond = browser.evaluate(&format!(
        "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > {width})
            .map(e => e.tagName + '#' + e.id + '.' + e.className).join(' ')"
    ));
    assert_eq!(beyond, "", "{what}");
    let wide = browser.evaluate("document.documentElement.scrollWidth");
    assert!(wide.as_f64().unwrap() <= f64::from(width), "{what}: {wide} px wide on {width}");
}

/// Asserts that the page requested nothing from other hosts and that the console has only `expected` errors.
fn assert_quiet(browser: &Browser, setup: &HostSetup, expected: &str) {
    let elsewhere: Vec<_> = browser
        .requests
        .iter()
        .filter(|address| !address.starts_with(&setup.page()) && *address != "about:blank")
        .collect();
    assert_eq!(elsewhere, Vec::<&String>::new());
    let errors: Vec<_> =
        browser.errors.iter().filter(|error| expected.is_empty() || !error.contains(expected)).collect();
    assert_eq!(errors, Vec::<&String>::new());
}

const TWO_TENANTS: &str = r#"
    [tenants.acme]
    symbols = ["SPY", "AAPL", "MSFT", "BTC/USD"]
    per_symbol_min_interval_ms = 100
    [[tenants.acme.plugins]]
    standard = "quote-filter"
    config = { max_spread_bps = 5000 }
    [[tenants.acme.plugins]]
    standard = "field-map"
    config = { fields = { symbol = "symbol", mid = "mid" } }
    [tenants.zeta]
    symbols = ["QQQ"]
"#;

#[test]
fn quotes_move_and_search_and_sort_work_by_keyboard() {
    let Some(mut browser) = Browser::or_skip() else { return };
    let (setup, sim) = (HostSetup::new(TWO_TENANTS), Sim::quiet());
    let host = setup.dry_run(&sim);
    sim.wait_for_symbols(&["AAPL", "BTC/USD", "MSFT", "QQQ", "SPY"]);
    for (symbol, price) in [("SPY", 500.0), ("AAPL", 200.0), ("MSFT", 300.0), ("BTC/USD", 64_000.125), ("QQQ", 400.0)] {
        sim.send(symbol, &quote(price));
    }
    browser.look(DESKTOP);
    browser.open(&setup.page());
    browser.until("every symbol", &format!("{ROWS} === 'AAPL BTC/USD MSFT SPY'"));
    browser.until("LIVE", "document.querySelector('#badge').textContent === 'LIVE'");
    assert_eq!(browser.text("#rows tr:nth-child(2) td:nth-child(2)"), "64,000.125");
    assert!(browser.text("#identity").starts_with("test-host · "));
    assert_eq!(browser.text("#connection"), "streaming");

    // A later quote updates its row in place.
    browser.evaluate("globalThis.spy = document.querySelector('#rows tr:nth-child(4)'); null");
    sim.send("SPY", &quote(501.5));
    browser.until("the new price", "globalThis.spy.isConnected && globalThis.spy.textContent.includes('501.50')");

    // "/" focuses the search.
    browser.press("/");
    assert_eq!(focused(&mut browser), "search");
    for letter in ["p", "y"] {
        browser.press(letter);
    }
    assert_eq!(rows(&mut browser), "SPY");
    assert_eq!(browser.text("#shown"), "1 of 4 symbols");
    browser.evaluate("document.querySelector('#search').value = ''; null");
    browser.press("a");
    assert_eq!(rows(&mut browser), "AAPL");
    browser.evaluate(
        "const s = document.querySelector('#search'); s.value = ''; s.dispatchEvent(new Event('input')); null",
    );

    // Sort by bid: the buttons of the head come after the search.
    while focused(&mut browser) != "bid" {
        browser.press("Tab");
    }
    let outline = browser.evaluate("getComputedStyle(document.activeElement).outlineStyle");
    assert_eq!(outline, "solid", "focus is seen");
    browser.press("Enter");
    assert_eq!(rows(&mut browser), "AAPL MSFT SPY BTC/USD");
    browser.press("Enter");
    assert_eq!(rows(&mut browser), "BTC/USD SPY MSFT AAPL");
    assert_eq!(browser.text("th[aria-sort=descending]"), "Bid");

    // The other tenant.
    browser.evaluate(
        "const t = document.querySelector('#tenant'); t.value = 'zeta'; t.dispatchEvent(new Event('change')); null",
    );
    browser.until("the other tenant's quotes", &format!("{ROWS} === 'QQQ'"));

    // The URL selects it again.
    let address = browser.evaluate("location.href");
    assert_eq!(address, format!("{}#tenant=zeta", setup.page()));
    browser.open("about:blank");
    browser.open(address.as_str().unwrap());
    browser.until("the same tenant's quotes", &format!("{ROWS} === 'QQQ'"));

    browser.until("numbers of the plugins", "document.querySelectorAll('#plugins tr').length === 2");
    browser.until("writes", "document.querySelector('#writes-more').textContent.startsWith('of 20/s allowed')");
    assert_quiet(&browser, &setup, "");
    host.signal("TERM");
    assert_eq!(host.wait().code, 0);
}

#[test]
fn the_page_fits_every_screen_in_light_and_dark() {
    let Some(mut browser) = Browser::or_skip() else { return };
    let setup = HostSetup::new(
        r#"
        [tenants.alpha]
        symbols = "*"
        per_symbol_min_interval_ms = 200
        [[tenants.alpha.plugins]]
        standard = "quote-filter"
        config = { max_spread_bps = 2 }
        [[tenants.alpha.plugins]]
        standard = "field-map"
        config = { fields = { symbol = "symbol", mid = "mid" } }
        [tenants.tenant-with-a-long-name-that-somebody-chose]
        symbols = ["SPY"]
        "#,
    );
    let sim = Sim::with(quotegate_sim::SimSettings {
        universe: quotegate_sim::Universe::Count(30),
        rate: quotegate_sim::Rate::PerSecond(300.0),
        ..quotegate_sim::SimSettings::default()
    });
    let host = setup.dry_run(&sim);
    browser.look(DESKTOP);
    browser.open(&setup.page());
    browser.until("quotes", "document.querySelectorAll('#rows tr').length === 30");
    browser.until("rates", "/^[1-9]/.test(document.querySelector('#writes-rate').textContent)");
    browser.until("latency", "document.querySelector('#latency').textContent.startsWith('≤')");
    for (name, width, height) in
        [("phone", 360, 740), ("tablet", 800, 1000), ("desktop", 1100, 900), ("wide", 1900, 1000)]
    {
        for dark in [false, true] {
            browser.look(Screen { width, height, dark });
            let colours = if dark { "dark" } else { "light" };
            assert_fits(&mut browser, width, &format!("{name} {colours}"));
            let ground = browser.evaluate("getComputedStyle(document.body).backgroundColor");
            assert_eq!(ground == "rgb(16, 20, 23)", dark, "{ground}");
            browser.screenshot(&format!("page-{name}-{colours}"));
        }
    }
    assert_quiet(&browser, &setup, "");
    host.signal("TERM");
    assert_eq!(host.wait().code, 0);
}

#[test]
fn the_page_shows_a_silent_feed_as_stale_and_a_killed_host_as_gone() {
    let Some(mut browser) = Browser::or_skip() else { return };
    let (setup, sim) = (HostSetup::new("[tenants.acme]\nsymbols = [\"SPY\"]"), Sim::quiet());
    let host = setup.dry_run(&sim);
    sim.wait_for_symbols(&["SPY"]);
    browser.look(PHONE);
    browser.open(&setup.page());
    // On a busy machine, a single quote would be stale by the time it is shown.
    let live = "document.querySelector('#badge').textContent === 'LIVE'";
    browser.until_by("LIVE", live, || sim.send("SPY", &quote(500.0)));
    // The thirty seconds cannot be shortened.
    browser.until("STALE", "document.querySelector('#badge').textContent === 'STALE'");
    assert!(browser.text("#reason").starts_with("no quote arrived for "), "{}", browser.text("#reason"));
    assert!(browser.text("#said").starts_with("STALE: no quote arrived for "), "{}", browser.text("#said"));
    browser.screenshot("page-stale");

    browser.until_by("LIVE once more", live, || sim.send("SPY", &quote(501.0)));
    drop(host); // kills it
    browser.until("OFFLINE", "document.querySelector('#badge').textContent === 'OFFLINE'");
    let gone = browser.text("#gone");
    assert!(gone.starts_with("No connection to the host since ") && gone.contains("The data below is old."), "{gone}");
    assert_eq!(browser.evaluate("getComputedStyle(document.querySelector('#gone')).display"), "block");
    assert_eq!(browser.text("#tenants .badges").trim(), "OFFLINE");
    assert_eq!((browser.text("#connection"), browser.text("#quotes-rate")), ("unknown".into(), "–/s".into()));
    browser.until("its quote ages", "parseInt(document.querySelector('#rows tr').lastElementChild.textContent) >= 2");
    assert!(!browser.text("main").contains("LIVE"), "{}", browser.text("main"));
    assert_fits(&mut browser, PHONE.width, "the notice");
    browser.screenshot("page-offline");

    // It finds the host again by itself.
    let host = setup.dry_run(&sim);
    browser.until("the notice goes", "document.querySelector('#gone').hidden");
    browser.until("STALE again", "document.querySelector('#badge').textContent === 'STALE'");
    sim.wait_for_symbols(&["SPY"]);
    browser.until_by("LIVE again", live, || sim.send("SPY", &quote(502.0)));
    browser.until("the new price", "document.querySelector('#rows').textContent.includes('502.00')");
    assert_quiet(&browser, &setup, "ERR_");
    host.signal("TERM");
    host.wait();
}

#[test]
fn the_page_shows_faults() {
    let Some(mut browser) = Browser::or_skip() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let down = Arc::new(AtomicBool::new(false));
    let firestore = runtime.block_on(FakeFirestore::start({
        let down = down.clone();
        move |_| if down.load(Relaxed) { Act::FailRequest(14, "unavailable") } else { Act::Write }
    }));
    let setup = HostSetup::new(
        r#"
        [tenant_defaults]
        symbols = ["SPY"]
        per_symbol_min_interval_ms = 0
        [tenants.good]
        [[tenants.bad.plugins]]
        path = "trap.wasm"
        "#,
    );
    std::fs::write(setup.folder.path().join("trap.wasm"), guest("unreachable")).unwrap();
    let sim = Sim::quiet();
    let firestore_env =
        [("FIRESTORE_PROJECT_ID", "demo-page".to_owned()), ("FIRESTORE_EMULATOR_HOST", firestore.host())];
    let host = Running::start(setup.command(&sim).envs(firestore_env).env("QUOTEGATE_SINK__RETRY_MAX_S", "1"));
    setup.wait_until_served();
    sim.wait_for_symbols(&["SPY"]);
    browser.look(PHONE);
    browser.open(&setup.page());
    let send_until = |what: &str, browser: &mut Browser, expression: &str| {
        eventually(what, || {
            sim.send("SPY", &quote(500.0 + fastrand::f64()));
            (browser.evaluate(expression) == true).then_some(())
        });
    };
    let row = |tenant: &str| {
        let rows = "[...document.querySelectorAll('#tenants tr')]";
        format!("({rows}.find(row => row.firstChild.textContent === '{tenant}')?.textContent ?? '')")
    };
    let quarantine = format!("{}.includes('the plugin trap is in quarantine')", row("bad"));
    send_until("a plugin in quarantine", &mut browser, &quarantine);
    assert!(browser.text("#plugins").contains("quarantined"), "{}", browser.text("#plugins"));
    send_until("the other tenant is well", &mut browser, &format!("{}.includes('running')", row("good")));
    let reason = browser.text("#reason");
    assert!(reason.starts_with("but tenant bad is degraded: the plugin trap is in quarantine: "), "{reason}");
    browser.screenshot("page-quarantine");

    down.store(true, Relaxed);
    send_until("the sink is down", &mut browser, "document.querySelector('#sink').textContent === 'failing'");
    let said = |place: &str| format!("document.querySelector('{place}').textContent.includes('cannot be reached')");
    send_until("why", &mut browser, &said("#sink-more"));
    send_until("the header says so", &mut browser, &said("#reason"));
    // The tenant that has no other problem does not repeat it.
    send_until("the tenant", &mut browser, &format!("{}.includes('degraded')", row("good")));
    let tenant = browser.evaluate(&row("good"));
    assert!(!tenant.as_str().unwrap().contains("the last write failed"), "{tenant}");
    send_until("the log's line", &mut browser, &said("#errors"));
    assert_fits(&mut browser, PHONE.width, "faults");
    browser.screenshot("page-sink-down");

    down.store(false, Relaxed);
    send_until("the sink is back", &mut browser, "document.querySelector('#sink').textContent === 'working'");
    assert_quiet(&browser, &setup, "");
    host.signal("TERM");
    host.wait();
}

#[test]
fn the_page_shows_hostile_text_as_text() {
    let Some(mut browser) = Browser::or_skip() else { return };
    let (setup, sim) = (HostSetup::new("[tenants.acme]\nsymbols = [\"SPY\"]"), Sim::quiet());
    let _host = setup.dry_run(&sim);
    // The host rejects such a symbol, so a server between host and page inserts it.
    let hostile = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>";
    let mut state: Value = serde_json::from_str(&get(setup.port, "/api/state").unwrap().body).unwrap();
    for key in ["instance", "connection"] {
        state[key] = json!(hostile);
    }
    let verdict = json!({"state": "stale", "reason": hostile});
    state["liveness"] = verdict.clone();
    state["problems"] = json!([hostile]);
    state["recent_errors"] =
        json!([{"time": 1, "severity": "ERROR", "event_type": hostile, "message": hostile, "count": 2}]);
    for (key, value) in
        [("id", json!(hostile)), ("status", json!(hostile)), ("reason", json!(hostile)), ("liveness", verdict)]
    {
        state["tenants"][0][key] = value;
    }
    let quotes = json!({"tenant": hostile, "full": true, "symbols": 1, "rows": [[hostile, 1.0, 2.0, 3.0, 4.0, 5, 6]]});
    let port = between(setup.port, format!("event: state\ndata: {state}\n\nevent: quotes\ndata: {quotes}\n\n"));
    browser.open(&format!("http://127.0.0.1:{port}/"));
    browser.until("the row", "document.querySelectorAll('#rows tr').length === 1");
    browser.until("the error", "document.querySelectorAll('#errors li').length === 1");
    for place in ["#identity", "#connection", "#reason", "#rows th", "#tenants", "#errors"] {
        assert!(browser.text(place).contains(hostile), "{place}: {}", browser.text(place));
    }
    assert_eq!(browser.evaluate("document.querySelectorAll('img, body script').length"), 0);
    assert!(!browser.text("title").contains("taken"));
    browser.look(PHONE);
    assert_fits(&mut browser, PHONE.width, "hostile text");
}

/// A server that serves the page of the host on `port`, with `events` as its event stream.
fn between(port: u16, events: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut line = String::new();
            if BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap_or(0) == 0 {
                continue;
            }
            let path = line.split(' ').nth(1).unwrap();
            if path.starts_with("/api/events") {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
                let _ = write!(stream, "{head}{events}");
                // Left open until the test ends.
                std::mem::forget(stream);
                continue;
            }
            let Some(answer) = get(port, path) else { return };
            let kind = answer.head.lines().find(|line| line.starts_with("content-type")).unwrap();
            let length = answer.body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\n{kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{}",
                answer.body
            );
        }
    });
    own
}

#[test]
fn the_page_asks_for_a_token_and_keeps_it_for_the_session_only() {
    let Some(mut browser) = Browser::or_skip() else { return };
    let (setup, sim) = (HostSetup::new("[tenants.acme]\nsymbols = [\"SPY\"]"), Sim::quiet());
    let host = Running::start(setup.command(&sim).env("DRY_RUN", "1").env("QUOTEGATE_OPS__TOKEN", "hush"));
    setup.wait_until_served();
    sim.wait_for_symbols(&["SPY"]);
    sim.send("SPY", &quote(500.0));
    browser.look(PHONE);
    browser.open(&setup.page());
    browser.until("the form", "!document.querySelector('#ask').hidden && document.activeElement.id === 'token'");
    assert_eq!(browser.evaluate("document.querySelector('#main').hidden"), true);
    assert_fits(&mut browser, PHONE.width, "the form");
    browser.screenshot("page-token");
    browser.press("x");
    browser.press("Enter");
    browser.until("the refusal", "document.querySelector('#ask-problem').textContent === 'Wrong token.'");
    for letter in ["h", "u", "s", "h"] {
        browser.press(letter);
    }
    browser.press("Enter");
    browser.until("quotes", &format!("{ROWS} === 'SPY'"));
    assert_eq!(browser.evaluate("document.querySelector('#ask').hidden"), true);
    assert_eq!(browser.evaluate("JSON.stringify([localStorage.length, document.cookie])"), "[0,\"\"]");
    browser.open(&setup.page());
    browser.until("quotes without asking again", &format!("{ROWS} === 'SPY'"));
    assert_quiet(&browser, &setup, "401");
    drop(host);
}

#[test]
fn the_page_of_a_standby_shows_who_the_owner_is() {
    let Some(mut browser) = Browser::or_skip() else { return };
    let sim = Sim::quiet();
    let Some(cluster) = Cluster::or_skip("demo-page-lease", &sim) else { return };
    let members = [cluster.start("host-a"), cluster.start("host-b")];
    let owner = cluster.wait_for_owner(&members);
    let standby = &members[1 - owner];
    browser.look(PHONE);
    browser.open(&format!("http://127.0.0.1:{}/", standby.port));
    browser.until("the badge", "document.getElementById('badge').textContent === 'STANDBY'");
    assert!(browser.text("#reason").contains(&members[owner].name));
    browser.until("both hosts", "document.querySelectorAll('#hosts tr').length === 2");
    browser.until("their roles", "document.getElementById('hosts').textContent.includes('owner')");
    assert_eq!(browser.text("#connection"), "standby");
    assert_fits(&mut browser, PHONE.width, "hosts");
    browser.screenshot("standby");
}

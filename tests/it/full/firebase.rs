//! The pages that read the documents: their queries, with the Firebase JavaScript SDK in a real browser, against the
//! emulator with config/firestore.rules.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::harness::{Browser, HostSetup, Running, Sim};
use quotegate_market::Quote;
use quotegate_test_support::{Emulator, emulator_with_rules_or_skip};
use serde_json::{Value, json};

const PROJECT: &str = "demo-readers";
const QUOTES: &str = "tenants/acme/live_quotes";
const NESTED: &str = "tenants/acme/market_intelligence/quotes/live";
const BARS: &str = "tenants/acme/market_data_1m";
const HEARTBEAT: &str = "tenants/acme/ops/market_ingest";
const DENIED: &str = "permission-denied";

const SETTINGS: &str = r#"
    [tenants.acme]
    symbols = ["SPY", "AAPL"]
    collections = ["live_quotes", { path = "market_intelligence/quotes/live", shape = "streamer" }]
    per_symbol_min_interval_ms = 50
"#;

/// The folder with the SDK, which `tests/run --all` fetches. Without it the test is skipped.
fn sdk() -> Option<PathBuf> {
    let folder = std::env::var_os("QUOTEGATE_TEST_FIREBASE").map(PathBuf::from);
    if folder.is_none() {
        let what = "the Firebase SDK as a reader: tests/run --all fetches it and sets QUOTEGATE_TEST_FIREBASE";
        quotegate_test_support::skip(what);
    }
    folder
}

/// Serves the page and the SDK, each request in turn, and returns the page's URL. Ends with the process.
fn serve(sdk: PathBuf) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/firebase");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/index.html", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let Some(first) = lines.next() else { continue };
            lines.find(String::is_empty);
            let name = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
            let file = [&page, &sdk].map(|folder| folder.join(name)).into_iter().find(|file| file.is_file());
            let (status, body) =
                file.map_or(("404 Not Found", Vec::new()), |file| ("200 OK", std::fs::read(file).unwrap()));
            let kind = if name.ends_with(".js") { "text/javascript" } else { "text/html" };
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&body);
        }
    });
    url
}

/// The page with three users: a member of acme, a member of another tenant, and one that is not signed in.
fn open_page(browser: &mut Browser, sdk: PathBuf, emulator: &Emulator) {
    browser.open(&serve(sdk));
    browser.until("the page is ready", "globalThis.signIn !== undefined");
    let (host, port) = emulator.host().split_once(':').map(|(host, port)| (host.to_owned(), port.to_owned())).unwrap();
    let project = json!({"projectId": PROJECT, "host": host, "port": port.parse::<u16>().unwrap()});
    let users = [
        ("member", json!({"sub": "ann", "tenant_id": "acme"})),
        ("stranger", json!({"sub": "ann", "tenant_id": "globex"})),
        ("nobody", Value::Null),
    ];
    for (name, claims) in users {
        browser.evaluate(&format!("signIn({name:?}, {project}, {claims})"));
    }
}

fn quote(bid_price: f64) -> Quote {
    let event_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
    Quote { bid_price, bid_size: 3.0, ask_price: bid_price + 0.01, ask_size: 4.0, event_time, ..Quote::default() }
}

/// Two bars of each symbol, as another service writes them: the older one closes at 1.
fn write_bars(emulator: &Emulator) {
    let now = jiff::Timestamp::now();
    for (symbol, close) in [("SPY", 500.0), ("AAPL", 200.0)] {
        for (id, age, close) in [("older", 120, 1.0), ("newer", 60, close)] {
            let ts = (now - jiff::SignedDuration::from_secs(age)).to_string();
            let fields = json!({
                "symbol": {"stringValue": symbol},
                "ts": {"timestampValue": ts},
                "close": {"doubleValue": close},
            });
            emulator.set(PROJECT, &format!("{BARS}/{symbol}-{id}"), &fields);
        }
    }
}

#[test]
fn every_page_that_reads_the_documents_sees_them_and_no_one_else_does() {
    let Some(sdk) = sdk() else { return };
    let Some(mut browser) = Browser::or_skip() else { return };
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/firestore.rules");
    let Some(emulator) = emulator_with_rules_or_skip(&rules) else { return };
    emulator.set(PROJECT, "tenants/acme/users/ann", &json!({}));
    write_bars(&emulator);
    let (setup, sim) = (HostSetup::new(SETTINGS), Sim::quiet());
    let host = Running::start(
        setup.command(&sim).env("FIRESTORE_PROJECT_ID", PROJECT).env("FIRESTORE_EMULATOR_HOST", emulator.host()),
    );
    sim.wait_for_symbols(&["AAPL", "SPY"]);
    open_page(&mut browser, sdk, &emulator);

    for user in ["member", "stranger", "nobody"] {
        for path in [QUOTES, NESTED] {
            browser.evaluate(&format!("readers.{user}.listen({path:?})"));
        }
        for path in [format!("{QUOTES}/SPY"), HEARTBEAT.to_owned()] {
            browser.evaluate(&format!("readers.{user}.listenToDocument({path:?})"));
        }
    }
    sim.send("SPY", &quote(500.25));
    sim.send("AAPL", &quote(200.5));
    let seen = |path: &str, field: &str| format!("readers.member.seen[{path:?}]?.{field}");
    let both =
        |path| format!("{} === 500.25 && {} === 200.5", seen(path, "SPY?.bid_price"), seen(path, "AAPL?.bid_price"));
    browser.until("both quotes", &both(QUOTES));
    browser.until("both quotes in the nested collection", &both(NESTED));
    browser.until("the heartbeat", &format!("{} !== undefined", seen(HEARTBEAT, "ts")));
    // A listener follows.
    sim.send("SPY", &quote(501.0));
    browser.until("the next quote", &format!("{} === 501", seen(QUOTES, "SPY?.bid")));
    browser.until("the next quote, nested", &format!("{} === 501", seen(NESTED, "SPY?.bid_price")));
    browser.until("the next quote, one document", &format!("{} === 501.005", seen(&format!("{QUOTES}/SPY"), "price")));
    for path in [QUOTES, NESTED] {
        assert_eq!(browser.evaluate(&format!("readers.member.state({path:?}, {HEARTBEAT:?})")), "LIVE", "{path}");
    }
    let shape = "Object.keys(readers.member.seen['tenants/acme/market_intelligence/quotes/live'].SPY).sort().join(' ')";
    assert_eq!(
        browser.evaluate(shape),
        "ask_price ask_size asset_class bid_price bid_size ingest_ts last_update_ts symbol"
    );

    let fresh = browser.evaluate(&format!("readers.member.freshness({QUOTES:?})"));
    assert_eq!(fresh, json!({"newest": ["SPY"], "recent": 2}));
    let fresh = browser.evaluate(&format!("readers.member.freshness({BARS:?})"));
    assert_eq!(fresh["recent"], 4, "{fresh}");
    let closes = browser.evaluate(&format!("readers.member.bars({BARS:?}, ['SPY', 'AAPL'])"));
    let mut newest: Vec<f64> = closes.as_array().unwrap()[..2].iter().map(|close| close.as_f64().unwrap()).collect();
    newest.sort_by(f64::total_cmp);
    assert_eq!(newest, [200.0, 500.0], "{closes}");

    for user in ["stranger", "nobody"] {
        for path in [QUOTES.to_owned(), NESTED.to_owned(), format!("{QUOTES}/SPY"), HEARTBEAT.to_owned()] {
            browser.until("the listener is refused", &format!("readers.{user}.seen[{path:?}] === {DENIED:?}"));
        }
        for path in [QUOTES, BARS] {
            assert_eq!(browser.evaluate(&format!("readers.{user}.freshness({path:?})")), DENIED, "{user} {path}");
        }
        assert_eq!(browser.evaluate(&format!("readers.{user}.bars({BARS:?}, ['SPY'])")), DENIED, "{user}");
    }
    for user in ["member", "stranger", "nobody"] {
        for path in
            [format!("{QUOTES}/SPY"), format!("{NESTED}/SPY"), format!("{BARS}/SPY-newer"), HEARTBEAT.to_owned()]
        {
            for verb in ["write", "remove"] {
                assert_eq!(
                    browser.evaluate(&format!("readers.{user}.{verb}({path:?})")),
                    DENIED,
                    "{user} {verb} {path}"
                );
            }
        }
    }
    host.signal("TERM");
    assert_eq!(host.wait().code, 0);
}

//! Alpaca's own JavaScript client, unchanged, against `quotegate sim`: checks that we follow the protocol.

use std::path::PathBuf;
use std::process::Command;

use crate::harness::{self, Running, quotegate};

#[test]
fn the_official_javascript_client_reads_latest_quotes_and_snapshots() {
    let Some(tools) = std::env::var_os("QUOTEGATE_TEST_NODE").map(PathBuf::from) else {
        quotegate_test_support::skip(
            "Alpaca's JavaScript client: tests/run --all installs it and sets QUOTEGATE_TEST_NODE",
        );
        return;
    };
    let address = format!("127.0.0.1:{}", harness::free_port());
    let (stocks, pair, option) = ("SPY,AAPL", "BTC/USD", "SPY260116C00600000");
    let symbols = format!("{stocks},{pair},{option}");
    let _sim = Running::start(&mut quotegate(["sim", "--listen", &address, "--symbols", &symbols]));
    harness::eventually("the simulator listens", || std::net::TcpStream::connect(&address).ok());
    let output = Command::new("node")
        .env("NODE_PATH", tools.join("alpaca_js/node_modules"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/alpaca_js/rest.cjs"))
        .args([&format!("http://{address}"), stocks, pair, option])
        .output()
        .expect("node starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

//! Alpaca's own Python client, unchanged, against `quotegate sim`: checks that we follow the protocol.

use std::path::PathBuf;
use std::process::Command;

use crate::harness::{self, Running, quotegate};

/// The Python with the client, which `tests/run --all` installs. Without it the test is skipped.
fn python() -> Option<PathBuf> {
    let Some(tools) = std::env::var_os("QUOTEGATE_TEST_PYTHON") else {
        quotegate_test_support::skip(
            "alpaca-py as a client: tests/run --all installs it and sets QUOTEGATE_TEST_PYTHON",
        );
        return None;
    };
    Some(PathBuf::from(tools).join("alpaca_py/bin/python"))
}

#[test]
fn the_official_python_client_receives_typed_quotes() {
    let Some(python) = python() else { return };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let _sim = Running::start(&mut quotegate(["sim", "--listen", &address, "--symbols", "SPY,AAPL,MSFT"]));
    harness::eventually("the simulator listens", || std::net::TcpStream::connect(&address).ok());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/alpaca_py/stream.py");
    let output = Command::new(python)
        .args([
            script,
            "--url",
            &format!("ws://{address}"),
            "--symbols",
            "SPY,AAPL",
            "--count",
            "200",
            "--seconds",
            "80",
        ])
        .output()
        .expect("python starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

#[test]
fn the_official_python_clients_read_latest_quotes_and_snapshots() {
    let Some(python) = python() else { return };
    let address = format!("127.0.0.1:{}", harness::free_port());
    let (stocks, pair, option) = ("SPY,AAPL", "BTC/USD", "SPY260116C00600000");
    let symbols = format!("{stocks},{pair},{option}");
    let _sim = Running::start(&mut quotegate(["sim", "--listen", &address, "--symbols", &symbols]));
    harness::eventually("the simulator listens", || std::net::TcpStream::connect(&address).ok());
    let output = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/alpaca_py/rest.py"))
        .args(["--url", &format!("http://{address}"), "--stocks", stocks, "--pairs", pair, "--options", option])
        .output()
        .expect("python starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

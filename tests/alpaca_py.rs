//! Alpaca's own Python client, unchanged, against `quotegate sim`: the judge of our protocol.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)] // in a test, a panic is the message

mod harness;

use std::path::PathBuf;
use std::process::Command;

use harness::{Running, quotegate};

/// The client's Python, which `tests/run` installs. Elsewhere the test says that it was skipped.
fn python() -> Option<PathBuf> {
    let Some(tools) = std::env::var_os("QUOTEGATE_TEST_PYTHON") else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "tests/run installs alpaca-py in CI");
        eprintln!("SKIPPED: QUOTEGATE_TEST_PYTHON is not set; tests/run installs alpaca-py and sets it");
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

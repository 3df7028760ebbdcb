//! Helpers for end-to-end tests: start the real program in a clean environment, read its log lines as values, and wait for
//! conditions.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, unused_imports, unreachable_pub, missing_docs)] // each test file uses a part of it

mod browser;
mod cluster;
mod host_setup;
mod http;
mod proxy;
mod shared_work;
mod sim;
mod write_log;

pub use browser::{Browser, Screen};
pub use cluster::{Cluster, LEASE, Member, time};
pub use host_setup::{HostSetup, guest, guest_text};
pub use http::{Answer, free_port, get, request};
pub use proxy::Proxy;
pub use shared_work::SharedWork;
pub use sim::Sim;
pub use write_log::{Write, WriteLog};

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Generous: no test may depend on how fast the machine is.
pub const LIMIT: Duration = Duration::from_secs(240);

/// How often tests that repeat something slow do so. `QUOTEGATE_TEST_ROUNDS=10` is their full size.
pub fn rounds() -> usize {
    std::env::var("QUOTEGATE_TEST_ROUNDS").map_or(3, |rounds| rounds.parse().expect("a number"))
}

/// The program, with an environment that contains only what the test sets.
pub fn quotegate<const N: usize>(args: [&str; N]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quotegate"));
    // Tests run in parallel, so each needs its own port.
    command.args(args).env_clear().env("QUOTEGATE_OPS__PORT", "0").stdin(Stdio::null());
    // A slow machine must not look like a failing feed.
    command.envs(["PONG", "HANDSHAKE"].map(|what| (format!("QUOTEGATE_FEED__{what}_TIMEOUT_S"), "60")));
    // Tests count the quotes that they send, and REST would repeat some of them.
    command.env(SNAPSHOT, "false");
    command
}

/// Remove this variable from the environment to have latest quotes over REST, as hosts do by default.
pub const SNAPSHOT: &str = "QUOTEGATE_FEED__SNAPSHOT";

/// The result of a finished program.
#[derive(Debug)]
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the command to its end.
pub fn finish(command: &mut Command) -> Finished {
    let output = command.output().expect("the program starts");
    Finished {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A running program whose log lines are read as they arrive. Killed when dropped.
pub struct Running {
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
    reader: Option<JoinHandle<()>>,
    stdout: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts `command`, which must log JSON lines to standard error.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .env("QUOTEGATE_LOG__FORMAT", "json")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let reader = std::thread::spawn({
            let lines = lines.clone();
            move || {
                for line in stderr.lines().map_while(Result::ok) {
                    let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                    lines.lock().unwrap().push(value);
                }
            }
        });
        let mut stdout = child.stdout.take().unwrap();
        let stdout = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stdout.read_to_string(&mut text);
            text
        });
        Self { child, lines, reader: Some(reader), stdout: Some(stdout) }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The log lines so far.
    pub fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits for a matching log line and returns it.
    pub fn wait_for(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(line) = self.lines.lock().unwrap().iter().find(|line| fits(line)) {
                return line.clone();
            }
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || Instant::now() > deadline {
                let lines: Vec<_> = self.lines().iter().map(ToString::to_string).collect();
                panic!("no log line with {what} (ended: {ended:?}); the log:\n{}", lines.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for a log line of this `event_type`.
    pub fn wait_for_event(&mut self, event_type: &str) -> Value {
        self.wait_for(event_type, |line| line["event_type"] == event_type)
    }

    /// The number of log lines with this `event_type` so far.
    pub fn events(&self, event_type: &str) -> usize {
        self.lines().iter().filter(|line| line["event_type"] == event_type).count()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits until the program ends.
    pub fn wait(mut self) -> Finished {
        let status = self.wait_status();
        let _ = self.reader.take().unwrap().join();
        let stdout = self.stdout.take().unwrap().join().unwrap();
        let stderr = self.lines().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        Finished { code: status.code().unwrap_or(-1), stdout, stderr }
    }

    fn wait_status(&mut self) -> ExitStatus {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the program does not end: {:#?}", self.lines());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `condition` returns a value.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

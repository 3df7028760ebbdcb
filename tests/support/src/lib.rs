//! What tests write to and send through.
//!
//! | part | what it is |
//! |---|---|
//! | [`Emulator`] | Google's emulator: found, started on a free port, read, restarted, and stopped with the test however it ends |
//! | [`SHARED_EMULATOR`] | one emulator for all tests of a run, each with its own project |
//! | [`NatsServer`] | a NATS server with the shipped configuration, killed, frozen and started again on command |
//! | [`FakeFirestore`] | fails on command, document by document, which the emulator cannot; long runs give it a [`Ledger`] |

// For tests only: a panic is the message.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

#[cfg(feature = "fake-firestore")]
mod database;
#[cfg(feature = "fake-firestore")]
mod fake;
mod http;
#[cfg(feature = "fake-firestore")]
mod ledger;
mod nats;

#[cfg(feature = "fake-firestore")]
pub use fake::{Act, Arrival, FakeFirestore};
#[cfg(feature = "fake-firestore")]
pub use ledger::Ledger;
pub use nats::NatsServer;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The emulator is a Java program: it starts in seconds on an idle machine, in minutes on a busy one.
const START_LIMIT: Duration = Duration::from_secs(300);

/// An emulator. It can be stopped and started again on the same port; stopping it deletes its documents.
#[derive(Debug)]
pub struct Emulator {
    program: PathBuf,
    port: u16,
    rules: Option<PathBuf>,
    shell: Option<Child>,
}

/// The variable with the address where [`with_emulator`] answers.
const ADDRESS_VARIABLE: &str = "QUOTEGATE_TEST_EMULATOR";

/// The emulator of the whole run if `with-emulator` runs the tests, otherwise one for this process. It cannot be stopped,
/// and each test writes to its own project.
pub static SHARED_EMULATOR: LazyLock<Option<Emulator>> = LazyLock::new(|| {
    let Some(address) = std::env::var_os(ADDRESS_VARIABLE) else { return emulator_or_skip() };
    let mut answer = String::new();
    TcpStream::connect(address.to_str().unwrap()).unwrap().read_to_string(&mut answer).unwrap();
    let Some((port, program)) = answer.split_once(' ') else { return not_installed() };
    Some(Emulator { program: program.into(), port: port.parse().unwrap(), rules: None, shell: None })
});

/// Runs `command` with one emulator for all its tests. It starts when the first test asks for it and ends with the
/// command.
pub fn with_emulator(command: &mut Command) -> std::io::Result<i32> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    command.env(ADDRESS_VARIABLE, listener.local_addr()?.to_string());
    // The thread ends with the process, and so does the emulator, because its pipe closes.
    std::thread::spawn(move || {
        let mut emulator = None;
        for mut stream in listener.incoming().map_while(Result::ok) {
            if emulator.is_none() {
                emulator = find().map(|program| start(program, None));
            }
            // The test may have ended in the meantime.
            let _ =
                emulator.as_ref().map(|emulator| write!(stream, "{} {}", emulator.port, emulator.program.display()));
        }
    });
    Ok(command.status()?.code().unwrap_or(1))
}

/// Starts an emulator that the test may stop. `None` if it is not installed: reported as skipped, a failure in CI.
pub fn emulator_or_skip() -> Option<Emulator> {
    find().map_or_else(not_installed, |program| Some(start(program, None)))
}

/// Like [`emulator_or_skip`], with security rules for users other than the owner.
pub fn emulator_with_rules_or_skip(rules: &Path) -> Option<Emulator> {
    find().map_or_else(not_installed, |program| Some(start(program, Some(rules.to_owned()))))
}

fn not_installed() -> Option<Emulator> {
    skip("tests with the Firestore emulator: gcloud components install cloud-firestore-emulator");
    None
}

fn start(program: PathBuf, rules: Option<PathBuf>) -> Emulator {
    // Another program could take the port before the emulator starts. That is unlikely and would be reported.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut emulator = Emulator { program, port, rules, shell: None };
    emulator.start_again();
    emulator
}

/// Reports that a test is skipped: `what` says what it needs and how to install that. In CI this is a failure. `tests/run`
/// prints all skips at the end, from the file that QUOTEGATE_TEST_SKIPPED names.
pub fn skip(what: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "tests must not be skipped in CI: {what}");
    eprintln!("SKIPPED: {what}");
    if let Some(file) = std::env::var_os("QUOTEGATE_TEST_SKIPPED") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
        // In one write, because other tests append too.
        file.write_all(format!("{what}\n").as_bytes()).unwrap();
    }
}

/// A program in one of the folders of PATH.
fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn find() -> Option<PathBuf> {
    let beside_gcloud = in_path("gcloud").and_then(|gcloud| gcloud.canonicalize().ok());
    let roots = [
        std::env::var_os("CLOUDSDK_ROOT").map(PathBuf::from),
        beside_gcloud.and_then(|gcloud| Some(gcloud.parent()?.parent()?.to_owned())),
        Some(PathBuf::from("/usr/lib/google-cloud-sdk")),
        std::env::var_os("HOME").map(|home| Path::new(&home).join("google-cloud-sdk")),
    ];
    let program = |root: PathBuf| root.join("platform/cloud-firestore-emulator/cloud_firestore_emulator");
    let installed = roots.into_iter().flatten().map(program).find(|file| file.is_file());
    installed.or_else(|| in_path("cloud_firestore_emulator"))
}

impl Emulator {
    /// `127.0.0.1:port`, for `FIRESTORE_EMULATOR_HOST`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Stops it and deletes its documents. Connections break.
    pub fn stop(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            // The shell reads from our pipe and kills its process group when the pipe closes.
            drop(shell.stdin.take());
            let _ = shell.wait();
            let deadline = Instant::now() + START_LIMIT;
            while TcpStream::connect(self.host()).is_ok() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Starts it, empty, on the same port and waits until it answers.
    pub fn start_again(&mut self) {
        self.stop();
        // However this process ends, the pipe closes, `read` returns, and the process group is killed.
        let script =
            r#""$0" start --host=127.0.0.1 --port="$1" ${2:+--rules="$2"} >/dev/null 2>&1 & read -r _; kill -KILL 0"#;
        let shell = Command::new("sh")
            .args(["-c", script])
            .arg(&self.program)
            .arg(self.port.to_string())
            .args(&self.rules)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell starts");
        self.shell = Some(shell);
        let deadline = Instant::now() + START_LIMIT;
        while http::get(&self.host(), "/").is_none() {
            assert!(Instant::now() < deadline, "the emulator does not answer on {}", self.host());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The document at `path` in `project`'s database, with its typed fields (`{"doubleValue": 1.5}`), if it exists.
    pub fn document(&self, project: &str, path: &str) -> Option<Value> {
        let document = self.get(project, path)?;
        document.get("name").is_some().then_some(document)
    }

    /// All documents of a collection, ordered by id.
    pub fn documents(&self, project: &str, collection: &str) -> Vec<Value> {
        let (parent, id) = collection.rsplit_once('/').unwrap_or(("", collection));
        self.query(project, parent, &json!({"collectionId": id}))
    }

    /// The paths of all documents in the project, in any collection.
    pub fn paths(&self, project: &str) -> Vec<String> {
        let name = |document: Value| document["name"].as_str().unwrap().to_owned();
        let path = |name: String| name.split_once("/documents/").unwrap().1.to_owned();
        let all = self.query(project, "", &json!({"allDescendants": true}));
        all.into_iter().map(|document| path(name(document))).collect()
    }

    /// Sends a request as a user, with or without a token, and returns the HTTP status. `body` is a document's JSON or
    /// empty.
    pub fn request_status(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> u16 {
        http::status(&self.host(), method, path, token, body).expect("the emulator answers")
    }

    /// Queries, because they have no pages: listing returns at most 150 documents at a time, whatever the page size.
    fn query(&self, project: &str, parent: &str, from: &Value) -> Vec<Value> {
        let parent = if parent.is_empty() { String::new() } else { format!("/{}", parent.replace('%', "%25")) };
        let path = format!("/v1/projects/{project}/databases/(default)/documents{parent}:runQuery");
        let query = json!({"structuredQuery": {"from": [from]}});
        let answer = http::post(&self.host(), &path, &query.to_string()).expect("the emulator answers");
        let rows: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
        let rows = rows.as_array().unwrap_or_else(|| panic!("no rows: {answer}"));
        rows.iter().filter_map(|row| row.get("document").cloned()).collect()
    }

    /// Creates or replaces the document at `path`, with typed fields as [`Emulator::document`] returns them.
    pub fn set(&self, project: &str, path: &str, fields: &Value) {
        let documents = format!("projects/{project}/databases/(default)/documents");
        let write = json!({"writes": [{"update": {"name": format!("{documents}/{path}"), "fields": fields}}]});
        let answer = http::post(&self.host(), &format!("/v1/{documents}:commit"), &write.to_string());
        let answer = answer.expect("the emulator answers");
        assert!(answer.contains("commitTime"), "{answer}");
    }

    fn get(&self, project: &str, path: &str) -> Option<Value> {
        let path = path.replace('%', "%25");
        let body = http::get(&self.host(), &format!("/v1/projects/{project}/databases/(default)/documents/{path}"))?;
        serde_json::from_str(&body).ok()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop();
    }
}

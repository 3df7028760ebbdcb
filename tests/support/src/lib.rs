//! The two Firestores that tests write to.
//!
//! | part | what it is |
//! |---|---|
//! | [`Emulator`] | Google's own: found, started on a free port, read back from, stopped and started again, and ended with the test however the test ends |
//! | [`SHARED_EMULATOR`] | one for all tests of a run, each of which has a project of its own |
//! | [`FakeFirestore`] | ours, which fails as told, document by document: what the emulator never does; in a long run it keeps a [`Ledger`] |

// For tests only: a panic is the message.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod fake;
mod http;
mod ledger;

pub use fake::{Act, Arrival, FakeFirestore};
pub use ledger::Ledger;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A Java program needs seconds on a quiet machine, and minutes on one that others keep busy.
const START_LIMIT: Duration = Duration::from_secs(300);

/// A running emulator, or one that was stopped and can be started again on the same port. Its documents are gone after
/// a stop.
#[derive(Debug)]
pub struct Emulator {
    program: PathBuf,
    port: u16,
    rules: Option<PathBuf>,
    shell: Option<Child>,
}

/// Where [`with_emulator`] answers.
const SERVED_AT: &str = "QUOTEGATE_TEST_EMULATOR";

/// The emulator of the whole run where `with-emulator` runs the tests, else one of this process. It cannot be stopped,
/// and each test writes to a project of its own.
pub static SHARED_EMULATOR: LazyLock<Option<Emulator>> = LazyLock::new(|| {
    let Some(address) = std::env::var_os(SERVED_AT) else { return emulator_or_skip() };
    let mut answer = String::new();
    TcpStream::connect(address.to_str().unwrap()).unwrap().read_to_string(&mut answer).unwrap();
    let Some((port, program)) = answer.split_once(' ') else { return not_installed() };
    Some(Emulator { program: program.into(), port: port.parse().unwrap(), rules: None, shell: None })
});

/// Runs `command` with one emulator for all its tests. It starts when the first test asks for it, and ends with the
/// command.
pub fn with_emulator(command: &mut Command) -> std::io::Result<i32> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    command.env(SERVED_AT, listener.local_addr()?.to_string());
    // The thread goes with the process, and the emulator with both: its pipe closes.
    std::thread::spawn(move || {
        let mut emulator = None;
        for mut stream in listener.incoming().map_while(Result::ok) {
            if emulator.is_none() {
                emulator = find().map(|program| start(program, None));
            }
            // A test that was ended meanwhile needs no answer.
            let _ =
                emulator.as_ref().map(|emulator| write!(stream, "{} {}", emulator.port, emulator.program.display()));
        }
    });
    Ok(command.status()?.code().unwrap_or(1))
}

/// Starts an emulator that the test may stop. `None` where it is not installed, which fails in CI and is told elsewhere.
pub fn emulator_or_skip() -> Option<Emulator> {
    find().map_or_else(not_installed, |program| Some(start(program, None)))
}

/// As [`emulator_or_skip`], with security rules for those who do not come as its owner.
pub fn emulator_with_rules_or_skip(rules: &Path) -> Option<Emulator> {
    find().map_or_else(not_installed, |program| Some(start(program, Some(rules.to_owned()))))
}

fn not_installed() -> Option<Emulator> {
    skip("tests with the Firestore emulator: gcloud components install cloud-firestore-emulator");
    None
}

fn start(program: PathBuf, rules: Option<PathBuf>) -> Emulator {
    // Another program may take the port between this line and the emulator's start: unlikely, and then it says so.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut emulator = Emulator { program, port, rules, shell: None };
    emulator.start_again();
    emulator
}

/// Tells that a test cannot run here: `what` it needs, and how to get it. In CI that is a failure. `tests/run` repeats
/// it at the end, from the file that it names.
pub fn skip(what: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "nothing may be skipped in CI: {what}");
    eprintln!("SKIPPED: {what}");
    if let Some(file) = std::env::var_os("QUOTEGATE_TEST_SKIPPED") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
        // In one piece: other tests write too.
        file.write_all(format!("{what}\n").as_bytes()).unwrap();
    }
}

fn find() -> Option<PathBuf> {
    let in_path = |name: &str| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
    };
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

    /// Ends it, with everything in it. Connections break.
    pub fn stop(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            // The shell that reads from our pipe ends its whole group when the pipe closes.
            drop(shell.stdin.take());
            let _ = shell.wait();
            let deadline = Instant::now() + START_LIMIT;
            while TcpStream::connect(self.host()).is_ok() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Starts it, empty, on the same port, and waits until it answers.
    pub fn start_again(&mut self) {
        self.stop();
        // When this process goes, however it goes, the pipe closes, `read` returns, and the group is ended.
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

    /// The document at `path` below the database of `project`, with its typed fields (`{"doubleValue": 1.5}`), or
    /// `None` if there is none.
    pub fn document(&self, project: &str, path: &str) -> Option<Value> {
        let document = self.get(project, path)?;
        document.get("name").is_some().then_some(document)
    }

    /// Every document of a collection, in the order of their ids.
    pub fn documents(&self, project: &str, collection: &str) -> Vec<Value> {
        let (parent, id) = collection.rsplit_once('/').unwrap_or(("", collection));
        self.query(project, parent, &json!({"collectionId": id}))
    }

    /// The paths of all documents that the project has, whatever collection they are in.
    pub fn paths(&self, project: &str) -> Vec<String> {
        let name = |document: Value| document["name"].as_str().unwrap().to_owned();
        let path = |name: String| name.split_once("/documents/").unwrap().1.to_owned();
        let all = self.query(project, "", &json!({"allDescendants": true}));
        all.into_iter().map(|document| path(name(document))).collect()
    }

    /// Asks as a user would, with a token or none, and gives the HTTP status. `body` is a document's JSON, or empty.
    pub fn ask(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> u16 {
        http::status(&self.host(), method, path, token, body).expect("the emulator answers")
    }

    /// A query has no pages, while the emulator lists 150 documents at a time, whatever is asked for.
    fn query(&self, project: &str, parent: &str, from: &Value) -> Vec<Value> {
        let parent = if parent.is_empty() { String::new() } else { format!("/{}", parent.replace('%', "%25")) };
        let path = format!("/v1/projects/{project}/databases/(default)/documents{parent}:runQuery");
        let query = json!({"structuredQuery": {"from": [from]}});
        let answer = http::post(&self.host(), &path, &query.to_string()).expect("the emulator answers");
        let rows: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
        let rows = rows.as_array().unwrap_or_else(|| panic!("no rows: {answer}"));
        rows.iter().filter_map(|row| row.get("document").cloned()).collect()
    }

    /// Makes or replaces the document at `path`, with typed fields as [`Emulator::document`] gives them.
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

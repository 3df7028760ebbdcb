//! The commands that make a plugin, as its author uses them: `quotegate plugin new`, `build` and `watch`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use quotegate_test_support::skip;

use crate::harness::{Finished, Running, finish, quotegate};

/// Long enough for a compiler on a busy machine.
const LIMIT: Duration = Duration::from_secs(900);

/// `quotegate plugin …` in this folder, with an author's environment for the compiler.
fn plugin<const N: usize>(folder: &Path, args: [&str; N]) -> Command {
    let mut command = quotegate(["plugin"]);
    command.args(args).current_dir(folder);
    for (name, value) in std::env::vars_os() {
        let text = name.to_string_lossy().into_owned();
        let wanted =
            ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "CARGO_HTTP_CAINFO", "SSL_CERT_FILE"];
        if wanted.contains(&text.as_str()) || text.starts_with("CARGO_REGISTRIES_") || text.ends_with("_PROXY") {
            command.env(name, value);
        } else if text == "QUOTEGATE_TEST_RUSTC" {
            command.env("RUSTC", value);
        }
    }
    command
}

fn new_project(parent: &Path, name: &str, kind: &str) -> PathBuf {
    let finished = finish(&mut plugin(parent, ["new", name, "--kind", kind]));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    parent.join(name)
}

/// Components are built one at a time and always in the same folder, so that dependencies are compiled only once, which
/// takes most of the time. Compiled code is kept between test runs.
struct Workspace {
    project: PathBuf,
    /// A lock against other threads and, in cargo-nextest, other processes.
    _turn: fs::File,
}

impl Workspace {
    fn take(kind: &str) -> Self {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("authoring");
        fs::create_dir_all(place.join("compiled")).unwrap();
        let turn = fs::File::create(place.join("lock")).unwrap();
        turn.lock().unwrap();
        let workspace = Self { project: place.join("mine"), _turn: turn };
        workspace.renew(kind);
        workspace
    }

    /// Replaces the project with a new one.
    fn renew(&self, kind: &str) {
        let place = self.project.parent().unwrap();
        let _ = fs::remove_dir_all(&self.project);
        new_project(place, "mine", kind);
        std::os::unix::fs::symlink(place.join("compiled"), self.project.join("target")).unwrap();
    }

    fn run<const N: usize>(&self, args: [&str; N]) -> Finished {
        finish(&mut plugin(&self.project, args))
    }

    fn build(&self) -> Finished {
        self.run(["build"])
    }

    fn component(&self) -> PathBuf {
        self.project.join("mine.wasm")
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let file = self.project.join(file);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{from} is not in {}", file.display());
        fs::write(&file, text.replace(from, to)).unwrap();
    }
}

fn sha256(finished: &Finished) -> String {
    let line = finished.stdout.lines().find_map(|line| line.trim().strip_prefix("sha256"));
    line.unwrap_or_else(|| panic!("no hash: {finished:?}")).trim().to_owned()
}

#[test]
fn a_new_project_of_every_kind_builds_and_passes() {
    let workspace = Workspace::take("filter");
    for kind in ["filter", "map", "both"] {
        workspace.renew(kind);
        let built = workspace.build();
        assert_eq!(built.code, 0, "{}", built.stderr);
        let size = fs::metadata(workspace.component()).unwrap().len();
        assert!(built.stdout.contains(&format!("{size} bytes")) && sha256(&built).len() == 64, "{}", built.stdout);
        let tested = workspace.run(["test"]);
        assert_eq!(tested.code, 0, "{}{}", tested.stdout, tested.stderr);
        assert!(tested.stdout.contains("2 fixtures: 2 passed"), "{}", tested.stdout);
        let colour = [&built.stderr, &built.stdout, &tested.stdout].iter().any(|text| text.contains('\u{1b}'));
        assert!(!colour, "colours, and no terminal");
    }
}

#[test]
fn the_same_source_gives_the_same_bytes_in_any_folder_and_contains_no_paths() {
    let workspace = Workspace::take("filter");
    let (folder, here) = (tempfile::tempdir().unwrap(), workspace.build());
    let elsewhere = new_project(folder.path(), "mine", "filter");
    let there = finish(&mut plugin(&elsewhere, ["build"]));
    assert_eq!(sha256(&here), sha256(&there));
    let component = fs::read(elsewhere.join("mine.wasm")).unwrap();
    for name in [elsewhere, std::env::var_os("HOME").unwrap().into()] {
        let name = name.as_os_str().as_encoded_bytes();
        assert!(!component.windows(name.len()).any(|part| part == name), "the author's folder is in it");
    }
}

#[test]
fn the_lock_file_of_a_new_project_is_what_cargo_would_write() {
    let folder = tempfile::tempdir().unwrap();
    let project = new_project(folder.path(), "mine", "filter");
    let output = Command::new("cargo")
        .args(["metadata", "--locked", "--format-version", "1", "--filter-platform", "wasm32-unknown-unknown"])
        .current_dir(&project)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn new_prints_what_it_created_and_the_next_steps() {
    let folder = tempfile::tempdir().unwrap();
    let finished = finish(&mut plugin(folder.path(), ["new", "mine", "--in", "my plugins"]));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    for part in
        ["  src/lib.rs\n", "  fixtures/spread.toml\n", "cd 'my plugins/mine'", "quotegate plugin build", "plugin test"]
    {
        assert!(finished.stdout.contains(part), "{part} is not in:\n{}", finished.stdout);
    }
    assert!(folder.path().join("my plugins/mine/.gitignore").is_file());
}

#[test]
fn an_existing_folder_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let project = new_project(folder.path(), "mine", "filter");
    fs::write(project.join("src/lib.rs"), "// work of weeks").unwrap();
    let again = finish(&mut plugin(folder.path(), ["new", "mine"]));
    assert!(again.code == 1 && again.stderr.contains("mine already exists"), "{again:?}");
    assert_eq!(fs::read_to_string(project.join("src/lib.rs")).unwrap(), "// work of weeks");
}

#[test]
fn bad_names_languages_and_folders_are_usage_errors() {
    let folder = tempfile::tempdir().unwrap();
    let usage = |args: &[&str], part: &str| {
        let finished = finish(plugin(folder.path(), []).args(args));
        assert!(finished.code == 2 && finished.stderr.contains(part), "{args:?}: {finished:?}");
    };
    usage(&["new", "My_Filter"], "lowercase letters");
    usage(&["new", "match"], "match-filter");
    usage(&["new", "mine", "--lang", "go"], "rust, js, python");
    usage(&["build"], "quotegate plugin new");
    usage(&["watch", "nowhere"], "nowhere/plugin.toml");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_missing_tool_is_named_with_the_command_that_installs_it() {
    let folder = tempfile::tempdir().unwrap();
    let project = new_project(folder.path(), "mine", "filter");
    let finished = finish(plugin(&project, ["build"]).env("PATH", "/nowhere"));
    assert_eq!((finished.code, finished.stdout.as_str()), (1, ""));
    assert!(finished.stderr.contains("cargo") && finished.stderr.contains("sh.rustup.rs"), "{}", finished.stderr);
}

/// Uses a fake compiler that reports a missing target and no linker.
#[test]
fn a_missing_target_is_named_with_the_command_that_installs_it() {
    let folder = tempfile::tempdir().unwrap();
    let project = new_project(folder.path(), "mine", "filter");
    let tools = folder.path().join("tools");
    fs::create_dir(&tools).unwrap();
    for (name, script) in
        [("cargo", "exit 9"), ("rustup", "exit 9"), ("rustc", "echo /none; echo host; echo /none/lib")]
    {
        script_at(&tools.join(name), script);
    }
    let finished = finish(plugin(&project, ["build"]).env("PATH", &tools).env_remove("RUSTC"));
    assert_eq!(finished.code, 1);
    assert!(finished.stderr.contains("rustup target add wasm32-unknown-unknown"), "{}", finished.stderr);
}

/// Another compiler, which needs its standard library built. Uses a fake cargo that tells how it was called.
#[test]
fn without_the_target_debians_compiler_builds_the_standard_library_too() {
    if !Path::new("/usr/bin/rustc").is_file() {
        return skip("tests with Debian's compiler: install the packages rustc-web and rust-web-src");
    }
    let folder = tempfile::tempdir().unwrap();
    let project = new_project(folder.path(), "mine", "filter");
    let tools = folder.path().join("tools");
    fs::create_dir_all(tools.join("lib/rustlib/host/bin")).unwrap();
    script_at(&tools.join("lib/rustlib/host/bin/rust-lld"), "");
    script_at(&tools.join("rustc"), &format!("echo {}; echo host; echo /none/lib", tools.display()));
    let metadata = r#"{"workspace_root": "/none", "packages": []}"#;
    script_at(
        &tools.join("cargo"),
        &format!(
            "if [ $1 = metadata ]; then echo '{metadata}'; exit; fi\necho cargo with $RUSTC, $RUSTC_BOOTSTRAP: $* >&2; exit 9"
        ),
    );
    let finished = finish(plugin(&project, ["build"]).env("PATH", &tools).env_remove("RUSTC"));
    assert_eq!(finished.code, 1);
    let told = &finished.stderr;
    assert!(told.contains("building the standard library"), "{told}");
    assert!(
        told.contains("cargo with /usr/bin/rustc, 1: build") && told.contains("-Zbuild-std=std,panic_abort"),
        "{told}"
    );
}

fn script_at(path: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn compile_errors_are_shown_and_leave_the_old_component() {
    let workspace = Workspace::take("filter");
    fs::write(workspace.component(), "the old one").unwrap();
    workspace.edit("src/lib.rs", "quote.spread_bps()", "quote.spread_bsp()");
    let finished = workspace.build();
    assert_eq!((finished.code, finished.stdout.as_str()), (1, ""));
    for part in ["src/lib.rs:", "spread_bsp", "cargo failed"] {
        assert!(finished.stderr.contains(part), "{part} is not in:\n{}", finished.stderr);
    }
    assert_eq!(fs::read_to_string(workspace.component()).unwrap(), "the old one");
}

#[test]
fn a_build_fails_with_the_hosts_error_if_the_host_would_reject_the_component() {
    let workspace = Workspace::take("filter");
    workspace.edit("src/lib.rs", "export_filter!(Plugin);", "");
    let nothing = workspace.build();
    assert!(nothing.code == 1 && nothing.stderr.contains("it would never be called"), "{}", nothing.stderr);

    workspace.renew("filter");
    workspace.edit("plugin.toml", "kind = \"filter\"", "kind = \"map\"");
    let other = workspace.build();
    assert!(other.code == 1 && other.stderr.contains("kind = \"map\""), "{}", other.stderr);
}

#[test]
fn a_panic_is_reported_with_its_message_and_place_by_every_tool_and_the_host() {
    let workspace = Workspace::take("filter");
    workspace.edit(
        "src/lib.rs",
        "match quote.spread_bps() {",
        "assert_eq!(quote.symbol, \"QQQ\", \"an odd symbol\");\n        match quote.spread_bps() {",
    );
    let built = workspace.build();
    assert_eq!(built.code, 0, "{}", built.stderr);
    let tested = workspace.run(["test", "--junit", "out.xml"]);
    assert_eq!(tested.code, 1, "{tested:?}");
    let source = fs::read_to_string(workspace.project.join("src/lib.rs")).unwrap();
    let line = source.lines().position(|line| line.contains("an odd symbol")).unwrap() + 1;
    let place = format!("panicked at src/lib.rs:{line}:9: assertion `left == right` failed: an odd symbol");
    let junit = fs::read_to_string(workspace.project.join("out.xml")).unwrap();
    for told in [&tested.stdout, &tested.stderr, &junit] {
        assert!(told.contains(&place), "{place} is not in {told}");
    }
    assert!(tested.stdout.contains("FAILED   spread"), "{}", tested.stdout);

    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings/opening-bell.jsonl.zst");
    let run = workspace.run(["run", ".", "--quotes", recording.to_str().unwrap()]);
    assert!(run.code == 1 && run.stdout.contains(&place), "{run:?}");
    let mut watch = Watch::start(&mut plugin(&workspace.project, ["watch"]));
    watch.wait_for_both([&place, "watching"]);
    assert_eq!(watch.interrupt(), 0);

    let path = format!("[{{ path = {:?} }}]", workspace.component());
    let mut host = Running::start(
        quotegate(["run"])
            .env("TENANT_ID", "acme")
            .env("DRY_RUN", "1")
            .env("QUOTEGATE_PLUGINS__CACHE", "false")
            .env("QUOTEGATE_TENANTS__ACME__PLUGINS", path),
    );
    let line = host.wait_for_event("plugin_log");
    assert!(line["severity"] == "ERROR" && line["message"].as_str().unwrap().contains(&place), "{line}");
    let failed = host.wait_for_event("plugin_failed");
    assert!(failed.to_string().contains("an odd symbol"), "{failed}");
    host.signal("TERM");
    assert_eq!(host.wait().code, 0);
}

/// Such flags are meant for other programs, and `watch` does not look in such a folder.
#[test]
fn flags_and_folders_from_the_environment_do_not_affect_a_component() {
    let workspace = Workspace::take("map");
    let plain = workspace.build();
    assert_eq!(plain.code, 0, "{}", plain.stderr);
    let elsewhere = workspace.project.join("elsewhere");
    let mut command = plugin(&workspace.project, ["build"]);
    let odd = finish(command.env("RUSTFLAGS", "-Clink-arg=-nonsense").env("CARGO_TARGET_DIR", &elsewhere));
    assert_eq!((odd.code, sha256(&odd)), (0, sha256(&plain)), "{}", odd.stderr);
    assert!(odd.stderr.contains("ignoring RUSTFLAGS") && !elsewhere.exists(), "{}", odd.stderr);
}

#[test]
fn the_spread_guard_builds_and_passes() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/spread-guard");
    let built = finish(&mut plugin(&project, ["build"]));
    assert_eq!(built.code, 0, "{}", built.stderr);
    let tested = finish(&mut plugin(&project, ["test"]));
    assert_eq!(tested.code, 0, "{}{}", tested.stdout, tested.stderr);
}

#[test]
fn watch_builds_and_tests_on_each_save_and_exits_cleanly() {
    let workspace = Workspace::take("filter");
    let mut watch = Watch::start(&mut plugin(&workspace.project, ["watch"]));
    watch.wait_for("2 fixtures: 2 passed");
    watch.wait_for("watching");

    // A change that fails a fixture, a source that does not compile, and the change again.
    let source = workspace.project.join("src/lib.rs");
    let text = fs::read_to_string(&source).unwrap();
    workspace.edit("src/lib.rs", "Verdict::Refuse(\"wide\")", "Verdict::Keep");
    watch.wait_for("changed: ");
    watch.wait_for("2 fixtures: 1 passed, 1 failed");
    watch.wait_for("watching");
    fs::write(&source, "nonsense").unwrap();
    watch.wait_for_both(["cargo failed", "watching"]);
    fs::write(&source, text).unwrap();
    watch.wait_for("2 fixtures: 2 passed");

    assert_eq!(watch.interrupt(), 0);
}

/// A program whose output is read line by line, both streams together. Killed when dropped.
struct Watch {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Watch {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let streams: [Box<dyn BufRead + Send>; 2] =
            [Box::new(BufReader::new(stdout)), Box::new(BufReader::new(stderr))];
        for stream in streams {
            let sender = sender.clone();
            std::thread::spawn(move || stream.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        }
        Self { child, lines, seen: Vec::new() }
    }

    fn wait_for(&mut self, part: &str) {
        while !self.next_line(part).contains(part) {}
    }

    /// In any order, because each is printed on a different stream and read by a different thread.
    fn wait_for_both(&mut self, parts: [&str; 2]) {
        let mut missing = parts.to_vec();
        while let Some(first) = missing.first() {
            let line = self.next_line(first);
            missing.retain(|part| !line.contains(part));
        }
    }

    fn next_line(&mut self, wanted: &str) -> String {
        let Ok(line) = self.lines.recv_timeout(LIMIT) else { panic!("no {wanted:?} in:\n{}", self.seen.join("\n")) };
        self.seen.push(line.clone());
        line
    }

    fn interrupt(mut self) -> i32 {
        let status = Command::new("kill").args(["-s", "INT", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
        let ended = self.child.wait().unwrap();
        ended.code().unwrap_or_else(|| panic!("ended by signal {:?}", ended.signal()))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! Plugins in JavaScript and Python, built with the tools that their projects require, from npm and PyPI. `tests/run --all`
//! installs these once and sets QUOTEGATE_TEST_GUESTS to their folder; without it these tests are skipped.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Finished, finish, quotegate};
use serde_json::Value;
use tempfile::TempDir;

/// Where `tests/run` installed the tools.
fn tools() -> Option<PathBuf> {
    let tools = std::env::var_os("QUOTEGATE_TEST_GUESTS").map(PathBuf::from);
    if tools.is_none() {
        let how = "tests/run --all installs the tools and sets QUOTEGATE_TEST_GUESTS";
        quotegate_test_support::skip(&format!("plugins in JavaScript and Python: {how}"));
    }
    tools
}

/// Runs `quotegate …` in the folder. Compiled code is kept between test runs.
fn at(folder: &Path, verb: &str, arguments: &[&str]) -> Command {
    let mut command = quotegate([verb]);
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests-cache");
    command.args(arguments).current_dir(folder).env("XDG_CACHE_HOME", cache);
    command.env("PATH", std::env::var_os("PATH").unwrap());
    command
}

fn plugin(folder: &Path, arguments: &[&str]) -> Command {
    at(folder, "plugin", arguments)
}

fn run(folder: &Path, arguments: &[&str]) -> Finished {
    finish(&mut plugin(folder, arguments))
}

/// Puts the installed tool where `npm ci` and `pip install` would put it.
fn install(tools: &Path, language: &str, project: &Path) {
    match language {
        "js" => symlink(tools.join("js/node_modules"), project.join("node_modules")).unwrap(),
        _ => symlink(tools.join("python"), project.join(".venv")).unwrap(),
    }
}

fn new_project(parent: &Path, language: &str, kind: &str) -> PathBuf {
    let made = finish(&mut plugin(parent, &["new", "mine", "--lang", language, "--kind", kind]));
    assert_eq!(made.code, 0, "{}", made.stderr);
    parent.join("mine")
}

/// Copies an example, without files that tools left in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name());
        match name.to_str().unwrap() {
            "node_modules" | ".venv" | "__pycache__" => {}
            _ if path.is_dir() => copy(&path, &to.join(name)),
            _ => drop(fs::copy(&path, to.join(name)).unwrap()),
        }
    }
}

fn builds_and_passes(project: &Path) {
    let built = run(project, &["build"]);
    assert_eq!(built.code, 0, "{}{}", built.stdout, built.stderr);
    let tested = run(project, &["test"]);
    assert_eq!(tested.code, 0, "{}{}", tested.stdout, tested.stderr);
    assert!(tested.stdout.contains(" 0 failed"), "{}", tested.stdout);
}

fn a_new_project_passes(language: &str, kind: &str) {
    let Some(tools) = tools() else { return };
    // Some tools fail on a space in the path.
    let folder = tempfile::Builder::new().prefix("my plugins ").tempdir().unwrap();
    let project = new_project(folder.path(), language, kind);
    install(&tools, language, &project);
    builds_and_passes(&project);
}

/// Builds the example and returns its folder.
fn an_example_passes(name: &str, language: &str) -> Option<TempDir> {
    let tools = tools()?;
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join(name);
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins").join(name), &project);
    install(&tools, language, &project);
    builds_and_passes(&project);
    Some(folder)
}

#[test]
fn a_new_javascript_filter_builds_and_passes_at_once() {
    a_new_project_passes("js", "filter");
}

#[test]
fn a_new_javascript_map_builds_and_passes_at_once() {
    a_new_project_passes("js", "map");
}

#[test]
fn a_new_javascript_plugin_of_both_builds_and_passes_at_once() {
    a_new_project_passes("js", "both");
}

#[test]
fn a_new_python_filter_builds_and_passes_at_once() {
    a_new_project_passes("python", "filter");
}

#[test]
fn a_new_python_map_builds_and_passes_at_once() {
    a_new_project_passes("python", "map");
}

#[test]
fn a_new_python_plugin_of_both_builds_and_passes_at_once() {
    a_new_project_passes("python", "both");
}

#[test]
fn odd_lots_builds_and_passes() {
    an_example_passes("odd-lots", "js");
}

#[test]
fn volatility_flag_builds_passes_and_adds_to_another_maps_documents() {
    let Some(folder) = an_example_passes("volatility-flag", "python") else { return };
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings/opening-bell.jsonl.zst");
    let settings = format!(
        "[feed]\n\
        source = \"replay\"\n\
        replay = {{ file = {recording:?}, speed = \"max\" }}\n\
        [tenants.acme]\n\
        symbols = [\"SPY\"]\n\
        per_symbol_min_interval_ms = 30000\n\
        [[tenants.acme.plugins]]\n\
        standard = \"field-map\"\n\
        chain = true\n\
        config = {{ fields = {{ \"best.bid\" = \"bid_price\" }} }}\n\
        [[tenants.acme.plugins]]\n\
        path = \"volatility-flag/volatility-flag.wasm\"\n"
    );
    fs::write(folder.path().join("quotegate.toml"), settings).unwrap();
    let ended = finish(&mut at(folder.path(), "run", &["--dry-run", "--config", "quotegate.toml"]));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let last: Value = serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap();
    let fields = &last["fields"];
    assert!(fields["best"]["bid"].is_f64() && fields["volatility"]["bps"].is_f64(), "{last}");
    assert!(fields.get("mid").is_none(), "the flag's own document is not made where there is another: {last}");
}

/// Every kind of value, an error in the code, and console output: the same in both languages.
fn values_and_errors(language: &str, file: &str, source: &str) {
    let Some(tools) = tools() else { return };
    let folder = tempfile::tempdir().unwrap();
    let project = new_project(folder.path(), language, "both");
    install(&tools, language, &project);
    fs::write(project.join(file), source).unwrap();
    fs::remove_dir_all(project.join("fixtures")).unwrap();
    fs::create_dir(project.join("fixtures")).unwrap();
    fs::write(project.join("fixtures/values.toml"), include_str!("../../guests/values.toml")).unwrap();
    builds_and_passes(&project);

    fs::write(project.join("fixtures/values.toml"), include_str!("../../guests/slip.toml")).unwrap();
    let tested = run(&project, &["test"]);
    assert_eq!(tested.code, 1, "{}", tested.stdout);
    let told = tested.stdout + &tested.stderr;
    for part in ["words on the console", "bid", "columns", file] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

#[test]
fn javascript_returns_every_kind_of_value_and_its_errors_are_reported() {
    values_and_errors("js", "plugin.js", include_str!("../../guests/values.js"));
}

#[test]
fn python_returns_every_kind_of_value_and_its_errors_are_reported() {
    values_and_errors("python", "plugin.py", include_str!("../../guests/values.py"));
}

/// Otherwise they would answer with the same value for ever.
#[test]
fn javascript_is_told_that_there_is_no_clock_and_no_randomness() {
    let Some(tools) = tools() else { return };
    let folder = tempfile::tempdir().unwrap();
    let project = new_project(folder.path(), "js", "filter");
    install(&tools, "js", &project);
    let source = |top: &str, judge: &str| {
        let text = format!(
            "import {{ keep }} from \"./quotegate/quotegate.js\";\n{top}\n\
             export default {{ filter: class {{ judge(quote) {{ {judge}; return keep; }} }} }};\n"
        );
        fs::write(project.join("plugin.js"), text).unwrap();
    };
    source("const started = Math.random();", "");
    let built = run(&project, &["build"]);
    assert_eq!(built.code, 1, "{}", built.stderr);
    let told = "Math.random() is not available in a plugin, because the same quotes must always give the same results.";
    assert!(built.stderr.contains(told), "{}", built.stderr);

    fs::remove_dir_all(project.join("fixtures")).unwrap();
    fs::create_dir(project.join("fixtures")).unwrap();
    let calls = ["Date.now()", "new Date()", "Date()", "performance.now()", "Math.random()", "crypto.randomUUID()"];
    let fixture = |symbol: &str| format!("[[quotes]]\nsymbol = \"{symbol}\"\nexpect = \"kept\"\n");
    for (at, _) in calls.iter().enumerate() {
        fs::write(project.join(format!("fixtures/{at}.toml")), fixture(&format!("S{at}"))).unwrap();
    }
    fs::write(project.join("fixtures/dates.toml"), fixture("DATES")).unwrap();
    let judge: Vec<String> =
        calls.iter().enumerate().map(|(at, call)| format!("if (quote.symbol === \"S{at}\") {call};")).collect();
    let dates = "if (quote.symbol === \"DATES\" && !(new Date(0) instanceof Date && Date.UTC(1970) === 0 \
                 && new Date(\"2026-01-14\").getUTCDate() === 14)) throw new Error(\"dates\")";
    source("", &format!("{} {dates}", judge.concat()));
    let built = run(&project, &["build"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let tested = run(&project, &["test"]);
    assert!(tested.stdout.contains("7 fixtures: 1 passed, 6 failed."), "{}{}", tested.stdout, tested.stderr);
    for call in calls {
        let told =
            tested.stdout.lines().find(|line| line.contains(&format!("Error: {call} is not available in a plugin")));
        assert!(told.is_some_and(|line| line.contains("plugin.js:")), "{call}: {}", tested.stdout);
    }
}

#[test]
fn source_errors_are_reported_with_their_location() {
    let Some(tools) = tools() else { return };
    for (language, file, source, told) in [
        ("js", "plugin.js", "export default { filter: class {} };\nlet x = ;\n", "plugin.js:2"),
        ("js", "plugin.js", "export default {};\n", "plugin.js exports nothing: export default { filter: … }"),
        ("python", "plugin.py", "import quotegate\nx = = 1\n", "plugin.py\", line 2"),
        ("python", "plugin.py", "import quotegate\n", "plugin.py exports nothing: call export(filter=…)"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let project = new_project(folder.path(), language, "filter");
        install(&tools, language, &project);
        fs::write(project.join(file), source).unwrap();
        let built = run(&project, &["build"]);
        assert_eq!(built.code, 1, "{}", built.stderr);
        assert!(built.stderr.contains(told), "{told} is not in {}", built.stderr);
        assert!(!project.join("mine.wasm").exists());
    }
}

#[test]
fn a_missing_tool_is_named_with_the_command_that_installs_it() {
    for (language, tool, command) in [
        ("js", "@bytecodealliance/componentize-js", "npm ci"),
        ("python", "componentize-py", "python3 -m venv .venv && .venv/bin/pip install --quiet -r requirements.txt"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let project = new_project(folder.path(), language, "filter");
        for path in ["", "/no/such/folder"] {
            let built = finish(plugin(&project, &["build"]).env("PATH", path));
            assert_eq!(built.code, 1, "{}", built.stderr);
            assert!(built.stderr.contains(&format!("{tool}, which")), "{}", built.stderr);
            assert!(built.stderr.contains(&format!("Install it: {command}")), "{}", built.stderr);
        }
    }
}

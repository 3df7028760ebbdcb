//! `quotegate plugin bench`: the results that are the same on every machine, and the errors. No test looks at times.

use std::path::{Path, PathBuf};

use crate::harness::{Finished, finish, guest, quotegate};
use serde_json::Value;
use tempfile::TempDir;

const FILTER: &str = "plugins/components/quote-filter.wasm";
const MAP: &str = "plugins/components/field-map.wasm";

/// An author's workspace: its own folder, and a cache that only these tests use.
struct Workspace(TempDir);

impl Workspace {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn bench(&self, component: impl AsRef<Path>, arguments: &[&str]) -> Finished {
        let component = Path::new(env!("CARGO_MANIFEST_DIR")).join(component);
        let mut command = quotegate(["plugin", "bench"]);
        finish(command.arg(component).args(arguments).env("XDG_CACHE_HOME", self.0.path().join("cache")))
    }

    fn json(&self, component: &str, arguments: &[&str]) -> Value {
        let finished = self.bench(component, &[&["--json"], arguments].concat());
        assert_eq!((finished.code, finished.stderr.as_str()), (0, ""), "{}", finished.stdout);
        serde_json::from_str(&finished.stdout).unwrap()
    }
}

/// Everything in a report except times, with its path.
fn repeatable(report: &Value) -> Vec<(String, String)> {
    fn walk(place: String, value: &Value, into: &mut Vec<(String, String)>) {
        match value {
            Value::Object(keys) => keys.iter().for_each(|(key, value)| walk(format!("{place}.{key}"), value, into)),
            Value::Array(values) => {
                values.iter().enumerate().for_each(|(at, value)| walk(format!("{place}.{at}"), value, into));
            }
            value => into.push((place, value.to_string())),
        }
    }
    let mut all = Vec::new();
    walk(String::new(), report, &mut all);
    all.retain(|(place, _)| !place.contains("nanoseconds"));
    all
}

#[test]
fn a_filter_uses_the_same_fuel_and_memory_in_every_process() {
    let workspace = Workspace::new();
    let config = workspace.file("t.toml", "[config]\nmax_spread_bps = 20.0\nmin_price = 1.0\n");
    let config = ["--config", config.to_str().unwrap()];
    let [first, second] = [(); 2].map(|()| workspace.json(FILTER, &config));
    assert_eq!(repeatable(&first), repeatable(&second));
    let sizes: Vec<_> = first["filter"].as_array().unwrap().iter().map(|cost| &cost["quotes_per_call"]).collect();
    assert_eq!(sizes, [1, 16, 64, 256, 1024]);
    let kept = (first["kept"]["kept"].as_u64().unwrap(), first["kept"]["of"].as_u64().unwrap());
    assert!(0 < kept.0 && kept.0 < kept.1, "some quotes are kept and some refused: {kept:?}");
    assert_eq!((first["map"].as_array().unwrap().len(), &first["documents"]), (0, &Value::Null));
    // The rules were active: without them, the plugin executes less.
    let at_64 = |report: &Value| report["filter"][2]["fuel"].as_u64().unwrap();
    assert!(at_64(&workspace.json(FILTER, &[])) < at_64(&first));
}

#[test]
fn a_map_is_measured_on_recorded_quotes() {
    let workspace = Workspace::new();
    let line = |second: u32| {
        let quote =
            format!(r#"{{"T":"q","S":"SPY","bp":500,"bs":1,"ap":501,"as":2,"t":"2026-01-14T14:30:{second:02}Z"}}"#);
        format!("{{\"at\":17684010{second:02}000000000,\"frame\":[{quote}]}}\n")
    };
    let header =
        "{\"quotegate_recording\":1,\"feed\":\"iex\",\"encoding\":\"json\",\"started\":\"2026-01-14T14:30:00Z\"}\n";
    let recording = workspace.file("day.jsonl", header.to_owned() + &(0..9).map(line).collect::<String>());
    let setup = workspace.file("t.toml", "[config]\ncollection = \"mids\"\nfields = { mid = \"mid\" }\n");
    let arguments = ["--quotes", recording.to_str().unwrap(), "--config", setup.to_str().unwrap()];
    let report = workspace.json(MAP, &arguments);
    assert_eq!((&report["quotes"], &report["symbols"]), (&9.into(), &1.into()));
    let made = &report["documents"];
    assert!(made["refused"] == made["quotes"] && made["problem"].to_string().contains("mids"), "{made}");

    workspace.file("t.toml", "collections = [\"mids\"]\n[config]\ncollection = \"mids\"\nfields = { mid = \"mid\" }\n");
    let report = workspace.json(MAP, &arguments);
    let made = &report["documents"];
    assert!(made["documents"] == made["quotes"] && made["refused"] == 0, "{made}");
    assert_eq!((report["map"].as_array().unwrap().len(), report["filter"].as_array().unwrap().len()), (3, 0));
}

#[test]
fn an_exceeded_budget_fails_with_an_error_and_a_kept_one_does_not() {
    let workspace = Workspace::new();
    let kept =
        workspace.bench(FILTER, &["--budget", "fuel=1000000,memory=64MiB", "--budget", "size=10MiB,start-fuel=1e9"]);
    assert_eq!((kept.code, kept.stderr.as_str()), (0, ""));
    for word in ["quotes per call", "ns per quote", "fuel per quote", "start", "compile", "memory", "opening-bell"] {
        assert!(kept.stdout.contains(word), "{word} in {}", kept.stdout);
    }
    let over = workspace.bench(FILTER, &["--budget", "fuel=0.5,memory=1KiB,size=2"]);
    assert_eq!(over.code, 1);
    let sentences: Vec<_> = over.stderr.lines().collect();
    assert_eq!(sentences.len(), 3, "{}", over.stderr);
    let starts = ["quotegate: The filter uses ", "quotegate: It uses ", "quotegate: The component has "];
    assert!(sentences.iter().zip(starts).all(|(sentence, start)| sentence.starts_with(start)), "{}", over.stderr);
    assert!(over.stdout.contains("fuel per quote"), "the numbers come all the same");
}

#[test]
fn an_invalid_budget_is_a_usage_error() {
    let workspace = Workspace::new();
    for (budget, words) in [
        ("ns=5", "use one of fuel, map-fuel, start-fuel, memory, size; there are none for times"),
        ("fuel", "write NAME=NUMBER"),
        ("fuel=much", "write NAME=NUMBER"),
        ("map-fuel=1", "this one has none"),
    ] {
        let finished = workspace.bench(FILTER, &["--budget", budget]);
        assert!(finished.code == 2 && finished.stderr.contains(words), "{budget}: {finished:?}");
    }
}

#[test]
fn an_invalid_plugin_is_named_in_the_error() {
    let workspace = Workspace::new();
    let missing = workspace.bench(workspace.0.path().join("none.wasm"), &[]);
    assert!(missing.code == 2 && missing.stderr.contains("none.wasm does not exist."), "{missing:?}");
    let text = workspace.file("text.wasm", "(component)");
    let told = workspace.bench(&text, &[]);
    assert_eq!(told.code, 1);
    assert!(told.stderr.contains("text.wasm: It is not accepted. ") && told.stderr.lines().count() == 1, "{told:?}");
    let folder = workspace.bench(workspace.0.path(), &[]);
    assert!(
        folder.code == 2 && folder.stderr.contains("Cannot read") && folder.stderr.contains("plugin.toml"),
        "{folder:?}"
    );
    let quotes = workspace.bench(FILTER, &["--quotes", text.to_str().unwrap()]);
    assert!(quotes.code == 2 && quotes.stderr.contains("text.wasm is not a recording"), "{quotes:?}");
    let config = workspace.file("t.toml", "confg = 1\n");
    let config = workspace.bench(FILTER, &["--config", config.to_str().unwrap()]);
    assert!(config.code == 2 && config.stderr.contains("Did you mean config?"), "{config:?}");
}

#[test]
fn a_project_is_measured_with_its_plugin_toml() {
    let workspace = Workspace::new();
    let project = |config: &str| {
        let head = "name = \"spread\"\nlanguage = \"rust\"\nkind = \"filter\"\n[config]\n";
        workspace.file("plugin.toml", head.to_owned() + config);
        workspace.bench(workspace.0.path(), &["--json"])
    };
    let unbuilt = project("max_spread_bps = 20.0");
    assert!(unbuilt.code == 2 && unbuilt.stderr.contains("Run `quotegate plugin build"), "{unbuilt:?}");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(FILTER), workspace.0.path().join("spread.wasm")).unwrap();
    let report: Value = serde_json::from_str(&project("max_spread_bps = 0.0").stdout).unwrap();
    assert_eq!((&report["plugin"], &report["over_budget"]), (&"spread".into(), &Value::Array(Vec::new())));
    let refused = project("max_sprad_bps = 1.0");
    assert!(refused.code == 1 && refused.stderr.contains("rejected its configuration"), "{refused:?}");
}

#[test]
fn a_plugin_that_loops_or_traps_is_reported() {
    let workspace = Workspace::new();
    let loops = workspace.file("loops.wasm", guest("(loop $for (br $for))"));
    let stopped = workspace.bench(loops, &[]);
    let words = "It failed to filter 1 quote in one call: it ran longer than 50ms and was stopped";
    assert!(stopped.code == 1 && stopped.stderr.contains(words), "{stopped:?}");
    let traps = workspace.file("traps.wasm", guest("(unreachable)"));
    let trapped = workspace.bench(traps, &[]);
    assert!(trapped.code == 1 && trapped.stderr.contains("in one call: it trapped"), "{trapped:?}");
}

#[test]
fn a_plugin_that_keeps_nothing_has_no_map_cost() {
    let workspace = Workspace::new();
    // Every verdict is reason 1; the map would be called only for kept quotes.
    let nothing =
        workspace.file("nothing.wasm", guest("(memory.fill (i32.const 1024) (i32.const 1) (i32.const 1024))"));
    let finished = workspace.bench(&nothing, &["--json"]);
    let report: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!((&report["kept"]["kept"], report["map"].as_array().unwrap().len()), (&0.into(), 0));
    let finished = workspace.bench(nothing, &["--budget", "map-fuel=1"]);
    assert!(finished.code == 2 && finished.stderr.contains("a map that gets a quote"), "{finished:?}");
}

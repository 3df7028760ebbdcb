//! `quotegate plugin test`, `run` and `inspect`, as an author uses them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{Finished, finish, guest, guest_text, quotegate};
use quotegate_recording::{Header, Payload, RecordedFrame, RecordingWriter};
use serde_json::Value;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs a command in its own folder, where compiled code is cached too.
fn plugin(folder: &Path, verb: &str, arguments: &[&str]) -> Command {
    let mut command = quotegate(["plugin", verb]);
    command.args(arguments).current_dir(folder).env("XDG_CACHE_HOME", folder.join("cache"));
    command
}

fn standard(name: &str) -> (String, String) {
    let component = repository(&format!("plugins/components/{name}.wasm"));
    let fixtures = repository(&format!("plugins/{name}/fixtures"));
    (component.display().to_string(), fixtures.display().to_string())
}

fn quote_filter() -> String {
    standard("quote-filter").0
}

/// Tests a component with one fixture.
fn test(component: &str, fixture: &str, more: &[&str]) -> (Finished, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("case.toml");
    std::fs::write(&file, fixture).unwrap();
    let arguments = [&[component, "--fixtures", "case.toml"], more].concat();
    let finished = finish(&mut plugin(folder.path(), "test", &arguments));
    (finished, std::fs::read_to_string(file).unwrap())
}

const WIDE: &str = "\
# A wide market.
[config]
max_spread_bps = 20.0

[[quotes]]
symbol = \"SPY\" # the fund
bid_price = 500.0
ask_price = 502.0
expect = \"kept\" # it is not
";

#[test]
fn the_standard_plugins_fixtures_pass_with_the_same_output_each_time() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["quote-filter", "field-map"] {
        let (component, fixtures) = standard(name);
        let run = || finish(&mut plugin(folder.path(), "test", &[&component, "--fixtures", &fixtures]));
        let first = run();
        assert_eq!((first.code, first.stderr.as_str()), (0, ""), "{}", first.stdout);
        assert!(first.stdout.contains("fuel per quote") && first.stdout.contains(", 0 failed."), "{}", first.stdout);
        assert!(!first.stdout.contains('\x1b'), "no colours where no terminal is: {}", first.stdout);
        assert_eq!(run().stdout, first.stdout);
    }
}

#[test]
fn a_difference_is_shown_and_update_writes_it_without_touching_comments() {
    let (failed, _) = test(&quote_filter(), WIDE, &[]);
    assert_eq!(failed.code, 1);
    for line in ["FAILED   case", "quote 1 (SPY):", "- kept", "+ refused: spread", "0 passed, 1 failed"] {
        assert!(failed.stdout.contains(line), "{line} in {}", failed.stdout);
    }
    let (updated, file) = test(&quote_filter(), WIDE, &["--update"]);
    assert!(updated.code == 0 && updated.stdout.contains("updated  case"), "{}", updated.stdout);
    assert_eq!(file, WIDE.replace("\"kept\"", "\"refused: spread\""));
    let (passed, same) = test(&quote_filter(), &file, &["--update"]);
    assert!(passed.code == 0 && passed.stdout.contains("passed   case"), "{}", passed.stdout);
    assert_eq!(same, file);
}

#[test]
fn a_terminal_gets_colors_unless_they_are_turned_off() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("case.toml"), WIDE).unwrap();
    let program = env!("CARGO_BIN_EXE_quotegate");
    let line = format!("{program} plugin test {} --fixtures case.toml", quote_filter());
    let in_terminal = |name: &str, value: &str| {
        let mut terminal = Command::new("script");
        terminal.args(["--quiet", "--return", "--command", &line, "/dev/null"]).current_dir(folder.path());
        terminal.env("XDG_CACHE_HOME", folder.path().join("cache")).env_remove("NO_COLOR").env(name, value);
        finish(terminal.stdin(Stdio::null()))
    };
    let coloured = in_terminal("TERM", "xterm");
    assert_eq!(coloured.code, 1, "{}", coloured.stdout);
    assert!(coloured.stdout.contains("\x1b[31m- kept\x1b[0m"), "{:?}", coloured.stdout);
    let plain = in_terminal("NO_COLOR", "1");
    assert!(plain.stdout.contains("- kept") && !plain.stdout.contains('\x1b'), "{:?}", plain.stdout);
}

#[test]
fn documents_are_written_as_tables_and_read_again() {
    let (component, _) = standard("field-map");
    let fixture = "\
[config.fields]
mid = { from = \"mid\" }
\"at.ms\" = { from = \"event_time\", unit = \"milliseconds\" }
at = { from = \"event_time\" }

[[quotes]]
symbol = \"SPY\"
bid_price = 500.0
";
    // The map itself rejects a path within another; this one it does not.
    let fixture = fixture.replace("\nat = ", "\nwhen = ");
    let (updated, file) = test(&component, &fixture, &["--update"]);
    assert_eq!(updated.code, 0, "{}{}", updated.stdout, updated.stderr);
    for line in
        ["[[quotes.documents]]", "mid = { null = true }", "\"at.ms\" = 1768401000000", "when = 2026-01-14T14:30:00Z"]
    {
        assert!(file.contains(line), "{line} in {file}");
    }
    let (passed, _) = test(&component, &file, &[]);
    assert_eq!(passed.code, 0, "{}", passed.stdout);
    // An integer is not a double, even with the same value.
    let (failed, _) = test(&component, &file.replace("1768401000000", "1768401000000.0"), &[]);
    assert!(failed.stdout.contains("-   fields.at.ms = 1768401000000.0"), "{}", failed.stdout);
    assert!(failed.stdout.contains("+   fields.at.ms = 1768401000000\n"), "{}", failed.stdout);
}

#[test]
fn all_errors_in_a_fixture_are_reported_with_their_location() {
    let fixture =
        "[confg]\n[limits]\nmemory_mib = 0\n[[quotes]]\nsymbol = \"SPY\"\nbid = 1\nexpect = \"yes\"\n[[quotes]]\n";
    let (failed, _) = test(&quote_filter(), fixture, &[]);
    assert_eq!(failed.code, 2);
    for line in [
        "confg: There is no such key. Did you mean config?",
        "limits.memory_mib = 0",
        "quote 1: bid: ",
        "quote 1: expect = ",
        "quote 2: symbol is missing",
    ] {
        assert!(failed.stderr.contains(line), "{line} in {}", failed.stderr);
    }
    let folder = tempfile::tempdir().unwrap();
    let none = finish(&mut plugin(folder.path(), "test", &[&quote_filter(), "--fixtures", "nowhere"]));
    assert!(none.code == 1 && none.stderr.contains("nothing to test"), "{}", none.stderr);
    let missing = finish(&mut plugin(folder.path(), "test", &["no.wasm"]));
    assert!(missing.code == 2 && missing.stderr.contains("no.wasm does not exist"), "{}", missing.stderr);
}

/// Builds a component for a test.
fn made(folder: &Path, name: &str, filter: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, guest(filter)).unwrap();
    file.display().to_string()
}

const TWO: &str = "[[quotes]]\nsymbol = \"SPY\"\nbid_price = 1.0\nexpect = \"kept\"\n[[quotes]]\nsymbol = \"QQQ\"\nexpect = \"kept\"\n";

#[test]
fn batch_dependence_and_failures_are_reported_as_such() {
    let folder = tempfile::tempdir().unwrap();
    // Refuses the first quote of each batch.
    let first = made(folder.path(), "first.wasm", "(i32.store8 (i32.const 1024) (i32.const 1))");
    let (failed, _) = test(&first, TWO, &[]);
    assert_eq!(failed.code, 1);
    for line in ["depend on how quotes are split into batches", "quote 2 (QQQ):", "- refused: cheap", "+ kept"] {
        assert!(failed.stdout.contains(line), "{line} in {}", failed.stdout);
    }
    // Traps at a bid of 0.
    let trap = "(if (f64.eq (f64.load (local.get $bid)) (f64.const 0)) (then (unreachable)))";
    let (failed, _) = test(&made(folder.path(), "trap.wasm", trap), TWO, &[]);
    assert!(
        failed.code == 1 && failed.stdout.contains("quote 2 (QQQ): The plugin failed: it trapped"),
        "{}",
        failed.stdout
    );
    let forever = made(folder.path(), "forever.wasm", "(loop $for (br $for))");
    let (failed, _) = test(&forever, TWO, &[]);
    assert!(failed.code == 1 && failed.stdout.contains("it ran longer than 50ms"), "{}", failed.stdout);
}

#[test]
fn junit_output_names_what_failed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("case.toml"), WIDE).unwrap();
    let arguments = [&quote_filter(), "--fixtures", "case.toml", "--junit", "out.xml"].map(str::to_owned);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    assert_eq!(finish(&mut plugin(folder.path(), "test", &arguments)).code, 1);
    let text = std::fs::read_to_string(folder.path().join("out.xml")).unwrap();
    assert!(text.contains("<testsuites tests=\"1\" failures=\"1\">") && text.contains("+ refused: spread"), "{text}");
}

/// Ten seconds of two symbols, ten quotes per second; SPY's spread widens halfway.
fn record(folder: &Path) {
    let path = folder.join("day.jsonl");
    let mut writer = RecordingWriter::create(&path, &Header::new("iex", "json")).unwrap();
    for tenth in 0..100_i64 {
        let received_time = 1_768_401_000_000_000_000 + tenth * 100_000_000;
        let time = format!("2026-01-14T14:30:0{}.{}Z", tenth / 10, tenth % 10);
        let quote = |symbol: &str, bid: f64, ask: f64| {
            format!(
                r#"{{"T":"q","S":"{symbol}","bx":"V","bp":{bid},"bs":1,"ax":"V","ap":{ask},"as":1,"c":["R"],"z":"B","t":"{time}"}}"#
            )
        };
        let spy = quote("SPY", 500.0, if tenth < 50 { 500.1 } else { 504.0 });
        let text = format!("[{spy},{}]", quote("QQQ", 400.0, 400.1));
        writer.write(&RecordedFrame { received_time, payload: Payload::Text(text) }).unwrap();
    }
    writer.finish().unwrap();
}

fn lines(finished: &Finished) -> Vec<Value> {
    finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_dry_run_counts_verdicts_and_writes_each_symbol_once_per_interval() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path());
    std::fs::write(folder.path().join("acme.toml"), "tenant = \"acme\"\n[config]\nmax_spread_bps = 20.0\n").unwrap();
    let filter = quote_filter();
    let arguments = [filter.as_str(), "--quotes", "day.jsonl", "--config", "acme.toml"];
    let table = finish(&mut plugin(folder.path(), "run", &arguments));
    assert_eq!((table.code, table.stderr.as_str()), (0, ""), "{}", table.stdout);
    for words in [
        "200 quotes of 2 symbols in 9.9 s",
        "refused: spread           50   25.0 %",
        "tenants/acme/live_quotes/",
        "fuel per quote",
    ] {
        assert!(table.stdout.contains(words), "{words} in {}", table.stdout);
    }
    let json = finish(&mut plugin(folder.path(), "run", &[&arguments[..], &["--json"]].concat()));
    let lines = lines(&json);
    let verdicts = |text: &str| lines.iter().filter(|line| line["verdict"] == text).count();
    assert_eq!((verdicts("kept"), verdicts("refused: spread")), (150, 50));
    let written = |symbol: &str| {
        let path = format!("tenants/acme/live_quotes/{symbol}");
        lines.iter().filter(|line| line["would_write"] == *path).collect::<Vec<_>>()
    };
    // At 0 s, 1 s, … 9 s, and the newest quote at 10 s; SPY's last kept quote is from 4.9 s.
    assert_eq!((written("QQQ").len(), written("SPY").len()), (11, 6));
    assert_eq!(written("SPY")[5]["at"], "2026-01-14T14:30:05.000000Z");
    assert_eq!(written("SPY")[5]["fields"]["ask"], 500.1);
    assert_eq!(lines.last().unwrap()["summary"]["plugin"]["quotes_kept"], 150);
    let again = finish(&mut plugin(folder.path(), "run", &[&arguments[..], &["--json"]].concat()));
    assert_eq!(again.stdout, json.stdout);
}

#[test]
fn a_comparison_shows_where_two_versions_differ() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path());
    let refuses_all = made(folder.path(), "none.wasm", "(memory.fill (i32.const 1024) (i32.const 1) (local.get $n))");
    let keeps_all = made(folder.path(), "all.wasm", "(memory.fill (i32.const 1024) (i32.const 0) (local.get $n))");
    let compare = |new: &str, old: &str, more: &[&str]| {
        let arguments = [&[new, "--quotes", "day.jsonl", "--symbols", "SPY", "--against", old], more].concat();
        finish(&mut plugin(folder.path(), "run", &arguments))
    };
    let same = compare(&refuses_all, &refuses_all, &[]);
    assert!(same.stdout.starts_with("0 of 100 quotes have different verdicts, 0 documents differ."), "{}", same.stdout);
    let text = compare(&refuses_all, &keeps_all, &[]).stdout;
    assert!(text.contains("quote 1: SPY 500 × 500.1") && text.contains("- kept\n+ refused: cheap\n"), "{text}");
    assert!(text.contains("100 of 100 quotes have different verdicts"), "{text}");
    let json = lines(&compare(&quote_filter(), &refuses_all, &["--json"]));
    assert_eq!((&json[0]["old"], &json[0]["new"]), (&"refused: cheap".into(), &"kept".into()));
    // The old version wrote none of the eleven that the new one writes.
    assert_eq!(json.last().unwrap()["differ"]["documents"], 11);
}

#[test]
fn a_comparison_of_two_setups_shows_what_a_setting_changes() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path());
    let setup = |name: &str, most: f64| {
        std::fs::write(folder.path().join(name), format!("[config]\nmax_spread_bps = {most:?}\n")).unwrap();
    };
    setup("old.toml", 1000.0);
    setup("new.toml", 20.0);
    let filter = quote_filter();
    let compare = |more: &[&str]| {
        let arguments =
            [&[&filter, "--quotes", "day.jsonl", "--symbols", "SPY", "--config", "new.toml"], more].concat();
        finish(&mut plugin(folder.path(), "run", &arguments)).stdout
    };
    let text = compare(&["--against-config", "old.toml"]);
    assert!(text.contains("50 of 100 quotes have different verdicts"), "{text}");
    assert!(text.contains("- kept\n+ refused: spread\n"), "{text}");
    assert!(compare(&["--against-config", "new.toml"]).starts_with("0 of 100 quotes"));
    // Another component gets the same setup, unless it has its own.
    assert!(compare(&["--against", &filter]).starts_with("0 of 100 quotes"));
    let both = compare(&["--against", &filter, "--against-config", "old.toml"]);
    assert!(both.contains("50 of 100 quotes have different verdicts"), "{both}");
}

#[test]
fn a_plugin_failure_in_a_dry_run_is_reported_with_exit_code_1() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path());
    let trap = made(folder.path(), "trap.wasm", "(unreachable)");
    let failed = finish(&mut plugin(folder.path(), "run", &[&trap, "--quotes", "day.jsonl"]));
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    for words in ["lost: the plugin failed or was not called", "0 documents would be written", "last error: it trapped"]
    {
        assert!(failed.stdout.contains(words), "{words} in {}", failed.stdout);
    }
    let missing = finish(&mut plugin(folder.path(), "run", &[&trap, "--quotes", "night.jsonl"]));
    assert!(missing.code == 2 && missing.stderr.contains("night.jsonl cannot be opened"), "{}", missing.stderr);
}

#[test]
fn components_are_inspected_and_other_files_are_rejected_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("acme.toml"), "[config]\nmax_spread_bps = 20.0\n").unwrap();
    let text = finish(&mut plugin(folder.path(), "inspect", &[&quote_filter(), "--config", "acme.toml"]));
    assert_eq!(text.code, 0, "{}", text.stderr);
    for words in [
        "sha256 ",
        "imports      quotegate:plugin/",
        "WIT          quotegate:plugin@0.1.0",
        "columns      bid-price, ask-price\n",
        "yes: it filters",
    ] {
        assert!(text.stdout.contains(words), "{words} in {}", text.stdout);
    }
    let json = finish(&mut plugin(folder.path(), "inspect", &[&quote_filter(), "--json"]));
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json["schema"], &json["plugin"]["filters"]), (&1.into(), &true.into()));

    let wasi = "(component (import \"wasi:clocks/wall-clock@0.2.0\" (instance)) (core module (@producers (language \"Go\" \"1\\1b[2J\"))))";
    std::fs::write(folder.path().join("wasi.wasm"), wat::parse_str(wasi).unwrap()).unwrap();
    std::fs::write(folder.path().join("text.wasm"), "(component)").unwrap();
    std::fs::write(folder.path().join("core.wasm"), wat::parse_str("(module)").unwrap()).unwrap();
    let refused = |file: &str| finish(&mut plugin(folder.path(), "inspect", &[file]));
    for (file, words) in [
        ("wasi.wasm", "no. It imports wasi:clocks/wall-clock@0.2.0, which quotegate does not provide"),
        ("text.wasm", "no. It is not WebAssembly: it does not start with"),
        ("core.wasm", "no. It is a core WebAssembly module"),
    ] {
        let found = refused(file);
        assert!(found.code == 1 && found.stdout.contains(words), "{words} in {}{}", found.stdout, found.stderr);
        assert!(!found.stdout.contains('\x1b'), "a file's own words must not reach the terminal: {}", found.stdout);
    }
    assert!(refused("wasi.wasm").stdout.contains("language     Go 1"));
}

#[test]
fn a_component_that_a_host_could_not_start_is_not_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let configure = "(export \"configure\") (param i32 i32 i32 i32) (result i32)";
    let verdicts = "(param \"quotes\" $quote-columns) (result (list u8))";
    for (name, from, to, words) in [
        ("trap.wasm", configure, format!("{configure} (unreachable)"), "It does not start: it trapped: "),
        ("forever.wasm", configure, format!("{configure} (loop $for (br $for))"), "It does not start: it ran longer"),
        ("types.wasm", verdicts, verdicts.replace("u8", "u16"), "expected primitive `u8` found primitive `u16`"),
    ] {
        let text = guest_text("");
        assert!(text.contains(from), "{name}");
        std::fs::write(folder.path().join(name), wat::parse_str(text.replace(from, &to)).unwrap()).unwrap();
        let found = finish(&mut plugin(folder.path(), "inspect", &[name]));
        assert!(found.code == 1 && found.stdout.contains("accepted     no. "), "{name}: {found:?}");
        assert!(found.stdout.contains(words) && !found.stdout.contains("yes"), "{words} in {}", found.stdout);
        let json = finish(&mut plugin(folder.path(), "inspect", &[name, "--json"]));
        let json: Value = serde_json::from_str(&json.stdout).unwrap();
        assert!(json["refused"].as_str().unwrap().contains(words), "{json}");
    }
}

#[test]
fn a_plugin_that_needs_a_configuration_is_accepted_unless_it_rejects_the_one_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let (field_map, _) = standard("field-map");
    let inspect = |arguments: &[&str]| finish(&mut plugin(folder.path(), "inspect", arguments));
    let bare = inspect(&[&field_map]);
    assert!(bare.code == 0 && bare.stdout.contains("yes: it maps"), "{bare:?}");
    assert!(bare.stdout.contains("needs a configuration (--config): it rejected its configuration: "), "{bare:?}");
    std::fs::write(folder.path().join("acme.toml"), "[config]\nfieldz = 1\n").unwrap();
    let wrong = inspect(&[&field_map, "--config", "acme.toml"]);
    assert!(
        wrong.code == 1 && wrong.stdout.contains("no. It does not start: it rejected its configuration"),
        "{wrong:?}"
    );
}

#[test]
fn a_file_that_is_too_large_is_rejected_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    // Without any of its bytes on disk.
    std::fs::File::create(folder.path().join("huge.wasm")).unwrap().set_len(1 << 43).unwrap();
    for verb in ["inspect", "bench"] {
        let found = finish(&mut plugin(folder.path(), verb, &["huge.wasm"]));
        assert!(found.code == 1 && found.stderr.contains("at most 67108864 are allowed"), "{verb}: {found:?}");
        let device = finish(&mut plugin(folder.path(), verb, &["/dev/zero"]));
        assert!(
            device.code == 2 && device.stderr.starts_with("/dev/zero is not a regular file."),
            "{verb}: {device:?}"
        );
    }
}

#[test]
fn what_a_plugin_logs_before_a_trap_is_told_wherever_it_fails() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path());
    std::fs::write(folder.path().join("case.toml"), TWO).unwrap();
    // What the SDK does in a panic. The guest has "cheap" at 8; level 3 is an error.
    let trap = made(folder.path(), "trap.wasm", "(call $log (i32.const 3) (i32.const 8) (i32.const 5)) (unreachable)");
    let words = "; its last error line: cheap";
    let tested = finish(&mut plugin(folder.path(), "test", &[&trap, "--fixtures", "case.toml", "--junit", "out.xml"]));
    assert!(tested.code == 1 && tested.stdout.contains(words), "{tested:?}");
    assert!(std::fs::read_to_string(folder.path().join("out.xml")).unwrap().contains(words));
    let run = finish(&mut plugin(folder.path(), "run", &[&trap, "--quotes", "day.jsonl"]));
    assert!(run.code == 1 && run.stdout.contains(words), "{run:?}");
}

#[test]
fn a_dry_run_of_whole_tenants_prints_the_same_lines_each_time() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path());
    let settings = "\
        pace = { writes_per_second = 2, burst = 1 }\n\
        [feed]\n\
        source = \"replay\"\n\
        replay = { file = \"day.jsonl\", speed = \"max\" }\n\
        [tenants.all]\n\
        symbols = [\"*\"]\n\
        [[tenants.all.plugins]]\n\
        standard = \"field-map\"\n\
        config = { fields = { \"best.bid\" = \"bid_price\" } }\n\
        [tenants.narrow]\n\
        symbols = [\"SPY\"]\n\
        per_symbol_min_interval_ms = 0\n\
        plugins = [{ standard = \"quote-filter\", config = { max_spread_bps = 20 } }]\n";
    std::fs::write(folder.path().join("quotegate.toml"), settings).unwrap();
    let run = || {
        let mut command = quotegate(["run", "--dry-run", "--config", "quotegate.toml"]);
        finish(command.current_dir(folder.path()).env("QUOTEGATE_PLUGINS__CACHE", "false"))
    };
    let first = run();
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert_eq!(run().stdout, first.stdout);
    let lines = lines(&first);
    let of = |path: &str| lines.iter().filter(|line| line["would_write"] == path).collect::<Vec<_>>();
    let (mapped, narrow) = (of("tenants/all/live_quotes/SPY"), of("tenants/narrow/live_quotes/SPY"));
    let fields = &mapped.last().unwrap()["fields"];
    assert_eq!(fields["best"], serde_json::json!({ "bid": 500.0 }));
    // A map that does not write the event time gets it added, for the order of writes.
    let names: Vec<_> = fields.as_object().unwrap().keys().collect();
    assert_eq!(names, ["_event_time", "best"]);
    assert_eq!(narrow.last().unwrap()["fields"]["ask"], 500.1, "what the filter refuses is not the last word");
    // Two per second overall, as in a real run: 20 in the recording's 9.9 s, then the newest quotes of three symbols.
    assert!((20..=24).contains(&lines.len()), "{}", first.stdout);
}

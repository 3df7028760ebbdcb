//! The commands, as a new user runs them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{Running, finish, quotegate};

#[test]
fn the_demo_needs_no_setup_and_prints_a_summary() {
    let finished = finish(&mut quotegate(["demo", "--seconds", "3"]));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(finished.stdout.contains("two tenants") && finished.stdout.contains("quotes/s"), "{}", finished.stdout);
    assert!(finished.stdout.contains("documents written"), "{}", finished.stdout);
}

#[test]
fn the_demo_says_what_it_is_waiting_for_when_it_is_stopped() {
    let mut demo = quotegate(["demo"]);
    let mut child = demo.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("quotes/s")));
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let rest: Vec<String> = lines.collect();
    let told = rest.iter().position(|line| line.starts_with("stopping: writing what is dirty"));
    let summary = rest.iter().position(|line| line.starts_with("stopped after "));
    assert!(told.is_some() && told < summary, "{rest:#?}");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_dry_run_without_credentials_simulates_and_prints_whole_documents() {
    let mut host = Running::start(quotegate(["run"]).env("TENANT_ID", "local").env("DRY_RUN", "1"));
    host.wait_for_event("sim_started");
    let line = host.wait_for("a quote document", |line| line["path"] == "tenants/local/live_quotes/SPY");
    assert_eq!((&line["fields"]["symbol"], &line["fields"]["source"]), (&"SPY".into(), &"alpaca".into()));
    let labels = &line["logging.googleapis.com/labels"];
    assert!(labels["tenant"] == "local" && labels["instance"].is_string(), "{line}");
    host.signal("INT");
    assert_eq!(host.wait().code, 0);
}

#[test]
fn smoke_passes_in_a_dry_run_and_fails_with_the_reason() {
    let dry_run = |seconds| {
        let mut smoke = quotegate(["smoke", "--seconds", seconds]);
        smoke.env("TENANT_ID", "local").env("DRY_RUN", "1");
        smoke
    };
    let finished = finish(&mut dry_run("60"));
    let last = finished.stdout.lines().last().unwrap();
    assert!(finished.code == 0 && last.starts_with("PASS"), "{finished:?}");

    let finished = finish(
        dry_run("2")
            .env("ALPACA_KEY_ID", "key")
            .env("ALPACA_SECRET_KEY", "secret")
            .env("QUOTEGATE_FEED__URL", "ws://127.0.0.1:9/v2/iex"),
    );
    let last = finished.stdout.lines().last().unwrap();
    let reason = "no quote arrived: connection refused by 127.0.0.1:9";
    assert!(finished.code == 1 && last.starts_with("FAIL") && last.ends_with(reason), "{finished:?}");
    // There never was a connection that could have been lost.
    let told = "could not connect to Alpaca: connection refused by 127.0.0.1:9; trying again";
    assert!(finished.stderr.contains(told) && !finished.stderr.contains("lost the connection"), "{finished:?}");

    let finished = finish(
        dry_run("2")
            .env("DRY_RUN", "0")
            .env("FIRESTORE_EMULATOR_HOST", "127.0.0.1:9")
            .env("QUOTEGATE_FEED__SOURCE", "sim"),
    );
    let last = finished.stdout.lines().last().unwrap();
    assert!(finished.code == 1 && last.ends_with("connection refused by 127.0.0.1:9"), "{finished:?}");
    assert!(!finished.stderr.contains("Err: took"), "{finished:?}");
}

#[test]
fn the_verdict_of_smoke_is_the_last_line_of_both_streams_together() {
    for (environment, code, verdict) in
        [(["TENANT_ID", "DRY_RUN"].as_slice(), 0, "PASS after"), (&["DRY_RUN"], 2, "FAIL before")]
    {
        let mut both = Command::new("sh");
        both.args(["-c", r#"exec "$0" smoke --seconds 60 2>&1"#, env!("CARGO_BIN_EXE_quotegate")]).env_clear();
        both.env("QUOTEGATE_OPS__PORT", "0").envs(environment.iter().map(|name| (name, "1")));
        let finished = finish(&mut both);
        let last = finished.stdout.lines().last().unwrap();
        assert!(finished.code == code && last.starts_with(verdict), "{}", finished.stdout);
    }
}

#[test]
fn all_bad_settings_are_reported_at_once_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    std::fs::write(&file, "[pace]\nburst = -1\nburts = 2\n[tenants.\"a/b\"]\nsymbols = [\"S PY\"]\n").unwrap();
    for verb in ["check", "run", "smoke", "record"] {
        let mut command = quotegate([verb, "--config"]);
        command.arg(&file);
        if verb == "record" {
            command.args(["--out", "never-made.jsonl"]);
        }
        let finished = finish(&mut command);
        assert_eq!(finished.code, 2, "{verb}: {}", finished.stderr);
        for part in ["bad.toml:2", "bad.toml:3", "Did you mean pace.burst", "a/b", "S PY"] {
            assert!(finished.stderr.contains(part), "{verb} does not tell of {part}:\n{}", finished.stderr);
        }
        assert!(!finished.stderr.contains("startup"));
        assert_eq!(finished.stdout.starts_with("FAIL"), verb == "smoke", "{verb}: {}", finished.stdout);
    }
    assert!(!Path::new("never-made.jsonl").exists());
    assert_eq!(finish(&mut quotegate(["explode"])).code, 2);
    assert_eq!(finish(&mut quotegate(["sim", "--fault", "explode"])).code, 2);
}

#[test]
fn a_flag_that_is_no_number_is_reported_like_the_setting_that_it_sets() {
    for (verb, flag, key) in [
        ("run", "--stop-after", "run.stop_after_s"),
        ("smoke", "--seconds", "run.stop_after_s"),
        ("record", "--seconds", "run.stop_after_s"),
        ("demo", "--seconds", "run.stop_after_s"),
        ("demo", "--rate", "feed.sim.rate"),
    ] {
        for (value, why) in [("soon", "This is a string."), ("-1", "This is negative.")] {
            let mut command = quotegate([verb, flag, value]);
            command.env("TENANT_ID", "acme").env("DRY_RUN", "1");
            if verb == "record" {
                command.args(["--out", "never-made.jsonl"]);
            }
            let refused = finish(&mut command);
            let told = format!("flag {flag}: {key} = ");
            let is_told = refused.stderr.contains(&told) && refused.stderr.contains(why);
            assert!(refused.code == 2 && is_told, "{verb} {flag} {value}: {refused:?}");
        }
    }
    let negative = finish(&mut quotegate(["sim", "--rate", "-1"]));
    assert!(negative.code == 2 && negative.stderr.contains("above 0"), "{negative:?}");
}

#[test]
fn a_recording_is_replayed_to_the_same_documents() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["day.jsonl", "day.jsonl.zst"] {
        let file = folder.path().join(name);
        let finished = finish(
            quotegate(["record", "--seconds", "3", "--out"])
                .arg(&file)
                .env("TENANT_ID", "local")
                .env("DRY_RUN", "1")
                .env("QUOTEGATE_FEED__ENCODING", "json"),
        );
        assert!(finished.code == 0 && finished.stdout.contains("frames in"), "{finished:?}");
        let replay = |speed: &str| {
            let finished = finish(
                quotegate(["run", "--dry-run", "--set", "feed.source=replay", "--set"])
                    .arg(format!("feed.replay.file={}", file.display()))
                    .args(["--set", &format!("feed.replay.speed={speed}")])
                    .env("TENANT_ID", "local")
                    .env("QUOTEGATE_LOG__FORMAT", "json"),
            );
            assert_eq!(finished.code, 0, "{}", finished.stderr);
            let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            let path = "tenants/local/live_quotes/SPY";
            let mut printed = finished.stdout.lines().map(json).filter(|line| line["would_write"] == path);
            let mut logged = finished.stderr.lines().map(json).filter(|line| line["path"] == path);
            match speed {
                "max" => printed.next_back().expect("a document")["fields"].take(),
                _ => logged.next_back().expect("a document")["fields"].take(),
            }
        };
        // The last quote is the same at any speed.
        assert_eq!(replay("max"), replay("3"));
    }
}

#[test]
fn a_full_disk_ends_a_recording_with_an_error_and_does_not_stop_a_host() {
    let recorded = finish(quotegate(["record", "--out", "/dev/full"]).env("TENANT_ID", "acme").env("DRY_RUN", "1"));
    assert_eq!(recorded.code, 1, "{}", recorded.stderr);
    assert!(recorded.stderr.contains("No space left"), "{}", recorded.stderr);

    // A host must keep working if its log cannot be written.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = quotegate(["smoke", "--seconds", "60"])
        .env("TENANT_ID", "acme")
        .env("DRY_RUN", "1")
        .stderr(full)
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("PASS"));
}

#[test]
fn a_truncated_recording_is_reported_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cut.jsonl");
    let header = r#"{"quotegate_recording":1,"feed":"iex","encoding":"json","started":"2026-11-23T14:30:00Z"}"#;
    std::fs::write(&file, format!("{header}\n{{\"at\":1,\"frame\":[]}}\n{{\"at\":2,\"fra")).unwrap();
    let finished = finish(
        quotegate(["run", "--dry-run", "--set", "feed.source=replay", "--set"])
            .arg(format!("feed.replay.file={}", file.display()))
            .env("TENANT_ID", "local"),
    );
    assert_eq!(finished.code, 1);
    assert!(finished.stderr.contains("line 3 of the recording"), "{}", finished.stderr);
}

#[test]
fn nothing_is_overwritten_without_force() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.jsonl");
    let pages = folder.path().join("man");
    std::fs::write(&file, "precious").unwrap();
    let (file, pages) = (file.to_str().unwrap(), pages.to_str().unwrap());
    assert_eq!(finish(&mut quotegate(["man", "--out", pages])).code, 0);
    let verbs = [
        vec!["record", "--seconds", "1", "--out", file],
        vec!["sim", "--scenario", "opening-bell", "--out", file],
        vec!["man", "--out", pages],
    ];
    for verb in verbs {
        let run =
            |force: &[&str]| finish(quotegate([]).args(&verb).args(force).env("TENANT_ID", "a").env("DRY_RUN", "1"));
        let refused = run(&[]);
        assert!(refused.code == 2 && refused.stderr.contains("replace it with --force"), "{verb:?}: {refused:?}");
        assert_eq!(std::fs::read_to_string(file).unwrap(), "precious", "{verb:?}");
        let replaced = run(&["--force"]);
        assert_eq!(replaced.code, 0, "{verb:?}: {replaced:?}");
        let now = std::fs::read_to_string(file).unwrap();
        assert!(verb[0] == "man" || now.starts_with(r#"{"quotegate_recording":1"#), "{verb:?}: {now}");
        std::fs::write(file, "precious").unwrap();
    }
}

#[test]
fn a_reader_that_closes_the_pipe_ends_a_command_quietly() {
    let verbs: [(&[&str], i32); 5] = [
        (&["check"], 0),
        (&["demo"], 0),
        (&["completions", "bash"], 0),
        (&["smoke", "--seconds", "0.1", "--set", "feed.source=alpaca"], 2),
        (&["run", "--set", "feed.source=replay", "--set", "feed.replay.speed=max", "--set", RECORDING], 0),
    ];
    for (verb, code) in verbs {
        for closes_stderr in [false, true] {
            let mut command = quotegate([]);
            command.args(verb).env("TENANT_ID", "acme").env("DRY_RUN", "1");
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            drop(child.stdout.take());
            if closes_stderr {
                drop(child.stderr.take());
            }
            let output = child.wait_with_output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code() == Some(code) && !told.contains("panicked"), "{verb:?}: {output:?}");
        }
    }
}

const RECORDING: &str =
    concat!("feed.replay.file=", env!("CARGO_MANIFEST_DIR"), "/tests/recordings/opening-bell.jsonl.zst");

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
    let fields: serde_json::Value = serde_json::from_str(line["fields"].as_str().unwrap()).unwrap();
    assert_eq!((&fields["symbol"], &fields["source"]), (&"SPY".into(), &"alpaca".into()));
    host.signal("INT");
    assert_eq!(host.wait().code, 0);
}

#[test]
fn smoke_passes_in_a_dry_run_and_fails_with_the_reason() {
    let finished = finish(quotegate(["smoke", "--seconds", "60"]).env("TENANT_ID", "local").env("DRY_RUN", "1"));
    let last = finished.stdout.lines().last().unwrap();
    assert!(finished.code == 0 && last.starts_with("PASS"), "{finished:?}");

    let unreachable = "ws://127.0.0.1:9/v2/iex";
    let finished = finish(
        quotegate(["smoke", "--seconds", "2"])
            .env("TENANT_ID", "local")
            .env("DRY_RUN", "1")
            .env("ALPACA_KEY_ID", "key")
            .env("ALPACA_SECRET_KEY", "secret")
            .env("QUOTEGATE_FEED__URL", unreachable),
    );
    let last = finished.stdout.lines().last().unwrap();
    assert!(finished.code == 1 && last.starts_with("FAIL") && last.contains("no quote arrived"), "{finished:?}");
}

#[test]
fn check_prints_every_setting_with_its_origin_and_no_secret() {
    let finished = finish(
        quotegate(["check", "--set", "sink.batch_size=50"])
            .env("TENANT_ID", "acme")
            .env("ALPACA_KEY_ID", "key")
            .env("ALPACA_SECRET_KEY", "hush-hush")
            .env("FIRESTORE_PROJECT_ID", "p"),
    );
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let line = |key: &str| finished.stdout.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    assert!(line("sink.batch_size").contains("50") && line("sink.batch_size").contains("flag --set"));
    assert!(line("sink.project_id").contains("FIRESTORE_PROJECT_ID"));
    assert!(line("pace.burst").contains("default"));
    assert!(!finished.stdout.contains("hush-hush"));
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
                _ => json(logged.next_back().expect("a document")["fields"].as_str().unwrap()),
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

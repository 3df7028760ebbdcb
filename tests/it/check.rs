//! `quotegate check`, and how a start fails.

use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Finished, finish, quotegate};

/// A tenant, an Alpaca key, and a place where no Google Cloud is.
fn on_a_laptop(verb: &str) -> Command {
    let mut command = quotegate([verb]);
    command.envs([("TENANT_ID", "acme"), ("ALPACA_KEY_ID", "key"), ("ALPACA_SECRET_KEY", "hush-hush")]);
    command.env("GCE_METADATA_HOST", "127.0.0.1:9").env("QUOTEGATE_FEED__URL", "ws://127.0.0.1:9");
    command
}

fn json_of(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

/// The messages of the log lines with which the program ended.
fn exit_messages(finished: &Finished) -> Vec<String> {
    let lines = finished.stderr.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let ends = lines.filter(|line| line["event_type"] == "exit" && line["severity"] == "ERROR");
    ends.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
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
    assert!(!finished.stdout.contains("hush-hush") && !finished.stdout.contains("sink.fence is off"));
}

#[test]
fn check_says_what_is_lost_without_the_fence() {
    let mut check = quotegate(["check", "--set", "sink.fence=false"]);
    let finished = finish(check.env("TENANT_ID", "acme").env("DRY_RUN", "1"));
    let last = finished.stdout.lines().last().unwrap();
    assert!(finished.code == 0 && last.starts_with("sink.fence is off: a second host"), "{finished:?}");
}

#[test]
fn check_finds_what_keeps_run_from_starting() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let key = file("key.json", r#"{"type": "service_account"}"#);
    let text = file("text.pem", "hello");
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[], "no Google Cloud project: set FIRESTORE_PROJECT_ID"),
        (
            &[("GOOGLE_APPLICATION_CREDENTIALS", &key)],
            "key.json names no Google Cloud project: set FIRESTORE_PROJECT_ID",
        ),
        (&[("DRY_RUN", "1"), ("QUOTEGATE_FEED__CA_FILE", &text)], "text.pem: it contains no certificate"),
        (&[("DRY_RUN", "1"), ("QUOTEGATE_FEED__CA_FILE", "/dev/zero")], "/dev/zero: it is larger than 16 MiB"),
        (
            &[("DRY_RUN", "1"), ("QUOTEGATE_FEED__SOURCE", "replay"), ("QUOTEGATE_FEED__REPLAY__FILE", &text)],
            "text.pem is not a recording",
        ),
    ];
    for (environment, told) in cases {
        let checked = finish(on_a_laptop("check").envs(environment.iter().copied()));
        assert!(checked.code == 2 && checked.stderr.contains(told), "{told}: {checked:?}");
        assert!(checked.stderr.ends_with("\n1 problem\n"), "{checked:?}");
        let ran = finish(on_a_laptop("run").envs(environment.iter().copied()));
        assert!(ran.code == 2 && exit_messages(&ran).concat().contains(told), "{told}: {ran:?}");
        let report = finish(on_a_laptop("check").arg("--json").envs(environment.iter().copied()));
        let (report, code) = (json_of(&report), report.code);
        assert!(code == 2 && report["valid"] == false, "{report}");
        assert!(report["problems"][0]["problem"].as_str().unwrap().contains(told), "{report}");
    }
}

#[test]
fn a_failed_start_is_one_json_line_per_problem_where_the_log_is_json() {
    let bad = ["--set", "pace.burst=-1", "--set", "snik.x=1"];
    let lines = exit_messages(&finish(on_a_laptop("run").args(bad)));
    let expected = [
        "flag --set: pace.burst = -1: This is negative. Use an integer from 1 to 1000000.",
        "flag --set: snik.x: There is no such key. All keys are listed in config/quotegate.toml.",
    ];
    assert_eq!(lines, expected);

    let pretty = finish(on_a_laptop("run").args(bad).args(["--set", "log.format=pretty"]));
    assert!(pretty.code == 2 && pretty.stderr.starts_with("flag --set: pace.burst = -1\n"), "{pretty:?}");
    assert!(pretty.stderr.ends_with("2 problems in the settings\n"), "{pretty:?}");
    let checked = finish(on_a_laptop("check").args(bad));
    assert_eq!(checked.stderr, pretty.stderr);
}

#[test]
fn check_can_print_only_what_differs_from_the_defaults() {
    let changed = |more: &[&str]| {
        finish(
            on_a_laptop("check")
                .arg("--changed")
                .args(["--set", "sink.kind=dry-run", "--set", "sink.batch_size=100"])
                .args(more),
        )
    };
    let finished = changed(&["--set", "tenants.acme.burst=7"]);
    assert_eq!(finished.code, 0, "{finished:?}");
    let keys: Vec<&str> = finished.stdout.lines().map_while(|line| line.split_whitespace().next()).collect();
    // ops.port is that of the harness, as are the timeouts and feed.snapshot. The batch size is set, but to the default.
    let expected = [
        "feed.key_id",
        "feed.secret_key",
        "feed.url",
        "feed.snapshot",
        "feed.pong_timeout_s",
        "feed.handshake_timeout_s",
        "sink.kind",
        "ops.port",
        "tenants.acme.burst",
    ];
    let sorted = |mut keys: Vec<&str>| {
        keys.sort_unstable();
        keys.join(" ")
    };
    assert_eq!(sorted(keys), sorted(expected.to_vec()), "{}", finished.stdout);
    assert!(finished.stdout.ends_with("\nthe settings are valid: 1 tenant\n"), "{}", finished.stdout);

    let report = json_of(&changed(&["--json"]));
    assert!(report["valid"] == true && report["tenants"] == 1, "{report}");
    let settings = report["settings"].as_array().unwrap();
    let setting = |key: &str| settings.iter().find(|row| row["key"] == key).cloned().unwrap_or_default();
    let secret = json!({"key": "feed.secret_key", "value": "set", "origin": "environment variable ALPACA_SECRET_KEY", "changed": true});
    assert_eq!(setting("feed.secret_key"), secret);
    assert_eq!(setting("ops.port")["value"], 0);
    assert!(!report.to_string().contains("hush-hush"));
}

#[test]
fn check_json_has_every_setting_and_every_problem() {
    let report = json_of(&finish(on_a_laptop("check").args(["--json", "--set", "sink.kind=dry-run"])));
    let settings = report["settings"].as_array().unwrap();
    let value = |key: &str| settings.iter().find(|row| row["key"] == key).expect(key)["value"].clone();
    assert_eq!(value("tenants.acme.symbols"), json!(["SPY"]));
    assert_eq!(
        (value("sink.batch_size"), value("run.paused"), value("feed.ca_file")),
        (json!(100), json!(false), json!(null))
    );

    let finished = finish(on_a_laptop("check").args(["--json", "--set", "pace.burst=-1"]));
    let expected = json!([{
        "key": "pace.burst",
        "value": "-1",
        "origin": "flag --set",
        "problem": "This is negative.",
        "remedy": "Use an integer from 1 to 1000000.",
    }]);
    assert_eq!((finished.code, &json_of(&finished)["problems"]), (2, &expected));
}

#[test]
fn an_empty_variable_names_no_settings_file_and_a_device_is_none() {
    let checked = |file: &str| finish(on_a_laptop("check").env("DRY_RUN", "1").env("QUOTEGATE_CONFIG", file));
    assert_eq!(checked("").code, 0, "{:?}", checked(""));
    let device = checked("/dev/zero");
    let told = "/dev/zero\n    The file cannot be read: it is larger than 16 MiB.\n";
    assert!(device.code == 2 && device.stderr.starts_with(told), "{device:?}");
    let secret = finish(on_a_laptop("check").env_remove("ALPACA_KEY_ID").env("ALPACA_KEY_ID_FILE", "/dev/zero"));
    assert!(secret.code == 2 && secret.stderr.contains("it is larger than 64 KiB."), "{secret:?}");
}

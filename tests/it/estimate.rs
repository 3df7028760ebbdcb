//! `quotegate estimate`: exact numbers from settings and a small recording.

use std::path::Path;
use std::process::Command;

use crate::harness::{finish, quotegate};
use quotegate_recording::{Header, Payload, RecordedFrame, RecordingWriter};
use serde_json::{Value, json};

const SETTINGS: &str = r#"
    [tenant_defaults]
    symbols = ["SPY"]
    [tenants.filtered]
    plugins = [{ standard = "quote-filter", config = { min_price = 10 } }]
    [tenants.plain]
    [tenants.tight]
    symbols = ["QQQ", "SPY"]
    per_symbol_min_interval_ms = 0
    writes_per_second = 0.1
    burst = 1
    [tenants.two]
    symbols = ["QQQ", "SPY"]
    per_symbol_min_interval_ms = 2000
"#;

/// 20 s: SPY ten times per second, below 10 in the second half; QQQ every 5 s.
fn record(path: &Path) {
    let mut writer = RecordingWriter::create(path, &Header::new("iex", "json")).unwrap();
    let mut frame = |tenth: i64, text: String| {
        let received_time = 1_700_000_000_000_000_000 + tenth * 100_000_000;
        writer.write(&RecordedFrame { received_time, payload: Payload::Text(text) }).unwrap();
    };
    frame(0, r#"[{"T":"success","msg":"connected"}]"#.to_owned());
    for tenth in 0..=200 {
        let quote = |symbol: &str, price: i64| {
            let seconds = 13 * 60 + 20 + tenth / 10;
            let time = format!("2023-11-14T22:{:02}:{:02}.{}Z", seconds / 60, seconds % 60, tenth % 10);
            format!(r#"{{"T":"q","S":"{symbol}","bp":{price},"bs":1,"ap":{price},"as":1,"t":"{time}"}}"#)
        };
        let spy = quote("SPY", if tenth < 100 { 500 } else { 5 });
        let frames = if tenth % 50 == 0 { format!("[{spy},{}]", quote("QQQ", 400)) } else { format!("[{spy}]") };
        frame(tenth, frames);
    }
    writer.finish().unwrap();
}

fn estimate(folder: &Path, arguments: &[&str]) -> Command {
    std::fs::write(folder.join("quotegate.toml"), SETTINGS).unwrap();
    let mut command = quotegate(["estimate", "--config"]);
    command.arg(folder.join("quotegate.toml")).args(arguments).env("QUOTEGATE_PLUGINS__CACHE", "false");
    command
}

#[test]
fn a_recording_is_played_through_filters_intervals_and_limits() {
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("small.jsonl.zst");
    record(&recording);
    let finished = finish(&mut estimate(folder.path(), &["--json", "--recording", recording.to_str().unwrap()]));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let answer: Value = serde_json::from_str(&finished.stdout).unwrap();
    let of = |key: &str| -> Vec<Value> {
        let tenants = answer["estimate"]["tenants"].as_array().unwrap();
        tenants.iter().map(|tenant| tenant[key].clone()).collect()
    };
    assert_eq!(of("id"), ["filtered", "plain", "tight", "two"]);
    // Filtered: at 0 s, 1 s, … 10 s. Plain: once per second. Tight: one token at once and one after 10 s. Two: SPY every
    // 2 s, QQQ every 5 s, the first ones at once. A write at the very end counts as after the recording.
    assert_eq!(of("recorded"), [11, 20, 2, 14]);
    let day: Vec<Value> = of("likely").iter().map(|likely| likely["day"].clone()).collect();
    assert_eq!(day, [47_520, 86_400, 8640, 60_480]);
    assert_eq!(answer["estimate"]["recorded_seconds"], 20.0);
    // Four heartbeats every 15 s.
    assert_eq!(answer["estimate"]["heartbeats"], 4 * 5760);
    assert_eq!(answer["estimate"]["likely"]["day"], 47_520 + 86_400 + 8640 + 60_480 + 23_040);
    assert_eq!(answer["price_per_100k"], 0.09);
    let again = finish(&mut estimate(folder.path(), &["--json", "--recording", recording.to_str().unwrap()]));
    assert_eq!(finished.stdout, again.stdout, "the same recording gives the same numbers");
}

#[test]
fn the_estimate_prints_the_numbers_the_price_and_its_date() {
    let folder = tempfile::tempdir().unwrap();
    let finished = finish(&mut estimate(folder.path(), &[]));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let line = |begin: &str| {
        let found = finished.stdout.lines().find(|line| line.starts_with(begin));
        found.unwrap_or_else(|| panic!("no {begin}: {}", finished.stdout)).to_owned()
    };
    assert!(line("plain: at most (1 symbol, once every 1 s)").ends_with("86,400"));
    assert!(line("tight: at most (its own limit)").ends_with("8,640"));
    // 86,400 + 86,400 + 8,640 + 86,400 quotes and 23,040 heartbeats.
    assert!(line("total: at most").ends_with("290,880"));
    assert!(line("cost: at most").ends_with("$0.26"));
    // Six symbols and four heartbeats.
    line("The fence (sink.fence) reads 10 documents once after each start");
    assert!(finished.stdout.contains("as of 2026-11-23") && finished.stdout.contains("not known without a recording"));

    let dear = finish(&mut estimate(folder.path(), &["--price-per-100k", "100"]));
    assert!(dear.stdout.contains("$290.88") && !dear.stdout.contains("2026-11-23"), "{}", dear.stdout);
    assert_eq!(finish(&mut estimate(folder.path(), &["--price-per-100k", "cheap"])).code, 2);
}

#[test]
fn workers_renew_leases_and_the_relay_carries_the_recording_to_each() {
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("small.jsonl.zst");
    record(&recording);
    let with = |workers: &str, more: &[&str]| {
        let arguments = [&["--recording", recording.to_str().unwrap(), "--workers", workers], more].concat();
        let finished = finish(&mut estimate(folder.path(), &arguments));
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        finished.stdout
    };
    let of =
        |workers| -> Value { serde_json::from_str::<Value>(&with(workers, &["--json"])).unwrap()["estimate"].take() };
    let (one, three) = (of("1"), of("3"));
    assert_eq!((&one["lease_renewals"], &one["worker_renewals"]), (&86_400.into(), &86_400.into()));
    assert_eq!(three["worker_renewals"], 3 * 86_400);
    // 206 quotes in 20 s, each in a message of its own, with 57 bytes and a header.
    let rate = |estimate: &Value, of: &str| estimate["relay"][of]["raw"].as_f64().unwrap();
    assert!((one["relay"]["quotes_per_second"].as_f64().unwrap() - 10.3).abs() < 0.1, "{one}");
    assert!((1_000.0..2_000.0).contains(&rate(&one, "published")), "{one}");
    assert_eq!(rate(&one, "delivered"), rate(&one, "published"), "one worker gets everything once");
    assert!(rate(&three, "delivered") > rate(&three, "published"), "{three}");
    assert!(rate(&three, "busiest_worker") <= rate(&three, "published"), "{three}");
    let text = with("3", &[]);
    assert!(text.contains("Relay: for 10 quotes per second") && text.contains("to 3 workers"), "{text}");
}

#[test]
fn a_recording_that_is_too_short_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("short.jsonl");
    let mut writer = RecordingWriter::create(&recording, &Header::new("iex", "json")).unwrap();
    let payload = Payload::Text(json!([]).to_string());
    writer.write(&RecordedFrame { received_time: 1, payload }).unwrap();
    writer.finish().unwrap();
    let finished = finish(&mut estimate(folder.path(), &["--recording", recording.to_str().unwrap()]));
    assert!(finished.code == 1 && finished.stderr.contains("record at least some minutes"), "{finished:?}");
    let finished = finish(&mut estimate(folder.path(), &["--recording", "nowhere.jsonl"]));
    assert!(finished.code == 2 && finished.stderr.contains("nowhere.jsonl"), "{finished:?}");
}

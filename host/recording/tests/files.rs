//! Recordings in real files: frames are read back unchanged, and a damaged file never gives a wrong frame.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use quotegate_recording::{Header, Payload, RecordedFrame, Recording, RecordingError, RecordingWriter};

fn frame() -> impl Strategy<Value = RecordedFrame> {
    let text = prop_oneof![
        Just(r#"[{"T":"q","S":"SPY","bp":1.0}]"#.to_owned()),
        Just(" [ 1 ] ".to_owned()),
        Just("null".to_owned()),
        Just("[1,\n2]".to_owned()),
        ".*",
    ];
    let payload =
        prop_oneof![text.prop_map(Payload::Text), prop::collection::vec(any::<u8>(), 0..40).prop_map(Payload::Binary),];
    (any::<i64>(), payload).prop_map(|(received_time, payload)| RecordedFrame { received_time, payload })
}

fn write(path: &Path, frames: &[RecordedFrame]) {
    let mut writer = RecordingWriter::create(path, &Header::new("iex", "json")).unwrap();
    for frame in frames {
        writer.write(frame).unwrap();
    }
    writer.finish().unwrap();
}

fn files() -> (tempfile::TempDir, [PathBuf; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a.jsonl", "a.jsonl.zst"].map(|name| folder.path().join(name));
    (folder, paths)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn frames_come_back_byte_for_byte(frames in prop::collection::vec(frame(), 0..20)) {
        let (_folder, paths) = files();
        for path in paths {
            write(&path, &frames);
            let read: Result<Vec<_>, _> = Recording::open(&path).unwrap().collect();
            prop_assert_eq!(&read.unwrap(), &frames);
        }
    }
}

proptest! {
    // Few frames, because the file is truncated at every byte.
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn a_truncated_file_gives_its_whole_frames_and_then_an_error(frames in prop::collection::vec(frame(), 1..6)) {
        let (_folder, paths) = files();
        for path in paths {
            write(&path, &frames);
            let whole = std::fs::read(&path).unwrap();
            for length in 0..whole.len() {
                std::fs::write(&path, &whole[..length]).unwrap();
                let Ok(recording) = Recording::open(&path) else { continue };
                let read: Vec<_> = recording.collect();
                let good = read.iter().take_while(|frame| frame.is_ok()).count();
                for (read, written) in read.iter().zip(&frames).take(good) {
                    prop_assert_eq!(read.as_ref().unwrap(), written);
                }
                match &read[good..] {
                    // A cut between two lines goes unnoticed, except in a compressed file.
                    [] => prop_assert!(path.extension().unwrap() != "zst" && whole[length - 1] == b'\n'),
                    [Err(RecordingError::CutOff { good: told, .. })] => prop_assert_eq!(*told, good as u64),
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
    }
}

fn error_text(path: &Path) -> String {
    match Recording::open(path) {
        Err(error_text) => error_text.to_string(),
        Ok(mut recording) => recording.find_map(Result::err).unwrap().to_string(),
    }
}

#[test]
fn files_that_are_not_recordings_are_rejected() {
    let (folder, [path, compressed]) = files();
    assert!(error_text(&path).contains("cannot be opened"));
    std::fs::write(&path, "hello\n").unwrap();
    assert!(error_text(&path).contains("is not a recording"));
    std::fs::write(&compressed, "hello\n").unwrap();
    assert!(error_text(&compressed).contains("is not a recording"));
    std::fs::write(&path, "{\"quotegate_recording\":2}\n").unwrap();
    assert!(error_text(&path).contains("use a newer quotegate"));
    let missing = folder.path().join("no/such/folder.jsonl");
    let created = RecordingWriter::create(&missing, &Header::new("iex", "json"));
    assert!(created.err().unwrap().to_string().contains("cannot be created"));
}

#[test]
fn an_invalid_line_is_named_in_the_error() {
    let (_folder, [path, _]) = files();
    write(&path, &[]);
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("{\"at\":1}\n");
    std::fs::write(&path, text).unwrap();
    assert!(error_text(&path).starts_with("line 2 of the recording"));
}

/// The frames that a crash would leave: without `finish` and without destructors.
fn crash(path: &Path, frames: &[RecordedFrame]) -> Vec<RecordedFrame> {
    let mut writer = RecordingWriter::create(path, &Header::new("iex", "json")).unwrap();
    for frame in frames {
        writer.write(frame).unwrap();
    }
    std::mem::forget(writer);
    Recording::open(path).unwrap().map_while(Result::ok).collect()
}

fn text(received_time: i64, text: String) -> RecordedFrame {
    RecordedFrame { received_time, payload: Payload::Text(text) }
}

#[test]
fn a_crash_loses_no_frame_older_than_a_second() {
    let (_folder, paths) = files();
    let frames: Vec<_> = (0..10).map(|n| text(n * 400_000_000, format!("[{n}]"))).collect();
    for path in paths {
        for written in (1..=frames.len()).map(|count| &frames[..count]) {
            let read = crash(&path, written);
            assert!(written.starts_with(&read));
            let (lost, last) = (&written[read.len()..], written[written.len() - 1].received_time);
            assert!(lost.iter().all(|frame| last - frame.received_time <= 1_000_000_000), "{path:?} lost {lost:?}");
        }
    }
}

#[test]
fn a_crash_loses_no_more_than_64_kib_of_a_burst() {
    let (_folder, paths) = files();
    let frames: Vec<_> = (0..100).map(|n| text(0, format!("\"{}\"", format!("{n:04}").repeat(1024)))).collect();
    for path in paths {
        let read = crash(&path, &frames);
        assert!(frames.starts_with(&read));
        assert!(frames.len() - read.len() <= 16, "{path:?} kept {} of {}", read.len(), frames.len());
    }
}

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Payload, RecordedFrame};

/// The format version that this program writes, and the only one it reads.
pub(crate) const VERSION: u64 = 1;

/// The first line of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    #[serde(rename = "quotegate_recording")]
    pub(crate) version: u64,
    /// The feed that was recorded, as settings name it.
    pub feed: String,
    /// `json` or `msgpack`.
    pub encoding: String,
    /// When the recording began, RFC 3339.
    pub started: String,
}

impl Header {
    /// A header for a recording that begins now.
    pub fn new(feed: &str, encoding: &str) -> Self {
        Self::of(feed, encoding, jiff::Timestamp::now())
    }

    /// A header for a recording that began at `nanos`, in nanoseconds since 1970-01-01 UTC.
    pub fn started_at(feed: &str, encoding: &str, nanos: i64) -> Self {
        Self::of(feed, encoding, jiff::Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default())
    }

    fn of(feed: &str, encoding: &str, started: jiff::Timestamp) -> Self {
        let started = started.to_string();
        Self { version: VERSION, feed: feed.to_owned(), encoding: encoding.to_owned(), started }
    }
}

/// One frame as a line. Exactly one of the three payload fields is set.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    at: i64,
    /// A text frame that is JSON on one line. Readable, and read back unchanged.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    frame: Option<&'a RawValue>,
    /// Any other text frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// A binary frame, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    binary: Option<String>,
}

/// Appends `frame` as a line to `bytes`.
pub(crate) fn write(frame: &RecordedFrame, bytes: &mut Vec<u8>) -> serde_json::Result<()> {
    let mut line = Line { at: frame.received_time, frame: None, text: None, binary: None };
    match &frame.payload {
        Payload::Text(text) => match raw(text) {
            Some(raw) => line.frame = Some(raw),
            None => line.text = Some(text.clone()),
        },
        Payload::Binary(binary) => line.binary = Some(STANDARD.encode(binary)),
    }
    serde_json::to_writer(&mut *bytes, &line)?;
    bytes.push(b'\n');
    Ok(())
}

/// `text` as raw JSON, if reading it back gives the same bytes. Whitespace around a value would be lost, and `null` would
/// be read as a missing field.
fn raw(text: &str) -> Option<&RawValue> {
    if text.contains(['\n', '\r']) || text == "null" {
        return None;
    }
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    (raw.get() == text).then_some(raw)
}

/// Parses a line, or says what is wrong with it.
pub(crate) fn read(line: &str) -> Result<RecordedFrame, String> {
    let line: Line<'_> = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let payload = match (line.frame, line.text, line.binary) {
        (Some(frame), None, None) => Payload::Text(frame.get().to_owned()),
        (None, Some(text), None) => Payload::Text(text),
        (None, None, Some(binary)) => {
            Payload::Binary(STANDARD.decode(binary).map_err(|error| format!("its base64 is broken: {error}"))?)
        }
        _ => return Err("it must have exactly one of `frame`, `text` and `binary`".to_owned()),
    };
    Ok(RecordedFrame { received_time: line.at, payload })
}

//! Recordings: files of websocket frames with their arrival times, readable by people.
//!
//! JSON lines: the first is a header, every other is a frame. Compressed with zstd if the file name ends in `.zst`.
//!
//! ```text
//! {"quotegate_recording":1,"feed":"iex","encoding":"json","started":"2026-11-23T14:30:00Z"}
//! {"at":1763908200000000000,"frame":[{"T":"success","msg":"connected"}]}
//! {"at":1763908200000001000,"binary":"kYKhVKdzdWNjZXNzo21zZ6ljb25uZWN0ZWQ="}
//! ```
//!
//! Knows nothing of what is in the frames.

mod error;
mod line;
mod reader;
mod writer;

pub use error::RecordingError;
pub use line::Header;
pub use reader::Recording;
pub use writer::RecordingWriter;

/// One websocket message and when it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedFrame {
    /// Nanoseconds since 1970-01-01 UTC.
    pub received_time: i64,
    /// Its payload.
    pub payload: Payload,
}

/// The payload of a websocket message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// A text frame, unchanged.
    Text(String),
    /// A binary frame.
    Binary(Vec<u8>),
}

//! Recordings: what came over a websocket, and when, as a file that people can read too.
//!
//! The first line is a header, each further line one frame, as JSON; the whole compressed with zstd if the name ends in
//! `.zst`:
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
    /// What it carried.
    pub payload: Payload,
}

/// What a websocket message carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// A text frame, byte for byte.
    Text(String),
    /// A binary frame.
    Binary(Vec<u8>),
}

use std::io;
use std::path::PathBuf;

/// Why a recording cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be opened.
    #[error("the recording {path} cannot be opened: {problem}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        problem: io::Error,
    },
    /// The file cannot be made.
    #[error("the recording {path} cannot be created: {problem}; choose a folder that exists and can be written to")]
    Create {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        problem: io::Error,
    },
    /// A full disk, most likely.
    #[error("the recording {path} cannot be written: {problem}; the frames before this are good")]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        problem: io::Error,
    },
    /// The first line is not a header.
    #[error("{path} is not a recording: its first line is not the header that `quotegate record` writes")]
    NotARecording {
        /// The file.
        path: PathBuf,
    },
    /// Made by a later quotegate.
    #[error("the recording {path} is of version {version}, this program reads version 1: use a newer quotegate")]
    Version {
        /// The file.
        path: PathBuf,
        /// The version that it says it has.
        version: u64,
    },
    /// The file ends in the middle of a line, or of its compressed data.
    #[error(
        "line {line} of the recording {path} is cut off; the {good} frames before it are good: to use them without this \
         error, keep the first {} lines (`zstd -dc` gives them from a compressed file)", .good + 1
    )]
    CutOff {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// Frames read before.
        good: u64,
    },
    /// A line that is whole and makes no sense.
    #[error("line {line} of the recording {path} is not a frame: {problem}; remove the line, or record again")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The file stops giving bytes.
    #[error("the recording {path} cannot be read on from line {line}: {problem}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The operating system's or the decompressor's words.
        problem: io::Error,
    },
}

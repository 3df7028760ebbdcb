use std::io;
use std::path::PathBuf;

/// Why a recording cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be opened.
    #[error("the recording {0} cannot be opened: {1}")]
    Open(PathBuf, io::Error),
    /// The file cannot be created.
    #[error("the recording {0} cannot be created: {1}; choose an existing, writable folder")]
    Create(PathBuf, io::Error),
    /// Most likely the disk is full.
    #[error("the recording {0} cannot be written: {1}; the frames before this are intact")]
    Write(PathBuf, io::Error),
    /// The first line is not a header.
    #[error("{0} is not a recording: its first line is not the header that `quotegate record` writes")]
    NotARecording(PathBuf),
    /// Written by a newer quotegate.
    #[error("the recording {0} has version {1}, but this program reads version 1: use a newer quotegate")]
    Version(PathBuf, u64),
    /// The file ends in the middle of a line, or of its compressed data.
    #[error(
        "line {line} of the recording {path} is cut off; the {good} frames before it are intact. To use them without this \
         error, keep the first {} lines (decompress with `zstd -dc`)", .good + 1
    )]
    CutOff {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The number of frames before it.
        good: u64,
    },
    /// A complete but invalid line.
    #[error("line {line} of the recording {path} is not a frame: {reason}; remove the line, or record again")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// Reading fails in the middle of the file.
    #[error("could not read line {line} of the recording {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The error of the operating system or the decompressor.
        error: io::Error,
    },
}

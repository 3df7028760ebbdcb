use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use crate::line::{self, Header, VERSION};
use crate::writer::is_compressed;
use crate::{RecordedFrame, RecordingError};

/// Reads a recording: an iterator over its frames, which ends after the first error.
pub struct Recording {
    path: PathBuf,
    header: Header,
    lines: Box<dyn BufRead + Send>,
    buffer: Vec<u8>,
    line: u64,
    ended: bool,
}

impl Recording {
    /// Opens the file and reads its header.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let open_error = |error| RecordingError::Open(path.to_owned(), error);
        let file = File::open(path).map_err(open_error)?;
        let mut lines: Box<dyn BufRead + Send> = if is_compressed(path) {
            Box::new(BufReader::new(zstd::Decoder::new(file).map_err(open_error)?))
        } else {
            Box::new(BufReader::new(file))
        };
        let not_a_recording = || RecordingError::NotARecording(path.to_owned());
        let mut buffer = Vec::new();
        // Limited, so that a file of another kind is not read to the end in search of a header.
        let mut first = std::io::Read::take(&mut lines, 64 * 1024);
        first.read_until(b'\n', &mut buffer).map_err(|_| not_a_recording())?;
        if buffer.last() != Some(&b'\n') {
            return Err(not_a_recording());
        }
        let version: Version = serde_json::from_slice(&buffer).map_err(|_| not_a_recording())?;
        if version.quotegate_recording != VERSION {
            return Err(RecordingError::Version(path.to_owned(), version.quotegate_recording));
        }
        let header = serde_json::from_slice(&buffer).map_err(|_| not_a_recording())?;
        Ok(Self { path: path.to_owned(), header, lines, buffer, line: 1, ended: false })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read_frame(&mut self) -> Result<Option<RecordedFrame>, RecordingError> {
        self.buffer.clear();
        self.line += 1;
        let (path, line) = (self.path.clone(), self.line);
        let cut_off = |path| RecordingError::CutOff { path, line, good: line - 2 };
        match self.lines.read_until(b'\n', &mut self.buffer) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(cut_off(path)),
            Err(error) => return Err(RecordingError::Read { path, line, error }),
        }
        if self.buffer.last() != Some(&b'\n') {
            return Err(cut_off(path));
        }
        let text = std::str::from_utf8(&self.buffer).map_err(|error| error.to_string());
        match text.and_then(line::read) {
            Ok(frame) => Ok(Some(frame)),
            Err(reason) => Err(RecordingError::Line { path, line, reason }),
        }
    }
}

#[derive(serde::Deserialize)]
struct Version {
    quotegate_recording: u64,
}

impl Iterator for Recording {
    type Item = Result<RecordedFrame, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let frame = self.read_frame().transpose();
        self.ended = !matches!(frame, Some(Ok(_)));
        frame
    }
}

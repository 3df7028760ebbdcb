use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::line::{self, Header};
use crate::{RecordedFrame, RecordingError};

/// Flush after this many uncompressed bytes, so that a crash loses little.
const FLUSH_BYTES: usize = 64 * 1024;
/// Flush after this time between frames, in nanoseconds.
const FLUSH_NANOS: i64 = 1_000_000_000;
/// Even the fastest level compresses JSON quotes tenfold.
const ZSTD_LEVEL: i32 = 3;

/// Writes a recording.
pub struct RecordingWriter {
    path: PathBuf,
    file: Output,
    line: Vec<u8>,
    unflushed: usize,
    flushed_at: i64,
}

enum Output {
    Plain(BufWriter<File>),
    Zstd(zstd::Encoder<'static, BufWriter<File>>),
}

impl RecordingWriter {
    /// Creates or overwrites the file and writes the header. Compressed if the name ends in `.zst`.
    pub fn create(path: &Path, header: &Header) -> Result<Self, RecordingError> {
        let create_error = |error| RecordingError::Create(path.to_owned(), error);
        let file = BufWriter::new(File::create(path).map_err(create_error)?);
        let file = if is_compressed(path) {
            Output::Zstd(zstd::Encoder::new(file, ZSTD_LEVEL).map_err(create_error)?)
        } else {
            Output::Plain(file)
        };
        let mut writer = Self { path: path.to_owned(), file, line: Vec::new(), unflushed: 0, flushed_at: i64::MIN };
        let written = (|| {
            serde_json::to_writer(writer.file.writer(), header)?;
            writer.file.writer().write_all(b"\n")?;
            writer.file.writer().flush()
        })();
        written.map_err(|error| writer.write_error(error))?;
        Ok(writer)
    }

    /// Adds a frame.
    pub fn write(&mut self, frame: &RecordedFrame) -> Result<(), RecordingError> {
        self.try_write(frame).map_err(|error| self.write_error(error))
    }

    /// Writes everything to disk.
    pub fn finish(self) -> Result<(), RecordingError> {
        let Self { path, file, .. } = self;
        let finish = || {
            let file = match file {
                Output::Plain(file) => file,
                Output::Zstd(file) => file.finish()?,
            };
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
        };
        finish().map_err(|error| RecordingError::Write(path, error))
    }

    fn try_write(&mut self, frame: &RecordedFrame) -> io::Result<()> {
        self.line.clear();
        line::write(frame, &mut self.line)?;
        self.file.writer().write_all(&self.line)?;
        self.unflushed += self.line.len();
        if self.unflushed > FLUSH_BYTES || frame.received_time.saturating_sub(self.flushed_at) > FLUSH_NANOS {
            self.file.writer().flush()?;
            self.unflushed = 0;
            self.flushed_at = frame.received_time;
        }
        Ok(())
    }

    fn write_error(&self, error: io::Error) -> RecordingError {
        RecordingError::Write(self.path.clone(), error)
    }
}

impl Output {
    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Plain(file) => file,
            Self::Zstd(file) => file,
        }
    }
}

pub(crate) fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "zst")
}

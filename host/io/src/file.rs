//! Reads whole files, up to a limit: a wrong path, such as a device that never ends, must not fill the memory.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The longest file of settings, fixtures or certificates. Ten thousand tenants fit.
pub const TEXT_LIMIT: usize = 16 * MIB;
/// The longest file with one secret.
pub const SECRET_LIMIT: usize = 64 * KIB;

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// [`ErrorKind::FileTooLarge`], which names the limit, if the file is longer.
pub fn read(path: &Path, limit: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("it is larger than {}", size(limit))));
    }
    Ok(bytes)
}

/// Reads a text of at most `limit` bytes.
///
/// # Errors
/// Those of [`read`], and [`ErrorKind::InvalidData`] if the file is not UTF-8.
pub fn read_text(path: &Path, limit: usize) -> Result<String> {
    String::from_utf8(read(path, limit)?).map_err(|_| Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

fn size(bytes: usize) -> String {
    if bytes >= MIB { format!("{} MiB", bytes / MIB) } else { format!("{} KiB", bytes / KIB) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_never_ends_is_refused_with_the_limit() {
        for (limit, told) in [(SECRET_LIMIT, "it is larger than 64 KiB"), (TEXT_LIMIT, "it is larger than 16 MiB")] {
            let error = read(Path::new("/dev/zero"), limit).unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::FileTooLarge, told));
        }
    }

    #[test]
    fn a_file_may_be_as_long_as_the_limit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "ä").unwrap();
        assert_eq!(read_text(file.path(), 2).unwrap(), "ä");
        assert_eq!(read(file.path(), 1).unwrap_err().kind(), ErrorKind::FileTooLarge);
        std::fs::write(file.path(), b"\xff").unwrap();
        assert_eq!(read_text(file.path(), 2).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}

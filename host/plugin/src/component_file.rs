use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::component_limits::ComponentLimits;
use crate::validate::{PluginError, check_size};

/// Why a component's file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ComponentFileError {
    /// It is missing, or the like.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It is larger than allowed.
    #[error(transparent)]
    Rejected(#[from] PluginError),
}

/// Reads a component's file if it is not larger than allowed.
pub fn read_component(path: &Path, limits: &ComponentLimits) -> Result<Vec<u8>, ComponentFileError> {
    // Before it is opened, because opening a pipe waits for its writer.
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file").into());
    }
    check_size(metadata.len(), limits)?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    // It may have grown meanwhile.
    File::open(path)?.take(limits.bytes as u64 + 1).read_to_end(&mut bytes)?;
    check_size(bytes.len() as u64, limits)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let limits = ComponentLimits::default();
        // Without any of its bytes on disk. Reading it would take all memory.
        file.as_file().set_len(1 << 43).unwrap();
        let error = read_component(file.path(), &limits).unwrap_err().to_string();
        assert!(error.starts_with("It has 8796093022208 bytes, but at most 67108864 are allowed."), "{error}");
        file.as_file().set_len(limits.bytes as u64 + 1).unwrap();
        assert!(matches!(read_component(file.path(), &limits), Err(ComponentFileError::Rejected(_))));
        file.as_file().set_len(3).unwrap();
        assert_eq!(read_component(file.path(), &limits).unwrap(), [0, 0, 0]);
    }

    #[test]
    fn a_device_or_folder_is_not_read() {
        for path in ["/dev/zero", "/"] {
            let error = read_component(Path::new(path), &ComponentLimits::default()).unwrap_err();
            assert!(matches!(error, ComponentFileError::Read(_)), "{path}: {error}");
        }
    }
}

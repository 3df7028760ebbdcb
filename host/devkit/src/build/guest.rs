//! What JavaScript and Python builds have in common: the project's WIT, a temporary folder, and reading the component.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::BuildError;
use crate::project::Project;

/// The project's WIT, which `quotegate plugin new` created.
pub(super) fn wit(project: &Project) -> Result<PathBuf, BuildError> {
    let wit = project.folder.join("quotegate/wit").join(crate::create::WIT);
    match wit.canonicalize() {
        Ok(wit) => Ok(wit),
        Err(_) => Err(BuildError::Source(format!(
            "{} is missing, but the plugin is built against it. `quotegate plugin new` creates it: copy the folder quotegate \
             from a new project.",
            wit.display()
        ))),
    }
}

/// Deleted when the build ends.
pub(super) fn temporary_folder() -> Result<TempDir, BuildError> {
    tempfile::tempdir().map_err(|reason| BuildError::File { path: std::env::temp_dir(), reason })
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), BuildError> {
    fs::write(path, text).map_err(|reason| BuildError::File { path: path.to_owned(), reason })
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    fs::read(path).map_err(|reason| BuildError::File { path: path.to_owned(), reason })
}

/// The command that installs what the project needs, relative to the current folder.
pub(super) fn install(folder: &Path, command: &str) -> String {
    match folder.to_string_lossy().as_ref() {
        "." | "" => command.to_owned(),
        folder => format!("cd '{}' && {command}", folder.replace('\'', r"'\''")),
    }
}

//! What building JavaScript and Python has in common: a project's WIT, a place outside it for what is only needed
//! meanwhile, and the component that a tool left there.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::BuildError;
use crate::project::Project;

/// The WIT that the project is written against, which `quotegate plugin new` put there.
pub(super) fn wit(project: &Project) -> Result<PathBuf, BuildError> {
    let wit = project.folder.join("quotegate/wit").join(crate::create::WIT);
    match wit.canonicalize() {
        Ok(wit) => Ok(wit),
        Err(_) => Err(BuildError::Source(format!(
            "{} is missing, against which the plugin is built. `quotegate plugin new` puts it into every project: copy the \
             folder quotegate from a new one.",
            wit.display()
        ))),
    }
}

/// A folder that goes away when the build is over.
pub(super) fn stage() -> Result<TempDir, BuildError> {
    tempfile::tempdir().map_err(|reason| BuildError::File { path: std::env::temp_dir(), reason })
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), BuildError> {
    fs::write(path, text).map_err(|reason| BuildError::File { path: path.to_owned(), reason })
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    fs::read(path).map_err(|reason| BuildError::File { path: path.to_owned(), reason })
}

/// The command that installs what a project lacks, to be typed where the user is.
pub(super) fn install(folder: &Path, command: &str) -> String {
    match folder.to_string_lossy().as_ref() {
        "." | "" => command.to_owned(),
        folder => format!("cd '{}' && {command}", folder.replace('\'', r"'\''")),
    }
}

//! What JavaScript and Python builds have in common: the project's WIT, a temporary folder, and reading the component.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;

use crate::project::Project;

/// The project's WIT, which `quotegate plugin new` created.
pub(super) fn wit(project: &Project) -> Result<PathBuf> {
    let wit = project.folder.join("quotegate/wit").join(crate::create::WIT);
    wit.canonicalize().map_err(|_| {
        anyhow!(
            "{} is missing, but the plugin is built against it. `quotegate plugin new` creates it: copy the folder quotegate \
             from a new project.",
            wit.display()
        )
    })
}

/// Deleted when the build ends.
pub(super) fn temporary_folder() -> Result<TempDir> {
    tempfile::tempdir().with_context(|| std::env::temp_dir().display().to_string())
}

pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| path.display().to_string())
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

/// The command that installs what the project needs, relative to the current folder.
pub(super) fn install(folder: &Path, command: &str) -> String {
    match folder.to_string_lossy().as_ref() {
        "." | "" => command.to_owned(),
        folder => format!("cd '{}' && {command}", folder.replace('\'', r"'\''")),
    }
}

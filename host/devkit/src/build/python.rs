//! Builds Python with componentize-py.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::guest::{self, read, temporary_folder, write};
use super::{OnProgress, Progress, missing, tool};
use crate::project::Project;

/// Created by pip and Python.
pub(super) const BUILD_FOLDERS: &[&str] = &[".venv", "__pycache__"];

/// Installs the tool into the project, in the version of `requirements.txt`.
pub(super) const SETUP_COMMAND: Option<&str> =
    Some("python3 -m venv .venv && .venv/bin/pip install --quiet -r requirements.txt");

const TOOL: &str = "componentize-py";

/// The entry module.
const ENTRY: &str = "quotegate_entry";

pub(super) fn build(project: &Project, on_progress: &mut OnProgress<'_>) -> Result<Vec<u8>> {
    let venv = project.folder.join(".venv");
    let Some(program) = program(&venv) else {
        let what = format!("{TOOL}, which builds Python plugins,");
        return Err(missing(&what, &install(&project.folder)));
    };
    let wit = guest::wit(project)?;
    let work = temporary_folder()?;
    let (module, out) = (work.path().join(format!("{ENTRY}.py")), work.path().join("component.wasm"));
    write(&module, &entry(project))?;
    on_progress(Progress::Step("building with componentize-py, which takes a few seconds"));
    let mut command = Command::new(program);
    command
        .args(["--quiet", "--world", project.kind.world(), "--wit-path"])
        .arg(wit)
        // Without the stubs it would import WASI, which the host does not provide.
        .args(["componentize", "--stub-wasi", "--python-path"])
        .arg(&project.folder)
        .arg("--python-path")
        .arg(work.path())
        .arg("--output")
        .arg(&out)
        .arg(ENTRY)
        // Includes the project's pure Python packages.
        .env("VIRTUAL_ENV", venv);
    tool::run(&mut command, (TOOL, &install(&project.folder)), on_progress)?;
    read(&out)
}

fn entry(project: &Project) -> String {
    let kind = project.kind.name();
    format!(
        "from componentize_py_types import Err\n\
         from wit_world.imports import host, types\n\
         import plugin\n\
         import quotegate\n\
         Lifecycle, Filter, Mapping = quotegate.exports(\"{kind}\", host, types, Err)\n"
    )
}

/// From the project, or else from PATH.
fn program(venv: &Path) -> Option<PathBuf> {
    let own = venv.join("bin").join(TOOL);
    if own.is_file() { own.canonicalize().ok() } else { tool::find(TOOL) }
}

fn install(folder: &Path) -> String {
    guest::install(folder, SETUP_COMMAND.unwrap_or_default())
}

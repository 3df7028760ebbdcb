//! Builds a project, in any language, into a component that the host accepts. Installs nothing: if a tool is missing, the
//! error has the command that installs it.

mod guest;
mod javascript;
mod python;
mod rust;
mod tool;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use quotegate_plugin::{PluginEngine, PreparedPlugin, Sha256Hash};

use crate::project::{Kind, Language, Project};

/// Smaller components compile so fast that no message is needed.
const SLOW_TO_COMPILE: usize = 1 << 20;

/// A message of a running build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// What it does next.
    Step(&'a str),
    /// A line of a tool's output.
    Output(&'a str),
}

/// Receives the messages of a build.
pub type OnProgress<'a> = dyn FnMut(Progress<'_>) + 'a;

/// A built component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Its file.
    pub component: PathBuf,
    /// Its size.
    pub bytes: usize,
    /// Its hash, which tenants can pin.
    pub sha256: Sha256Hash,
}

/// The error for a tool that is not installed.
fn missing(what: &str, command: &str) -> anyhow::Error {
    anyhow!("{what} is missing. Install it: {command}")
}

/// Builds the project's component, validates it like the host, and writes it into the project. An existing component is
/// only replaced by a valid one.
pub fn build(project: &Project, engine: &PluginEngine, on_progress: &mut OnProgress<'_>) -> Result<Built> {
    let bytes = match project.language {
        Language::Rust => rust::build(project, on_progress),
        Language::JavaScript => javascript::build(project, on_progress),
        Language::Python => python::build(project, on_progress),
    }?;
    if bytes.len() >= SLOW_TO_COMPILE && !engine.has_compiled(&Sha256Hash::of(&bytes)) {
        on_progress(Progress::Step(&format!(
            "compiling its {} MiB like the host; the result is cached",
            bytes.len() >> 20
        )));
    }
    let plugin = PreparedPlugin::new(engine, &project.name, &bytes, None)
        .map_err(|error| anyhow!("The build worked, but the host would reject the component. {error}"))?;
    let (found, name) = match (plugin.filters(), plugin.maps()) {
        (true, true) => (Kind::Both, "filter and a map"),
        (true, false) => (Kind::Filter, "filter"),
        _ => (Kind::Map, "map"),
    };
    if found != project.kind {
        let kind = project.kind.name();
        bail!("plugin.toml says kind = {kind:?}, but the component is a {name}. Change one of them.");
    }
    let component = project.component();
    replace(&component, &bytes).with_context(|| component.display().to_string())?;
    Ok(Built { component, bytes: bytes.len(), sha256: plugin.sha256() })
}

/// Names of the folders that build tools and package managers create in a project.
pub(crate) const fn build_folders(language: Language) -> &'static [&'static str] {
    match language {
        Language::Rust => rust::BUILD_FOLDERS,
        Language::JavaScript => javascript::BUILD_FOLDERS,
        Language::Python => python::BUILD_FOLDERS,
    }
}

/// The command that prepares a new project for its first build.
pub const fn setup_command(language: Language) -> Option<&'static str> {
    match language {
        Language::Rust => rust::SETUP_COMMAND,
        Language::JavaScript => javascript::SETUP_COMMAND,
        Language::Python => python::SETUP_COMMAND,
    }
}

/// Atomic, so that other programs see either the old or the new file.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("wasm.new");
    fs::write(&draft, bytes)?;
    fs::rename(&draft, path)
}

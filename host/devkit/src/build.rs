//! From a project's source to a component that the host accepts, whatever the language. Installs nothing: what is missing
//! is named, with the command that installs it.

mod guest;
mod javascript;
mod python;
mod rust;
mod tool;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use quotegate_plugin::{PluginEngine, PluginError, PreparedPlugin, Sha256Hash};

use crate::project::{Kind, Language, Project};

/// A component that is smaller compiles before anyone wonders.
const WORTH_A_LINE: usize = 1 << 20;

/// What a build tells while it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// What it does now, in a sentence.
    Step(&'a str),
    /// A line that a tool printed.
    Output(&'a str),
}

/// Who listens to a build.
pub type OnProgress<'a> = dyn FnMut(Progress<'_>) + 'a;

/// A component that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Its file.
    pub component: PathBuf,
    /// Its size.
    pub bytes: usize,
    /// What a tenant pins.
    pub sha256: Sha256Hash,
}

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A tool is not there.
    #[error("{what} is missing. Install it: {command}")]
    Missing {
        /// The tool.
        what: String,
        /// What to run.
        command: String,
    },
    /// A tool failed, and has said why.
    #[error("{tool} failed ({status}): see what it says above.")]
    Tool {
        /// Its name.
        tool: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// The project cannot become a component as it is.
    #[error("{0}")]
    Source(String),
    /// A file that cannot be read, written or started.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        reason: io::Error,
    },
    /// The host would not take it.
    #[error("It was built, but the host would not accept it. {0}")]
    Refused(Box<PluginError>),
    /// It is not what `plugin.toml` says.
    #[error("plugin.toml says kind = {:?}, but what was built is a {found}. Change one of them.", kind.name())]
    Kind {
        /// As `plugin.toml` says.
        kind: Kind,
        /// What it exports.
        found: &'static str,
    },
}

/// Builds the project's component, checks it as the host would, and writes it where the project has it. A component that
/// is there already is replaced only by one that the host accepts.
///
/// # Errors
/// [`BuildError`].
pub fn build(project: &Project, engine: &PluginEngine, on_progress: &mut OnProgress<'_>) -> Result<Built, BuildError> {
    let bytes = match project.language {
        Language::Rust => rust::build(project, on_progress),
        Language::JavaScript => javascript::build(project, on_progress),
        Language::Python => python::build(project, on_progress),
    }?;
    if bytes.len() >= WORTH_A_LINE && !engine.has_compiled(&Sha256Hash::of(&bytes)) {
        on_progress(Progress::Step(&format!(
            "compiling its {} MiB as the host does; once, the result is kept",
            bytes.len() >> 20
        )));
    }
    let plugin = PreparedPlugin::new(engine, &project.name, &bytes, None)
        .map_err(|problem| BuildError::Refused(Box::new(problem)))?;
    let (found, name) = match (plugin.filters(), plugin.maps()) {
        (true, true) => (Kind::Both, "filter and a map"),
        (true, false) => (Kind::Filter, "filter"),
        _ => (Kind::Map, "map"),
    };
    if found != project.kind {
        return Err(BuildError::Kind { kind: project.kind, found: name });
    }
    let component = project.component();
    replace(&component, &bytes).map_err(|reason| BuildError::File { path: component.clone(), reason })?;
    Ok(Built { component, bytes: bytes.len(), sha256: plugin.sha256() })
}

/// Names of folders, anywhere in a project of this language, that builds and package managers fill.
pub(crate) const fn build_folders(language: Language) -> &'static [&'static str] {
    match language {
        Language::Rust => rust::BUILD_FOLDERS,
        Language::JavaScript => javascript::BUILD_FOLDERS,
        Language::Python => python::BUILD_FOLDERS,
    }
}

/// What a new project needs once, before its first build, as a command.
pub const fn setup_command(language: Language) -> Option<&'static str> {
    match language {
        Language::Rust => rust::SETUP_COMMAND,
        Language::JavaScript => javascript::SETUP_COMMAND,
        Language::Python => python::SETUP_COMMAND,
    }
}

/// Whoever reads the file meanwhile, such as a host that watches it, sees the old one or the new one.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("wasm.new");
    fs::write(&draft, bytes)?;
    fs::rename(&draft, path)
}

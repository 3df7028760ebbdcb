//! What several verbs need: the component, an engine that meters fuel, colors.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::anyhow;
use quotegate_config::LogFormat;
use quotegate_devkit::{Setup, Target};
use quotegate_loader::user_cache_folder;
use quotegate_plugin::{
    ComponentFileError, ComponentLimits, EngineError, EngineSettings, PluginEngine, PreparedPlugin, Sha256Hash,
    read_component,
};
use quotegate_runtime::log;

use tracing_appender::non_blocking::WorkerGuard;

use crate::Failure;
use crate::output::errln;

/// Smaller components compile so fast that no message is needed.
const SLOW_TO_COMPILE: usize = 1 << 20;

const WANTED: &str = "a component, or the folder of a plugin project";

/// The component at `path`, or the one of the project there.
pub(super) fn find(path: &Path) -> Result<Target, Failure> {
    let target = Target::find(path).map_err(|error| Failure::Usage(error.into()))?;
    if target.component.is_file() {
        return Ok(target);
    }
    let file = target.component.display();
    Err(Failure::Usage(match &target.project {
        Some(project) => {
            anyhow!("{file} does not exist. Run `quotegate plugin build {}` first.", project.folder.display())
        }
        None if target.component.exists() => anyhow!("{file} is not a regular file. Give {WANTED}."),
        None => anyhow!("{file} does not exist. Give {WANTED}."),
    }))
}

/// The setup in a file.
pub(super) fn open(setup: &Path) -> Result<Setup, Failure> {
    Setup::open(setup).map_err(|error| Failure::Usage(error.into()))
}

/// An engine that meters fuel, for plugins with up to this much memory.
pub(super) fn engine(memory_bytes: usize) -> Result<PluginEngine, Failure> {
    let settings = EngineSettings {
        instances: 8,
        memory_bytes: memory_bytes.max(EngineSettings::default().memory_bytes),
        cache: user_cache_folder(),
        metering: true,
        ..EngineSettings::default()
    };
    match PluginEngine::new(&settings) {
        Err(EngineError::Cache(folder, reason)) => {
            let folder = folder.display();
            errln!("compiled plugins are not cached, because {folder} cannot be used: {reason}");
            PluginEngine::new(&EngineSettings { cache: None, ..settings })
        }
        other => other,
    }
    .map_err(|error| Failure::Running(error.into()))
}

/// Reads a component's file, unless it is larger than a host allows.
pub(super) fn read(target: &Target) -> anyhow::Result<Vec<u8>> {
    let file = target.component.display();
    read_component(&target.component, &ComponentLimits::default()).map_err(|error| match error {
        ComponentFileError::Read(error) => anyhow!("{file} cannot be read: {error}"),
        ComponentFileError::Rejected(error) => anyhow!("{file} is not accepted. {error}"),
    })
}

/// Validates and compiles a component.
pub(super) async fn prepare(engine: &PluginEngine, target: &Target) -> Result<PreparedPlugin, Failure> {
    let (file, name) = (target.component.display(), &target.name);
    let bytes = read(target)?;
    if bytes.len() >= SLOW_TO_COMPILE && !engine.has_compiled(&Sha256Hash::of(&bytes)) {
        errln!("compiling {file} ({} MiB); the result is cached", bytes.len() >> 20);
    }
    let prepared = PreparedPlugin::load(engine, name, bytes, None).await;
    prepared.map_err(|error| Failure::Running(anyhow!("{file} is not accepted. {error}")))
}

/// Shows warnings, and everything that plugins log.
pub(super) fn start_log() -> Result<WorkerGuard, Failure> {
    log::start(LogFormat::Pretty, "warn,quotegate_plugin::state=debug,quotegate_plugin::stage=error")
        .map_err(Failure::Usage)
}

/// Colors for terminals.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint(bool);

impl Paint {
    /// For standard output.
    pub(super) fn new() -> Self {
        Self(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
    }

    pub(super) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// A line of a diff: `-` is expected, `+` is actual.
    pub(super) fn difference(self, line: &str) -> String {
        match line.as_bytes().first() {
            Some(b'-') => self.bad(line),
            Some(b'+') => self.good(line),
            _ => line.to_owned(),
        }
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

use std::path::{Path, PathBuf};

use wasmtime::{Config, Engine};

use crate::accept::{PluginError, check_bytes};
use crate::address_space::AllocatorChoice;
use crate::cache::{create_folder, file_path, keep, target_any_server};
use crate::engine::{EngineError, base_config};
use crate::prepare::Sha256Hash;

/// Compiles components when an image is built, so that a host that starts in it needs no compiler.
///
/// It cannot know how that host will get memory, so it compiles for each way ([`AllocatorChoice`]); and it compiles not
/// for the processor that it runs on, but for any server's. Where the code does not fit all the same, the host compiles
/// anew.
#[derive(Debug)]
pub struct Precompiler {
    folder: PathBuf,
    /// Each with the kind of its files.
    engines: Vec<(String, Engine)>,
}

/// Why a component was not compiled ahead of time.
#[derive(Debug, thiserror::Error)]
pub enum PrecompileError {
    /// The host would not take it either.
    #[error(transparent)]
    Component(#[from] PluginError),
    /// The folder does not take the file.
    #[error("{} cannot be written: {reason}.", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        reason: std::io::Error,
    },
}

impl Precompiler {
    /// Makes the folder if it is not there. `memory_bytes` is that of the host's [`crate::EngineSettings`].
    pub fn new(folder: &Path, memory_bytes: usize) -> Result<Self, EngineError> {
        create_folder(folder)
            .map_err(|error| EngineError::Cache { folder: folder.into(), reason: error.to_string() })?;
        let engine = |allocator: AllocatorChoice| {
            let engine = portable_config(allocator, memory_bytes).and_then(|config| Engine::new(&config));
            let engine = engine.map_err(|error| EngineError::Engine { allocator, reason: format!("{error:#}") })?;
            Ok((allocator.portable_kind(memory_bytes), engine))
        };
        let engines = AllocatorChoice::ALL.into_iter().map(engine).collect::<Result<_, _>>()?;
        Ok(Self { folder: folder.into(), engines })
    }

    /// Compiles one component and keeps the code. Gives the size of what a host will load.
    pub fn add(&self, component: &[u8]) -> Result<usize, PrecompileError> {
        check_bytes(component)?;
        let sha256 = Sha256Hash::of(component);
        let mut largest = 0;
        for (kind, engine) in &self.engines {
            let code = engine
                .precompile_component(component)
                .map_err(|error| PluginError::Invalid { reason: format!("{error:#}") })?;
            let path = file_path(&self.folder, &sha256, kind);
            keep(&path, &sha256, kind, &code).map_err(|reason| PrecompileError::Write { path, reason })?;
            largest = largest.max(code.len());
        }
        Ok(largest)
    }
}

fn portable_config(allocator: AllocatorChoice, memory_bytes: usize) -> wasmtime::Result<Config> {
    let mut config = base_config();
    // Nothing runs here, so one slot is enough of a pool.
    allocator.apply(&mut config, 1, memory_bytes);
    target_any_server(&mut config)?;
    Ok(config)
}

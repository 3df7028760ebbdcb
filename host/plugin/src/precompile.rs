use std::path::{Path, PathBuf};

use wasmtime::{Config, Engine};

use crate::allocator::AllocatorChoice;
use crate::cache::{create_folder, file_path, target_any_server, write_file};
use crate::component_limits::ComponentLimits;
use crate::engine::{EngineError, base_config};
use crate::hash::Sha256Hash;
use crate::validate::{PluginError, validate};

/// Compiles components when an image is built, so that the host in it does not have to.
///
/// Which allocator that host will choose is unknown, so it compiles for each [`AllocatorChoice`], and for any server
/// processor instead of the current one. If the code still does not fit, the host compiles the component again.
#[derive(Debug)]
pub struct Precompiler {
    folder: PathBuf,
    limits: ComponentLimits,
    /// Each with the kind in its file names.
    engines: Vec<(String, Engine)>,
}

/// Why a component was not compiled ahead of time.
#[derive(Debug, thiserror::Error)]
pub enum PrecompileError {
    /// The host would reject it, too.
    #[error(transparent)]
    Component(#[from] PluginError),
    /// The file could not be written.
    #[error("Cannot write {0}: {1}.")]
    Write(PathBuf, std::io::Error),
}

impl Precompiler {
    /// Creates the folder if necessary. `memory_bytes` and `limits` must be those of the host's [`crate::EngineSettings`].
    pub fn new(folder: &Path, memory_bytes: usize, limits: &ComponentLimits) -> Result<Self, EngineError> {
        create_folder(folder).map_err(|error| EngineError::Cache(folder.into(), error.to_string()))?;
        let engine = |allocator: AllocatorChoice| {
            let engine = portable_config(allocator, memory_bytes, limits).and_then(|config| Engine::new(&config));
            let engine = engine.map_err(|error| EngineError::Engine(allocator, format!("{error:#}")))?;
            Ok((allocator.portable_kind(memory_bytes), engine))
        };
        let engines = AllocatorChoice::ALL.into_iter().map(engine).collect::<Result<_, _>>()?;
        Ok(Self { folder: folder.into(), limits: limits.clone(), engines })
    }

    /// Compiles one component and stores the code. Returns the size of the code that a host will load.
    pub fn add(&self, component: &[u8]) -> Result<usize, PrecompileError> {
        let sha256 = Sha256Hash::of(component);
        let mut largest = 0;
        for (kind, engine) in &self.engines {
            validate(component, &self.limits, engine.get_wasm_features())?;
            let code =
                engine.precompile_component(component).map_err(|error| PluginError::Invalid(format!("{error:#}")))?;
            let path = file_path(&self.folder, &sha256, kind);
            write_file(&path, &sha256, kind, &code).map_err(|reason| PrecompileError::Write(path, reason))?;
            largest = largest.max(code.len());
        }
        Ok(largest)
    }
}

fn portable_config(
    allocator: AllocatorChoice,
    memory_bytes: usize,
    limits: &ComponentLimits,
) -> wasmtime::Result<Config> {
    let mut config = base_config();
    // Nothing runs here, so a pool of one slot is enough.
    allocator.apply(&mut config, 1, memory_bytes, limits);
    target_any_server(&mut config)?;
    Ok(config)
}

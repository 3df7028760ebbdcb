use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::{Config, Engine, OptLevel};

use crate::address_space::{AllocatorChoice, GUEST_STACK, choose, switch_off_gc};
use crate::cache::CodeCache;
use crate::prepare::Sha256Hash;
use crate::ticker::Ticker;

/// What the one engine of a process is made for.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Plugin instances that may live at once: tenants times plugins, and as many again while one is being swapped.
    pub instances: u32,
    /// The largest `memory_bytes` of any plugin's limits.
    pub memory_bytes: usize,
    /// A folder for compiled code, which nobody but this user and root may write to; `None`: compile at every start.
    /// It can be read-only: then what is not in it is compiled at every start.
    pub cache: Option<PathBuf>,
    /// The allocator; `None`: the fastest that the operating system grants.
    pub allocator: Option<AllocatorChoice>,
    /// Counts what guests execute ([`crate::PluginInstance::fuel_used`]). Their code is compiled for it, in a hurry, so that
    /// it is slower, and kept apart in the cache: for an author's desk, never for a host at work.
    pub metering: bool,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self { instances: 1000, memory_bytes: 64 << 20, cache: None, allocator: None, metering: false }
    }
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// wasmtime refused the settings or the machine.
    #[error(
        "The WebAssembly engine does not start with {allocator} memory: {reason}. Give fewer plugins, lower `limits.memory_mib`, or allow more address space (`ulimit -v`)."
    )]
    Engine {
        /// The allocator that was tried.
        allocator: AllocatorChoice,
        /// wasmtime's words.
        reason: String,
    },
    /// No thread for the clock of the time limits.
    #[error("The thread that enforces time limits of plugins does not start: {0}. Allow the process more threads.")]
    Ticker(std::io::Error),
    /// The cache folder cannot be used.
    #[error("The folder {} for compiled plugins cannot be used: {reason}. Give one that belongs to this user or to root, and that nobody else can write to.", folder.display())]
    Cache {
        /// As the settings name it.
        folder: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The compiler and the home of all plugins. One a process; cheap to clone. Time limits are kept as long as one clone lives.
#[derive(Debug, Clone)]
pub struct PluginEngine {
    pub(crate) inner: Arc<EngineInner>,
}

#[derive(Debug)]
pub(crate) struct EngineInner {
    pub(crate) engine: Engine,
    pub(crate) cache: Option<CodeCache>,
    pub(crate) metering: bool,
    allocator: AllocatorChoice,
    _ticker: Ticker,
}

impl PluginEngine {
    /// Probes the address space, makes the engine and starts its clock.
    pub fn new(settings: &EngineSettings) -> Result<Self, EngineError> {
        let allocator = settings.allocator.unwrap_or_else(|| choose(settings.instances, settings.memory_bytes));
        let mut config = base_config();
        config.consume_fuel(settings.metering);
        if settings.metering {
            // An author waits for the compiler at every save, and fuel is the same however good the code is.
            config.cranelift_opt_level(OptLevel::None);
        }
        allocator.apply(&mut config, settings.instances, settings.memory_bytes);
        let engine =
            Engine::new(&config).map_err(|error| EngineError::Engine { allocator, reason: format!("{error:#}") })?;
        let portable = allocator.portable_kind(settings.memory_bytes);
        let open = |folder| CodeCache::open(folder, &engine, portable);
        let cache = settings.cache.as_deref().map(open).transpose()?.flatten();
        let ticker = Ticker::start(&engine).map_err(EngineError::Ticker)?;
        tracing::info!(event_type = "plugin_engine", %allocator, instances = settings.instances, "the plugin engine is ready");
        let metering = settings.metering;
        Ok(Self { inner: Arc::new(EngineInner { engine, cache, metering, allocator, _ticker: ticker }) })
    }

    /// Whether compiled code for these bytes is in the cache, so that they will not be compiled.
    pub fn has_compiled(&self, plugin: &Sha256Hash) -> bool {
        self.inner.cache.as_ref().is_some_and(|cache| cache.has(plugin))
    }

    /// How memories get their address space here.
    pub fn allocator(&self) -> AllocatorChoice {
        self.inner.allocator
    }
}

/// Everything off that a pure computation does not need: most advisories of the last year concern just those parts.
pub(crate) fn base_config() -> Config {
    let mut config = Config::new();
    switch_off_gc(&mut config);
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .wasm_threads(false)
        .shared_memory(false)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false)
        .cranelift_opt_level(OptLevel::Speed)
        .max_wasm_stack(GUEST_STACK.get());
    config
}

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use wasmtime::{Config, Engine, OptLevel};

use crate::allocator::{AllocatorChoice, GUEST_STACK, choose, disable_gc};
use crate::cache::CodeCache;
use crate::component_limits::ComponentLimits;
use crate::hash::Sha256Hash;
use crate::ticker::Ticker;
use crate::time_share::{SharedBucket, TimeBucket};

/// How to create the process's engine.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// The most plugin instances at once: those of all tenants, twice, because a reload starts new chains before it stops the
    /// old ones.
    pub instances: u32,
    /// The largest `memory_bytes` of any plugin's limits.
    pub memory_bytes: usize,
    /// What a component may contain.
    pub component_limits: ComponentLimits,
    /// A folder for compiled code that only this user and root may write to. If it is read-only, plugins that are not in it
    /// are compiled at every start; with `None`, all are.
    pub cache: Option<PathBuf>,
    /// How much compiled code the folder may hold, in bytes. Above it, the files that were not used for the longest time
    /// are deleted.
    pub cache_bytes: u64,
    /// The allocator; `None` for the fastest that the operating system allows.
    pub allocator: Option<AllocatorChoice>,
    /// Meter the guests' fuel ([`crate::PluginInstance::fuel_used`]). Metered code is compiled separately and without
    /// optimization, so it is for the authoring tools only.
    pub metering: bool,
    /// How many processors all plugins together may use, 1.5 for one and a half.
    pub processors: f64,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            instances: 1000,
            memory_bytes: 64 << 20,
            component_limits: ComponentLimits::default(),
            cache: None,
            cache_bytes: 1 << 30,
            allocator: None,
            metering: false,
            processors: f64::INFINITY,
        }
    }
}

/// Why the engine could not be created.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// wasmtime rejected the settings or the machine, with this allocator.
    #[error(
        "Could not start the WebAssembly engine with {0} memory: {1}. Configure fewer plugins, lower `limits.memory_mib`, or allow more address space (`ulimit -v`)."
    )]
    Engine(AllocatorChoice, String),
    /// The ticker's thread.
    #[error(
        "Could not start the thread that enforces the time limits of plugins: {0}. Allow the process more threads."
    )]
    Ticker(std::io::Error),
    /// The cache folder is unusable.
    #[error(
        "Cannot use the folder {0} for compiled plugins: {1}. Choose one that belongs to this user or to root and that no one else can write to."
    )]
    Cache(PathBuf, String),
}

/// Compiles and runs all plugins of the process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PluginEngine {
    pub(crate) inner: Arc<EngineInner>,
}

#[derive(Debug)]
pub(crate) struct EngineInner {
    pub(crate) engine: Engine,
    pub(crate) cache: Option<CodeCache>,
    pub(crate) metering: bool,
    pub(crate) component_limits: ComponentLimits,
    /// The processor time of all plugins.
    pub(crate) time: SharedBucket,
    /// Set at shutdown: every call ends as soon as it notices.
    pub(crate) stops_calls: Arc<AtomicBool>,
    allocator: AllocatorChoice,
    pub(crate) ticker: Ticker,
}

impl PluginEngine {
    /// Chooses an allocator, creates the engine and starts its ticker.
    pub fn new(settings: &EngineSettings) -> Result<Self, EngineError> {
        let limits = settings.component_limits.clone();
        let allocator =
            settings.allocator.unwrap_or_else(|| choose(settings.instances, settings.memory_bytes, &limits));
        let mut config = base_config();
        config.consume_fuel(settings.metering);
        if settings.metering {
            // Authors wait for the compiler after every save, and fuel does not depend on optimization.
            config.cranelift_opt_level(OptLevel::None);
        }
        allocator.apply(&mut config, settings.instances, settings.memory_bytes, &limits);
        let engine = Engine::new(&config).map_err(|error| EngineError::Engine(allocator, format!("{error:#}")))?;
        let portable = allocator.portable_kind(settings.memory_bytes);
        let open = |folder| CodeCache::open(folder, settings.cache_bytes, &engine, portable);
        let cache = settings.cache.as_deref().map(open).transpose()?.flatten();
        let ticker = Ticker::start(&engine).map_err(EngineError::Ticker)?;
        tracing::info!(event_type = "plugin_engine", %allocator, instances = settings.instances, "the plugin engine is ready");
        let (metering, component_limits) = (settings.metering, limits);
        let time = TimeBucket::shared(settings.processors);
        let stops_calls = Arc::default();
        let inner = EngineInner { engine, cache, metering, component_limits, time, stops_calls, allocator, ticker };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether the cache has code for the component with this hash.
    pub fn has_compiled(&self, plugin: &Sha256Hash) -> bool {
        self.inner.cache.as_ref().is_some_and(|cache| cache.has(plugin))
    }

    /// Stops every call that runs, within some milliseconds, and every later one that takes as long. For the end of the
    /// process, which must not wait for them.
    pub fn stop_calls(&self) {
        self.inner.stops_calls.store(true, Relaxed);
    }

    /// How memories get their address space.
    pub fn allocator(&self) -> AllocatorChoice {
        self.inner.allocator
    }
}

/// Disables whatever a pure computation does not need. Most of last year's security advisories are about those features.
pub(crate) fn base_config() -> Config {
    let mut config = Config::new();
    disable_gc(&mut config);
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

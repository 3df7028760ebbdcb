use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::Component;

use crate::bindings::Interface;
use crate::engine::PluginEngine;
use crate::hash::Sha256Hash;
use crate::heap::release_freed_memory;
use crate::validate::{Exports, PluginError, validate};

/// A validated, compiled and linked plugin, ready to start instances. Cheap to clone; shared by all tenants that use the
/// same component.
#[derive(Clone)]
pub struct PreparedPlugin {
    pub(crate) inner: Arc<Prepared>,
}

pub(crate) struct Prepared {
    pub(crate) name: String,
    pub(crate) interface: Box<dyn Interface>,
    pub(crate) engine: PluginEngine,
    sha256: Sha256Hash,
    exports: Exports,
    from_cache: bool,
    took: Duration,
}

impl PreparedPlugin {
    /// Validates the component and compiles it, unless the cache has its code. Only a component within the engine's
    /// [`crate::ComponentLimits`] and with the interface's types is compiled. `name` is the plugin's name in logs and
    /// metrics.
    ///
    /// Compiling a component that contains a language runtime takes seconds: call this on a thread that may block, or use
    /// [`PreparedPlugin::load`].
    pub fn new(engine: &PluginEngine, name: &str, bytes: &[u8], pin: Option<Sha256Hash>) -> Result<Self, PluginError> {
        let sha256 = Sha256Hash::of(bytes);
        if let Some(pinned) = pin.filter(|pinned| *pinned != sha256) {
            return Err(PluginError::Pin { pinned, found: sha256 });
        }
        let started = Instant::now();
        let exports = validate(bytes, &engine.inner.component_limits, engine.inner.engine.get_wasm_features())?;
        let (component, from_cache) = component(engine, name, &sha256, bytes)?;
        let interface = (exports.version.prepare)(&engine.inner.engine, &component)
            .map_err(|error| PluginError::Shape(format!("{error:#}")))?;
        let took = started.elapsed();
        tracing::info!(event_type = "plugin_prepared", plugin = name, %sha256, from_cache, took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX), "the plugin is ready");
        let (name, engine) = (name.to_owned(), engine.clone());
        Ok(Self { inner: Arc::new(Prepared { name, interface, engine, sha256, exports, from_cache, took }) })
    }

    /// [`PreparedPlugin::new`] on tokio's blocking pool.
    pub async fn load(
        engine: &PluginEngine,
        name: &str,
        bytes: Vec<u8>,
        pin: Option<Sha256Hash>,
    ) -> Result<Self, PluginError> {
        let (engine, name) = (engine.clone(), name.to_owned());
        let prepared = tokio::task::spawn_blocking(move || Self::new(&engine, &name, &bytes, pin)).await;
        prepared.unwrap_or_else(|error| Err(PluginError::Invalid(format!("the compiling thread failed: {error}"))))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The hash of its component.
    pub fn sha256(&self) -> Sha256Hash {
        self.inner.sha256
    }

    /// The version of `quotegate:plugin` that it is built for.
    pub fn version(&self) -> &'static str {
        self.inner.exports.version.number
    }

    /// Whether it has a filter.
    pub fn filters(&self) -> bool {
        self.inner.exports.filters
    }

    /// Whether it has a map.
    pub fn maps(&self) -> bool {
        self.inner.exports.maps
    }

    /// Whether the compiled code was in the cache.
    pub fn from_cache(&self) -> bool {
        self.inner.from_cache
    }

    /// The time it took to compile, or to load from the cache, and to link.
    pub fn took(&self) -> Duration {
        self.inner.took
    }
}

/// Two are the same if they do the same under the same name.
impl PartialEq for PreparedPlugin {
    fn eq(&self, other: &Self) -> bool {
        (self.name(), self.sha256()) == (other.name(), other.sha256())
    }
}

impl fmt::Debug for PreparedPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedPlugin").field("name", &self.name()).field("sha256", &self.sha256()).finish()
    }
}

fn component(
    engine: &PluginEngine,
    name: &str,
    sha256: &Sha256Hash,
    bytes: &[u8],
) -> Result<(Component, bool), PluginError> {
    let cache = engine.inner.cache.as_ref();
    if let Some(component) = cache.and_then(|cache| cache.load(&engine.inner.engine, sha256)) {
        return Ok((component, true));
    }
    tracing::info!(event_type = "plugin_compile", plugin = name, bytes = bytes.len(), "compiling the plugin");
    let component =
        Component::from_binary(&engine.inner.engine, bytes).map_err(|error| PluginError::Invalid(format!("{error:#}")));
    if let (Some(cache), Ok(component)) = (cache, &component) {
        cache.store(sha256, component);
    }
    release_freed_memory();
    Ok((component?, false))
}

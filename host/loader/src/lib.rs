//! From a tenant's settings to running plugins: reads components, has them compiled, and starts chains.
//!
//! Knows settings and plugins. Knows nothing of quotes, the host, or the tools for plugin authors.

mod precompile;

pub use precompile::{Precompiled, precompile};

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use quotegate_config::{PluginCode, PluginSettings, Settings, StandardPlugin, TenantSettings};
use quotegate_document::{Destination, IdError, TenantId};
use quotegate_plugin::{
    Collections, EngineError, EngineSettings, PluginChain, PluginEngine, PluginError, PluginLimits, PluginSpec,
    PreparedPlugin, Sha256Hash, StartError,
};

/// Why a tenant's plugins cannot be used: the tenant, the plugin, the file, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum PluginLoadError {
    /// The file cannot be read.
    #[error("tenants.{tenant}.plugins: {plugin}: cannot read {}: {reason}. Check the path; if relative, it starts at the working directory.", path.display())]
    File {
        /// The tenant.
        tenant: TenantId,
        /// The plugin's name.
        plugin: String,
        /// The component's file.
        path: PathBuf,
        /// From the operating system.
        reason: std::io::Error,
    },
    /// The component is rejected.
    #[error("tenants.{tenant}.plugins: {plugin} ({place}) is not accepted. {error}")]
    Component {
        /// The tenant.
        tenant: TenantId,
        /// The plugin's name.
        plugin: String,
        /// Its file, or that it is built into the host.
        place: String,
        /// Why.
        error: Box<PluginError>,
    },
    /// Its collections are invalid.
    #[error("tenants.{tenant}.plugins: {plugin}: {reason}.")]
    Settings {
        /// The tenant.
        tenant: TenantId,
        /// The plugin's name.
        plugin: String,
        /// Why.
        reason: String,
    },
    /// A plugin rejected its configuration or failed to start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The engine could not be created.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The thread that starts plugins panicked.
    #[error("could not start the plugins of tenant {0}: a thread panicked")]
    Panic(TenantId),
}

/// What a tenant's chain is made of. Equal specs give equal chains.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChainSpec {
    plugins: Vec<PluginSettings>,
    destinations: Vec<Destination>,
    components: Vec<Sha256Hash>,
    share_of_time: f64,
}

impl ChainSpec {
    /// True for a tenant without plugins.
    pub fn is_empty(&self) -> bool {
        self.plugins.is_empty()
    }
}

/// Starts plugin chains. Compiles each component once, however many tenants use it.
#[derive(Debug)]
pub struct PluginLoader {
    engine_settings: EngineSettings,
    engine: Mutex<Option<PluginEngine>>,
    prepared: Mutex<HashMap<(String, Sha256Hash), PreparedPlugin>>,
}

impl PluginLoader {
    /// For the tenants of these settings. Creates the engine when the first plugin is loaded.
    pub fn new(settings: &Settings) -> Self {
        let count = settings.tenants.iter().map(|tenant| tenant.plugins.len()).sum::<usize>();
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let engine_settings = EngineSettings {
            // Twice, because a reload starts new chains before it stops the old ones, and some for new tenants.
            instances: count.saturating_mul(2).saturating_add(64),
            memory_bytes: memory_bytes(settings),
            cache: settings.plugins.cache.then(|| cache_folder(settings)).flatten(),
            allocator: None,
            metering: false,
            processors: settings.plugins.share_of_time * processors() as f64,
        };
        Self { engine_settings, engine: Mutex::new(None), prepared: Mutex::new(HashMap::new()) }
    }

    /// Reads the components of a tenant's chain.
    pub async fn chain_spec(&self, tenant: &TenantSettings) -> Result<(ChainSpec, Vec<Arc<[u8]>>), PluginLoadError> {
        let (mut components, mut codes) = (Vec::new(), Vec::new());
        for plugin in &tenant.plugins {
            let (hash, code) = code(&tenant.id, plugin).await?;
            components.push(hash);
            codes.push(code);
        }
        let spec = ChainSpec {
            plugins: tenant.plugins.clone(),
            destinations: tenant.collections.clone(),
            components,
            share_of_time: tenant.share_of_time,
        };
        Ok((spec, codes))
    }

    /// Checks that a tenant's chain starts.
    pub async fn check(self: &Arc<Self>, tenant: &TenantSettings) -> Result<(), PluginLoadError> {
        let (spec, codes) = self.chain_spec(tenant).await?;
        self.chain(&tenant.id, &spec, codes).await?;
        Ok(())
    }

    /// Compiles and starts a tenant's chain; `None` if it has no plugins. Takes seconds if components are not in the cache.
    pub async fn chain(
        self: &Arc<Self>,
        tenant: &TenantId,
        spec: &ChainSpec,
        codes: Vec<Arc<[u8]>>,
    ) -> Result<Option<PluginChain>, PluginLoadError> {
        if spec.plugins.is_empty() {
            return Ok(None);
        }
        let (plugins, id, spec) = (self.clone(), tenant.clone(), spec.clone());
        let started = tokio::task::spawn_blocking(move || plugins.start_chain(&id, &spec, &codes)).await;
        started.unwrap_or_else(|_| Err(PluginLoadError::Panic(tenant.clone()))).map(Some)
    }

    fn start_chain(
        &self,
        tenant: &TenantId,
        spec: &ChainSpec,
        codes: &[Arc<[u8]>],
    ) -> Result<PluginChain, PluginLoadError> {
        let mut specs = Vec::with_capacity(codes.len());
        for ((plugin, code), hash) in spec.plugins.iter().zip(codes).zip(&spec.components) {
            let prepared = self.prepare(tenant, plugin, code, *hash)?;
            if prepared.maps() && spec.destinations.iter().all(|destination| destination.shape.is_some()) {
                return Err(settings_error(tenant, plugin, &NO_PLACE));
            }
            specs.push(PluginSpec {
                plugin: prepared,
                config: plugin.config.clone(),
                limits: plugin_limits(&plugin.limits),
                on_error: plugin.on_error,
                chain: plugin.chain,
                collections: collections(spec, plugin).map_err(|error| settings_error(tenant, plugin, &error))?,
            });
        }
        Ok(PluginChain::start_within(tenant.clone(), specs, spec.share_of_time)?)
    }

    fn prepare(
        &self,
        tenant: &TenantId,
        plugin: &PluginSettings,
        code: &[u8],
        hash: Sha256Hash,
    ) -> Result<PreparedPlugin, PluginLoadError> {
        let rejected = |error| PluginLoadError::Component {
            tenant: tenant.clone(),
            plugin: plugin.name.clone(),
            place: place(&plugin.code),
            error: Box::new(error),
        };
        let pin = plugin.sha256.as_deref().and_then(Sha256Hash::from_hex);
        if let Some(pinned) = pin.filter(|pinned| *pinned != hash) {
            return Err(rejected(PluginError::Pin { pinned, found: hash }));
        }
        let key = (plugin.name.clone(), hash);
        // Locked during compilation, so that another tenant with the same component waits instead of compiling it again.
        let mut prepared = self.prepared.lock();
        if let Some(known) = prepared.get(&key) {
            return Ok(known.clone());
        }
        let engine = self.engine()?;
        let new = PreparedPlugin::new(&engine, &plugin.name, code, pin).map_err(rejected)?;
        prepared.insert(key, new.clone());
        Ok(new)
    }

    fn engine(&self) -> Result<PluginEngine, PluginLoadError> {
        let mut engine = self.engine.lock();
        if let Some(engine) = engine.as_ref() {
            return Ok(engine.clone());
        }
        let new = PluginEngine::new(&self.engine_settings)?;
        *engine = Some(new.clone());
        Ok(new)
    }

    /// Stops all calls of plugins, see [`PluginEngine::stop_calls`].
    pub fn stop_calls(&self) {
        if let Some(engine) = self.engine.lock().as_ref() {
            engine.stop_calls();
        }
    }

    /// Drops components that no tenant uses any longer.
    pub fn retain<'a>(&self, specs: impl Iterator<Item = &'a ChainSpec>) {
        let mut used = Vec::new();
        for spec in specs {
            let names = spec.plugins.iter().map(|plugin| plugin.name.clone());
            used.extend(names.zip(spec.components.iter().copied()));
        }
        self.prepared.lock().retain(|key, _| used.contains(key));
    }
}

const NO_PLACE: &str = "it makes documents, but each of the tenant's `collections` has a shape, which the host makes. Remove \
                        the key shape from one of them";

/// What a plugin's documents may name: the tenant's collections, and the plugin's own. The first, where documents go that
/// name none, has no shape: the others are the host's.
fn collections(spec: &ChainSpec, plugin: &PluginSettings) -> Result<Collections, IdError> {
    let (shaped, without_shape): (Vec<_>, Vec<_>) =
        spec.destinations.iter().partition(|destination| destination.shape.is_some());
    let all = without_shape.into_iter().chain(shaped).map(|destination| destination.collection.as_str().to_owned());
    let all: Vec<String> = all.chain(plugin.collections.iter().cloned()).collect();
    let (first, others) = all.split_first().ok_or(IdError::Empty)?;
    Collections::new(first, others)
}

/// Converts limits from the settings to those of the plugin crate.
pub fn plugin_limits(settings: &quotegate_config::PluginLimits) -> PluginLimits {
    PluginLimits {
        time_per_call: settings.time_per_call,
        time_to_start: settings.time_to_start,
        memory_bytes: settings.memory_bytes,
        host_bytes_per_call: settings.host_bytes_per_call,
        documents_per_quote: settings.documents_per_quote,
        document_bytes_per_quote: settings.document_bytes_per_quote,
        log_lines_per_second: settings.log_lines_per_second,
        share_of_time: settings.share_of_time,
        calls_per_instance: settings.calls_per_instance,
        ..PluginLimits::default()
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// The largest memory limit of any plugin.
pub(crate) fn memory_bytes(settings: &Settings) -> usize {
    let plugins = settings.tenants.iter().flat_map(|tenant| &tenant.plugins);
    plugins.map(|plugin| plugin.limits.memory_bytes).fold(EngineSettings::default().memory_bytes, usize::max)
}

/// The components that are built into the host; `plugins/build.sh` creates them.
pub(crate) fn standard(plugin: StandardPlugin) -> &'static [u8] {
    match plugin {
        StandardPlugin::QuoteFilter => include_bytes!("../../../plugins/components/quote-filter.wasm"),
        StandardPlugin::FieldMap => include_bytes!("../../../plugins/components/field-map.wasm"),
    }
}

/// A component and its hash.
type Code = (Sha256Hash, Arc<[u8]>);

/// Reads a plugin's component.
pub(crate) async fn code(tenant: &TenantId, plugin: &PluginSettings) -> Result<Code, PluginLoadError> {
    // Hashed once: a thousand tenants may use the same component, and hashing it for each would dominate the start.
    static QUOTE_FILTER: LazyLock<Code> = LazyLock::new(|| hashed(standard(StandardPlugin::QuoteFilter).into()));
    static FIELD_MAP: LazyLock<Code> = LazyLock::new(|| hashed(standard(StandardPlugin::FieldMap).into()));
    match &plugin.code {
        PluginCode::Standard(StandardPlugin::QuoteFilter) => Ok(QUOTE_FILTER.clone()),
        PluginCode::Standard(StandardPlugin::FieldMap) => Ok(FIELD_MAP.clone()),
        PluginCode::File(path) => {
            let read = tokio::fs::read(path).await;
            read.map(|bytes| hashed(bytes.into())).map_err(|reason| PluginLoadError::File {
                tenant: tenant.clone(),
                plugin: plugin.name.clone(),
                path: path.clone(),
                reason,
            })
        }
    }
}

fn hashed(code: Arc<[u8]>) -> Code {
    (Sha256Hash::of(&code), code)
}

pub(crate) fn place(code: &PluginCode) -> String {
    match code {
        PluginCode::Standard(_) => "built in".to_owned(),
        PluginCode::File(path) => path.display().to_string(),
    }
}

fn settings_error(tenant: &TenantId, plugin: &PluginSettings, reason: &impl ToString) -> PluginLoadError {
    PluginLoadError::Settings { tenant: tenant.clone(), plugin: plugin.name.clone(), reason: reason.to_string() }
}

/// The folder in the settings, or the user's default.
fn cache_folder(settings: &Settings) -> Option<PathBuf> {
    settings.plugins.cache_folder.clone().or_else(user_cache_folder)
}

/// `quotegate` in the user's cache folder, if there is one.
pub fn user_cache_folder() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let user = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    user.map(|folder| folder.join(Path::new("quotegate")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quotegate_plugin::{DocumentError, PluginFailure};

    use super::*;

    #[test]
    fn the_defaults_of_the_settings_are_those_of_the_plugin_room() {
        let sources = quotegate_config::Sources {
            environment: [
                ("TENANT_ID", "acme"),
                ("DRY_RUN", "1"),
                ("QUOTEGATE_TENANT_DEFAULTS__PLUGINS", "[{ standard = 'field-map' }]"),
            ]
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
            ..quotegate_config::Sources::default()
        };
        let loaded = Settings::load(&sources).unwrap();
        assert_eq!(plugin_limits(&loaded.settings.tenants[0].plugins[0].limits), PluginLimits::default());
    }

    /// The plugin crate's messages contain names of settings, which only this test checks.
    #[test]
    fn error_messages_name_settings_that_exist() {
        let documented = include_str!("../../../config/quotegate.toml");
        let sentences = [
            PluginFailure::Time { limit: Duration::from_millis(50) }.to_string(),
            PluginFailure::Memory.to_string(),
            PluginFailure::HostBytes.to_string(),
            DocumentError::TooMany(9).to_string(),
            DocumentError::TooLarge(9).to_string(),
        ];
        for sentence in sentences {
            let keys: Vec<&str> = sentence.split('`').skip(1).step_by(2).collect();
            assert!(!keys.is_empty(), "{sentence:?} names no key");
            for key in keys {
                assert!(documented.contains(&format!("{key} = ")), "there is no key {key:?}");
            }
        }
    }
}

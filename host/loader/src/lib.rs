//! From a tenant's settings to running plugins: reads components, has them compiled, and starts chains.
//!
//! Knows settings and plugins. Knows nothing of quotes, the host, or the tools for plugin authors.

mod limits;
mod precompile;

pub use limits::plugin_limits;
pub(crate) use limits::{component_limits, memory_bytes};
pub use precompile::{Precompiled, precompile};

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use quotegate_config::{PluginCode, PluginSettings, Settings, StandardPlugin, TenantSettings};
use quotegate_document::{Destination, IdError, TenantId};
use quotegate_plugin::{
    Collections, ComponentFileError, ComponentLimits, EngineError, EngineSettings, PluginChain, PluginEngine,
    PluginError, PluginSpec, PluginThreads, PreparedPlugin, Sha256Hash, StartError, read_component,
};

/// Why a tenant's plugins cannot be used: the tenant, the plugin, the file, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum PluginLoadError {
    /// A plugin's component or settings.
    #[error("{0}")]
    Plugin(String),
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
            component_limits: component_limits(settings),
            cache: settings.plugins.cache.then(|| cache_folder(settings)).flatten(),
            cache_bytes: settings.plugins.cache_bytes as u64,
            processors: settings.plugins.share_of_time * PluginThreads::default_count().get() as f64,
            ..EngineSettings::default()
        };
        Self { engine_settings, engine: Mutex::new(None), prepared: Mutex::new(HashMap::new()) }
    }

    /// Reads the components of a tenant's chain.
    pub async fn chain_spec(&self, tenant: &TenantSettings) -> Result<(ChainSpec, Vec<Arc<[u8]>>), PluginLoadError> {
        let (mut components, mut codes) = (Vec::new(), Vec::new());
        for plugin in &tenant.plugins {
            let (hash, code) = code(&tenant.id, plugin, &self.engine_settings.component_limits).await?;
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

    /// Checks that a tenant's plugins start, each by itself: one that does not must not hide the problems of others.
    pub async fn check(self: &Arc<Self>, tenant: &TenantSettings) -> Vec<PluginLoadError> {
        let mut problems = Vec::new();
        for plugin in &tenant.plugins {
            let alone = TenantSettings { plugins: vec![plugin.clone()], ..tenant.clone() };
            let started = match self.chain_spec(&alone).await {
                Ok((spec, codes)) => self.chain(&alone.id, &spec, codes).await.map(drop),
                Err(error) => Err(error),
            };
            problems.extend(started.err());
        }
        problems
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
                return Err(plugin_error(tenant, plugin, NO_PLACE));
            }
            specs.push(PluginSpec {
                plugin: prepared,
                config: plugin.config.clone(),
                limits: plugin_limits(&plugin.limits),
                on_error: plugin.on_error,
                chain: plugin.chain,
                collections: collections(spec, plugin)
                    .map_err(|error| plugin_error(tenant, plugin, &format!(": {error}.")))?,
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
        check_pin(tenant, plugin, hash)?;
        let key = (plugin.name.clone(), hash);
        // Locked during compilation, so that another tenant with the same component waits instead of compiling it again.
        let mut prepared = self.prepared.lock();
        if let Some(known) = prepared.get(&key) {
            return Ok(known.clone());
        }
        let new = PreparedPlugin::new(&self.engine()?, &plugin.name, code, None);
        let new = new.map_err(|error| rejected(tenant, plugin, &error))?;
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

const NO_PLACE: &str = ": it makes documents, but each of the tenant's `collections` has a shape, which the host makes. \
                        Remove the key shape from one of them.";

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

/// A component and its hash.
pub(crate) type Code = (Sha256Hash, Arc<[u8]>);

/// A component that is built into the host; `plugins/build.sh` creates them.
pub(crate) fn standard(plugin: StandardPlugin) -> Code {
    // Hashed once: a thousand tenants may use the same component, and hashing it for each would dominate the start.
    static QUOTE_FILTER: LazyLock<Code> =
        LazyLock::new(|| hashed(include_bytes!("../../../plugins/components/quote-filter.wasm").as_slice().into()));
    static FIELD_MAP: LazyLock<Code> =
        LazyLock::new(|| hashed(include_bytes!("../../../plugins/components/field-map.wasm").as_slice().into()));
    match plugin {
        StandardPlugin::QuoteFilter => QUOTE_FILTER.clone(),
        StandardPlugin::FieldMap => FIELD_MAP.clone(),
    }
}

/// Reads a plugin's component.
pub(crate) async fn code(
    tenant: &TenantId,
    plugin: &PluginSettings,
    limits: &ComponentLimits,
) -> Result<Code, PluginLoadError> {
    match &plugin.code {
        PluginCode::Standard(plugin) => Ok(standard(*plugin)),
        PluginCode::File(path) => {
            let (file, limits) = (path.clone(), limits.clone());
            let read = tokio::task::spawn_blocking(move || read_component(&file, &limits)).await;
            let bytes = read.map_err(|_| PluginLoadError::Panic(tenant.clone()))?;
            bytes.map(|bytes| hashed(bytes.into())).map_err(|error| match error {
                ComponentFileError::Read(reason) => {
                    let hint = "Check the path; if relative, it starts at the working directory.";
                    plugin_error(tenant, plugin, &format!(": cannot read {}: {reason}. {hint}", path.display()))
                }
                ComponentFileError::Rejected(error) => rejected(tenant, plugin, &error),
            })
        }
    }
}

fn hashed(code: Arc<[u8]>) -> Code {
    (Sha256Hash::of(&code), code)
}

/// Checks the hash that the settings may pin.
pub(crate) fn check_pin(tenant: &TenantId, plugin: &PluginSettings, found: Sha256Hash) -> Result<(), PluginLoadError> {
    match plugin.sha256.as_deref().and_then(Sha256Hash::from_hex) {
        Some(pinned) if pinned != found => Err(rejected(tenant, plugin, &PluginError::Pin { pinned, found })),
        _ => Ok(()),
    }
}

pub(crate) fn rejected(tenant: &TenantId, plugin: &PluginSettings, error: &PluginError) -> PluginLoadError {
    let place = match &plugin.code {
        PluginCode::Standard(_) => "built in".to_owned(),
        PluginCode::File(path) => path.display().to_string(),
    };
    plugin_error(tenant, plugin, &format!(" ({place}) is not accepted. {error}"))
}

fn plugin_error(tenant: &TenantId, plugin: &PluginSettings, problem: &str) -> PluginLoadError {
    PluginLoadError::Plugin(format!("tenants.{tenant}.plugins: {}{problem}", plugin.name))
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

    use quotegate_document::{CollectionPath, DocumentShape};
    use quotegate_plugin::{DocumentError, PluginFailure, PluginLimits};

    use super::*;

    #[test]
    fn the_settings_and_the_plugin_crate_have_the_same_defaults() {
        let settings = settings("[{ standard = 'field-map' }]");
        assert_eq!(plugin_limits(&settings.tenants[0].plugins[0].limits), PluginLimits::default());
        assert_eq!(component_limits(&settings), ComponentLimits::default());
        assert_eq!(settings.plugins.cache_bytes as u64, EngineSettings::default().cache_bytes);
    }

    /// The keys in the errors of `host/plugin/tests/it/acceptance.rs`.
    const COMPONENT_LIMITS: [&str; 8] =
        ["size_mib", "functions", "code_kib", "function_kib", "types", "declarations_kib", "tables", "memories"];

    fn settings(plugins: &str) -> Settings {
        let variables = [
            ("TENANT_ID", "acme"),
            ("DRY_RUN", "1"),
            ("QUOTEGATE_PLUGINS__CACHE", "false"),
            ("QUOTEGATE_TENANT_DEFAULTS__PLUGINS", plugins),
        ];
        let environment = variables.map(|(name, value)| (name.into(), value.into())).into();
        let sources = quotegate_config::Sources { environment, ..quotegate_config::Sources::default() };
        Settings::load(&sources).unwrap().settings
    }

    #[tokio::test]
    async fn compiled_code_is_released_when_no_tenant_uses_it() {
        let settings = settings("[{ standard = 'quote-filter' }, { standard = 'quote-filter', name = 'again' }]");
        let loader = Arc::new(PluginLoader::new(&settings));
        let (spec, codes) = loader.chain_spec(&settings.tenants[0]).await.unwrap();
        let chain = loader.chain(&settings.tenants[0].id, &spec, codes).await.unwrap();
        loader.retain([&spec].into_iter());
        assert_eq!(loader.prepared.lock().len(), 2);
        drop(chain);
        loader.retain(std::iter::empty());
        assert_eq!(loader.prepared.lock().len(), 0);
    }

    #[test]
    fn a_plugin_may_name_every_collection_of_its_tenant_and_names_none_for_the_first_without_a_shape() {
        let destination = |path: &str, shape| Destination { collection: CollectionPath::new(path).unwrap(), shape };
        let streamer = Some(DocumentShape::Streamer);
        let destinations = vec![destination("live", streamer), destination("board", None), destination("a/b/c", None)];
        let spec = ChainSpec { destinations, ..ChainSpec::default() };
        let settings = settings("[{ standard = 'field-map', collections = ['extra'] }]");
        let found = collections(&spec, &settings.tenants[0].plugins[0]).unwrap();
        let expected = ["a/b/c", "live", "extra"].map(str::to_owned);
        assert_eq!(found, Collections::new("board", &expected).unwrap());
    }

    /// The plugin crate's messages contain names of settings, which only this test checks.
    #[test]
    fn error_messages_name_settings_that_exist() {
        let documented = include_str!("../../../config/quotegate.toml");
        let sentences = [
            PluginFailure::Time(Duration::from_millis(50)).to_string(),
            PluginFailure::Memory.to_string(),
            PluginFailure::HostBytes.to_string(),
            DocumentError::TooMany(9).to_string(),
            DocumentError::TooLarge(9).to_string(),
        ];
        for key in COMPONENT_LIMITS {
            let error = PluginError::TooMuch { what: "", found: 2, limit: 1, key };
            assert!(error.to_string().contains(&format!("`plugins.component_limits.{key}`")));
            assert!(documented.contains(&format!("\n# {key} = ")), "there is no key {key:?}");
        }
        for sentence in sentences {
            let keys: Vec<&str> = sentence.split('`').skip(1).step_by(2).collect();
            assert!(!keys.is_empty(), "{sentence:?} names no key");
            for key in keys {
                assert!(documented.contains(&format!("{key} = ")), "there is no key {key:?}");
            }
        }
    }
}

//! From a tenant's settings to plugins that run: finds the components, has them compiled, and starts chains.
//!
//! Knows settings and plugins; nothing of quotes, the host, or a plugin author's tools.

mod precompile;

pub use precompile::{Precompiled, precompile};

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use quotegate_config::{PluginCode, PluginSettings, Settings, StandardPlugin, TenantSettings};
use quotegate_document::TenantId;
use quotegate_plugin::{
    Collections, EngineError, EngineSettings, PluginChain, PluginEngine, PluginError, PluginLimits, PluginSpec,
    PreparedPlugin, Sha256Hash, StartError,
};

/// Why a tenant's plugins cannot be used. Names the tenant, the plugin and the file, and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum PluginLoadError {
    /// The file cannot be read.
    #[error("tenants.{tenant}.plugins: {plugin}: {} cannot be read: {reason}. Check the path; a relative one starts at the working directory.", path.display())]
    File {
        /// Whose plugin.
        tenant: TenantId,
        /// Its name.
        plugin: String,
        /// The component's file.
        path: PathBuf,
        /// The operating system's words.
        reason: std::io::Error,
    },
    /// The component is not accepted.
    #[error("tenants.{tenant}.plugins: {plugin} ({place}) is not accepted. {problem}")]
    Component {
        /// Whose plugin.
        tenant: TenantId,
        /// Its name.
        plugin: String,
        /// Its file, or that it comes with the host.
        place: String,
        /// Why.
        problem: Box<PluginError>,
    },
    /// Its limits or collections make no sense to the plugin room.
    #[error("tenants.{tenant}.plugins: {plugin}: {reason}.")]
    Settings {
        /// Whose plugin.
        tenant: TenantId,
        /// Its name.
        plugin: String,
        /// Why.
        reason: String,
    },
    /// A plugin refuses its configuration, or fails at its start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// There is no engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The starting thread has panicked.
    #[error("the plugins of tenant {0} could not be started: a thread has panicked")]
    Panic(TenantId),
}

/// What a tenant's chain was made of: when this is the same, so is the chain.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChainSpec {
    plugins: Vec<PluginSettings>,
    collection: String,
    components: Vec<Sha256Hash>,
}

impl ChainSpec {
    /// True for a tenant without plugins.
    pub fn is_empty(&self) -> bool {
        self.plugins.is_empty()
    }
}

/// Makes chains. Each component is compiled once, however many tenants use it.
#[derive(Debug)]
pub struct PluginLoader {
    engine_settings: EngineSettings,
    engine: Mutex<Option<PluginEngine>>,
    prepared: Mutex<HashMap<(String, Sha256Hash), PreparedPlugin>>,
}

impl PluginLoader {
    /// For the tenants of these settings. Costs nothing until a tenant has a plugin.
    pub fn new(settings: &Settings) -> Self {
        let count = settings.tenants.iter().map(|tenant| tenant.plugins.len()).sum::<usize>();
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let engine_settings = EngineSettings {
            // As many again while all are being replaced, and room for some that a reload adds.
            instances: count.saturating_mul(2).saturating_add(64),
            memory_bytes: memory_bytes(settings),
            cache: settings.plugins.cache.then(|| cache_folder(settings)).flatten(),
            allocator: None,
            metering: false,
        };
        Self { engine_settings, engine: Mutex::new(None), prepared: Mutex::new(HashMap::new()) }
    }

    /// What a tenant's chain is to be made of now: reads the components' files.
    pub async fn recipe(&self, tenant: &TenantSettings) -> Result<(ChainSpec, Vec<Arc<[u8]>>), PluginLoadError> {
        let (mut components, mut codes) = (Vec::new(), Vec::new());
        for plugin in &tenant.plugins {
            let (hash, code) = code(&tenant.id, plugin).await?;
            components.push(hash);
            codes.push(code);
        }
        let recipe = ChainSpec { plugins: tenant.plugins.clone(), collection: tenant.collection.clone(), components };
        Ok((recipe, codes))
    }

    /// Starts a tenant's chain and throws it away: whether it would start is what is wanted.
    pub async fn try_out(self: &Arc<Self>, tenant: &TenantSettings) -> Result<(), PluginLoadError> {
        let (recipe, codes) = self.recipe(tenant).await?;
        self.chain(&tenant.id, &recipe, codes).await?;
        Ok(())
    }

    /// Compiles and starts a tenant's chain; `None` if it has no plugins. Takes seconds for components that are not in
    /// the cache, on threads that may block.
    pub async fn chain(
        self: &Arc<Self>,
        tenant: &TenantId,
        recipe: &ChainSpec,
        codes: Vec<Arc<[u8]>>,
    ) -> Result<Option<PluginChain>, PluginLoadError> {
        if recipe.plugins.is_empty() {
            return Ok(None);
        }
        let (plugins, id, recipe) = (self.clone(), tenant.clone(), recipe.clone());
        let started = tokio::task::spawn_blocking(move || plugins.chain_now(&id, &recipe, &codes)).await;
        started.unwrap_or_else(|_| Err(PluginLoadError::Panic(tenant.clone()))).map(Some)
    }

    fn chain_now(
        &self,
        tenant: &TenantId,
        recipe: &ChainSpec,
        codes: &[Arc<[u8]>],
    ) -> Result<PluginChain, PluginLoadError> {
        let mut specs = Vec::with_capacity(codes.len());
        for ((plugin, code), hash) in recipe.plugins.iter().zip(codes).zip(&recipe.components) {
            specs.push(PluginSpec {
                plugin: self.prepare(tenant, plugin, code, *hash)?,
                config: plugin.config.clone(),
                limits: plugin_limits(&plugin.limits),
                on_error: plugin.on_error,
                chain: plugin.chain,
                collections: Collections::new(&recipe.collection, &plugin.collections)
                    .map_err(|problem| trouble(tenant, plugin, &problem))?,
            });
        }
        Ok(PluginChain::start(tenant.clone(), specs)?)
    }

    fn prepare(
        &self,
        tenant: &TenantId,
        plugin: &PluginSettings,
        code: &[u8],
        hash: Sha256Hash,
    ) -> Result<PreparedPlugin, PluginLoadError> {
        let problem = |problem| PluginLoadError::Component {
            tenant: tenant.clone(),
            plugin: plugin.name.clone(),
            place: place(&plugin.code),
            problem: Box::new(problem),
        };
        let pin = plugin.sha256.as_deref().and_then(Sha256Hash::from_hex);
        if let Some(pinned) = pin.filter(|pinned| *pinned != hash) {
            return Err(problem(PluginError::Pin { pinned, found: hash }));
        }
        let key = (plugin.name.clone(), hash);
        // Held while it compiles: another tenant that wants the same waits for it instead of compiling it too.
        let mut prepared = self.prepared.lock();
        if let Some(known) = prepared.get(&key) {
            return Ok(known.clone());
        }
        let engine = self.engine()?;
        let new = PreparedPlugin::new(&engine, &plugin.name, code, pin).map_err(problem)?;
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

    /// Forgets components that no tenant uses any more.
    pub fn keep_only<'a>(&self, recipes: impl Iterator<Item = &'a ChainSpec>) {
        let mut used = Vec::new();
        for recipe in recipes {
            let names = recipe.plugins.iter().map(|plugin| plugin.name.clone());
            used.extend(names.zip(recipe.components.iter().copied()));
        }
        self.prepared.lock().retain(|key, _| used.contains(key));
    }
}

/// The limits of the settings, as the plugin crate has them.
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

/// The most that any plugin may take.
pub(crate) fn memory_bytes(settings: &Settings) -> usize {
    let plugins = settings.tenants.iter().flat_map(|tenant| &tenant.plugins);
    plugins.map(|plugin| plugin.limits.memory_bytes).fold(EngineSettings::default().memory_bytes, usize::max)
}

/// The components that come with the host, as `plugins/build.sh` makes them.
pub(crate) fn standard(plugin: StandardPlugin) -> &'static [u8] {
    match plugin {
        StandardPlugin::QuoteFilter => include_bytes!("../../../plugins/components/quote-filter.wasm"),
        StandardPlugin::FieldMap => include_bytes!("../../../plugins/components/field-map.wasm"),
    }
}

/// A component, and its hash.
type Code = (Sha256Hash, Arc<[u8]>);

/// What a plugin is made of.
pub(crate) async fn code(tenant: &TenantId, plugin: &PluginSettings) -> Result<Code, PluginLoadError> {
    // A thousand tenants may have the same one: hashing it for each of them would be most of a start.
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
        PluginCode::Standard(_) => "which comes with the host".to_owned(),
        PluginCode::File(path) => path.display().to_string(),
    }
}

fn trouble(tenant: &TenantId, plugin: &PluginSettings, reason: &impl ToString) -> PluginLoadError {
    PluginLoadError::Settings { tenant: tenant.clone(), plugin: plugin.name.clone(), reason: reason.to_string() }
}

/// The folder of the settings, or the user's.
fn cache_folder(settings: &Settings) -> Option<PathBuf> {
    settings.plugins.cache_folder.clone().or_else(user_cache_folder)
}

/// `quotegate` in the user's cache folder, where there is one.
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

    /// The plugin room knows the settings' keys by name only, so nothing else would notice that one is called otherwise.
    #[test]
    fn remedies_name_keys_that_exist() {
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

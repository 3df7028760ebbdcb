//! Compiles plugins when an image is built, so that the host in it does not have to.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use quotegate_config::{PluginSettings, Settings, StandardPlugin};
use quotegate_document::TenantId;
use quotegate_plugin::{ComponentLimits, EngineSettings, PrecompileError, Precompiler, Sha256Hash};

use crate::{Code, PluginLoadError, check_pin, code, component_limits, memory_bytes, rejected, standard};

/// A compiled component.
#[derive(Debug)]
pub struct Precompiled {
    /// The plugin's name.
    pub name: String,
    /// The hash of the component.
    pub sha256: Sha256Hash,
    /// The size of the code that a host will load.
    pub bytes: usize,
    /// How long compiling took.
    pub took: Duration,
}

/// A component to compile.
struct Source<'a> {
    name: &'a str,
    code: Code,
    /// Its tenant and its settings; `None` for the standard plugins.
    plugin: Option<(&'a TenantId, &'a PluginSettings)>,
}

/// Compiles the standard plugins and those of the tenants in `settings` into `folder`.
pub async fn precompile(folder: &Path, settings: Option<&Settings>) -> anyhow::Result<Vec<Precompiled>> {
    let memory = settings.map_or(EngineSettings::default().memory_bytes, memory_bytes);
    let limits = settings.map_or_else(ComponentLimits::default, component_limits);
    let precompiler = Precompiler::new(folder, memory, &limits)?;
    let (mut done, mut known) = (Vec::new(), HashSet::new());
    for Source { name, code: (sha256, bytes), plugin } in sources(settings, &limits).await? {
        let began = Instant::now();
        if let Some((tenant, plugin)) = plugin {
            check_pin(tenant, plugin, sha256)?;
        }
        if !known.insert(sha256) {
            continue;
        }
        // What the host would reject is an error now.
        let bytes = precompiler.add(&bytes).map_err(|error| match (plugin, error) {
            (Some((tenant, plugin)), PrecompileError::Component(error)) => rejected(tenant, plugin, &error).into(),
            (_, error) => anyhow::Error::new(error).context(format!("the plugin {name}")),
        })?;
        done.push(Precompiled { name: name.to_owned(), sha256, bytes, took: began.elapsed() });
    }
    Ok(done)
}

/// Those of tenants first, because they are more likely to be rejected.
async fn sources<'a>(
    settings: Option<&'a Settings>,
    limits: &ComponentLimits,
) -> Result<Vec<Source<'a>>, PluginLoadError> {
    let mut sources = Vec::new();
    for tenant in settings.iter().flat_map(|settings| &settings.tenants) {
        for plugin in &tenant.plugins {
            let code = code(&tenant.id, plugin, limits).await?;
            sources.push(Source { name: &plugin.name, code, plugin: Some((&tenant.id, plugin)) });
        }
    }
    let built_in = [StandardPlugin::QuoteFilter, StandardPlugin::FieldMap];
    sources.extend(built_in.map(|one| Source { name: one.name(), code: standard(one), plugin: None }));
    Ok(sources)
}

//! Compiles plugins when an image is built, so that the host in it does not have to.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use quotegate_config::{Settings, StandardPlugin};
use quotegate_document::TenantId;
use quotegate_plugin::{ComponentLimits, EngineSettings, PluginError, PrecompileError, Precompiler, Sha256Hash};

use crate::{PluginLoadError, code, component_limits, memory_bytes, place, standard};

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
struct Source {
    name: String,
    pin: Option<Sha256Hash>,
    bytes: Arc<[u8]>,
    /// The tenant and the file; `None` for the standard plugins.
    tenant: Option<(TenantId, String)>,
}

/// Compiles the standard plugins and those of the tenants in `settings` into `folder`.
pub async fn precompile(folder: &Path, settings: Option<&Settings>) -> anyhow::Result<Vec<Precompiled>> {
    let memory = settings.map_or(EngineSettings::default().memory_bytes, memory_bytes);
    let limits = settings.map_or_else(ComponentLimits::default, component_limits);
    let precompiler = Precompiler::new(folder, memory, &limits)?;
    let (mut done, mut known) = (Vec::new(), HashSet::new());
    for Source { name, pin, bytes, tenant } in sources(settings, &limits).await? {
        let began = Instant::now();
        let sha256 = Sha256Hash::of(&bytes);
        if let Some(pinned) = pin.filter(|pin| *pin != sha256) {
            return Err(rejected(name, tenant, PluginError::Pin { pinned, found: sha256 }));
        }
        if known.contains(&sha256) {
            continue;
        }
        // What the host would reject is an error now.
        let bytes = match precompiler.add(&bytes) {
            Ok(bytes) => bytes,
            Err(PrecompileError::Component(error)) => return Err(rejected(name, tenant, error)),
            Err(error) => return Err(error).with_context(|| format!("the plugin {name}")),
        };
        known.insert(sha256);
        done.push(Precompiled { name, sha256, bytes, took: began.elapsed() });
    }
    Ok(done)
}

fn rejected(plugin: String, tenant: Option<(TenantId, String)>, error: PluginError) -> anyhow::Error {
    match tenant {
        Some((tenant, place)) => PluginLoadError::Component { tenant, plugin, place, error: Box::new(error) }.into(),
        None => error.into(),
    }
}

/// Those of tenants first, because they are more likely to be rejected.
async fn sources(settings: Option<&Settings>, limits: &ComponentLimits) -> Result<Vec<Source>, PluginLoadError> {
    let mut sources = Vec::new();
    for tenant in settings.iter().flat_map(|settings| &settings.tenants) {
        for plugin in &tenant.plugins {
            let (_, bytes) = code(&tenant.id, plugin, limits).await?;
            sources.push(Source {
                name: plugin.name.clone(),
                pin: plugin.sha256.as_deref().and_then(Sha256Hash::from_hex),
                bytes,
                tenant: Some((tenant.id.clone(), place(&plugin.code))),
            });
        }
    }
    for (name, plugin) in [("quote-filter", StandardPlugin::QuoteFilter), ("field-map", StandardPlugin::FieldMap)] {
        let (name, bytes) = (name.to_owned(), standard(plugin).into());
        sources.push(Source { name, pin: None, bytes, tenant: None });
    }
    Ok(sources)
}

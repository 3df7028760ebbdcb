//! Compiles plugins when an image is built, so that the host in it does not have to.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use quotegate_config::{Settings, StandardPlugin};
use quotegate_document::TenantId;
use quotegate_plugin::{EngineSettings, PluginEngine, Precompiler, PreparedPlugin, Sha256Hash};

use crate::{PluginLoadError, code, memory_bytes, place, standard};

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
    let precompiler = Precompiler::new(folder, memory)?;
    // Components that the host would reject are errors now.
    let validator = PluginEngine::new(&EngineSettings { instances: 1, ..EngineSettings::default() })?;
    let (mut done, mut known) = (Vec::new(), HashSet::new());
    for Source { name, pin, bytes, tenant } in sources(settings).await? {
        let began = Instant::now();
        let sha256 = Sha256Hash::of(&bytes);
        if known.contains(&sha256) && pin.is_none_or(|pin| pin == sha256) {
            continue;
        }
        match (PreparedPlugin::new(&validator, &name, &bytes, pin), tenant) {
            (Ok(_), _) => {}
            (Err(error), Some((tenant, place))) => {
                let error = Box::new(error);
                return Err(PluginLoadError::Component { tenant, plugin: name, place, error }.into());
            }
            (Err(error), None) => return Err(error.into()),
        }
        let bytes = precompiler.add(&bytes).with_context(|| format!("the plugin {name}"))?;
        known.insert(sha256);
        done.push(Precompiled { name, sha256, bytes, took: began.elapsed() });
    }
    Ok(done)
}

/// Those of tenants first, because they are more likely to be rejected.
async fn sources(settings: Option<&Settings>) -> Result<Vec<Source>, PluginLoadError> {
    let mut sources = Vec::new();
    for tenant in settings.iter().flat_map(|settings| &settings.tenants) {
        for plugin in &tenant.plugins {
            let (_, bytes) = code(&tenant.id, plugin).await?;
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

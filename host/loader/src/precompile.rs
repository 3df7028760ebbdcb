//! Compiles plugins ahead of time, when an image is built: a host that starts in it needs no compiler.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use quotegate_config::{Settings, StandardPlugin};
use quotegate_document::TenantId;
use quotegate_plugin::{EngineSettings, PluginEngine, Precompiler, PreparedPlugin, Sha256Hash};

use crate::{PluginLoadError, code, memory_bytes, place, standard};

/// One component, compiled.
#[derive(Debug)]
pub struct Precompiled {
    /// What people call it.
    pub name: String,
    /// Its identity.
    pub sha256: Sha256Hash,
    /// The size of the code that a host will load.
    pub bytes: usize,
    /// How long compiling took.
    pub took: Duration,
}

/// A component that is to be compiled.
struct Wanted {
    name: String,
    pin: Option<Sha256Hash>,
    bytes: Arc<[u8]>,
    /// Whose it is, and where it is from; the standard plugins are nobody's.
    tenant: Option<(TenantId, String)>,
}

/// Compiles the standard plugins, and those that tenants of `settings` have, into `folder`.
pub async fn precompile(folder: &Path, settings: Option<&Settings>) -> anyhow::Result<Vec<Precompiled>> {
    let memory = settings.map_or(EngineSettings::default().memory_bytes, memory_bytes);
    let precompiler = Precompiler::new(folder, memory)?;
    // Only what the host will accept is worth a file, and what it refuses is better known now.
    let judge = PluginEngine::new(&EngineSettings { instances: 1, ..EngineSettings::default() })?;
    let (mut done, mut known) = (Vec::new(), HashSet::new());
    for Wanted { name, pin, bytes, tenant } in wanted(settings).await? {
        let began = Instant::now();
        let sha256 = Sha256Hash::of(&bytes);
        if known.contains(&sha256) && pin.is_none_or(|pin| pin == sha256) {
            continue;
        }
        match (PreparedPlugin::new(&judge, &name, &bytes, pin), tenant) {
            (Ok(_), _) => {}
            (Err(problem), Some((tenant, place))) => {
                let problem = Box::new(problem);
                return Err(PluginLoadError::Component { tenant, plugin: name, place, problem }.into());
            }
            (Err(problem), None) => return Err(problem.into()),
        }
        let bytes = precompiler.add(&bytes).with_context(|| format!("the plugin {name}"))?;
        known.insert(sha256);
        done.push(Precompiled { name, sha256, bytes, took: began.elapsed() });
    }
    Ok(done)
}

/// The tenants' own first: if one of them is refused, it is known at once.
async fn wanted(settings: Option<&Settings>) -> Result<Vec<Wanted>, PluginLoadError> {
    let mut wanted = Vec::new();
    for tenant in settings.iter().flat_map(|settings| &settings.tenants) {
        for plugin in &tenant.plugins {
            let (_, bytes) = code(&tenant.id, plugin).await?;
            wanted.push(Wanted {
                name: plugin.name.clone(),
                pin: plugin.sha256.as_deref().and_then(Sha256Hash::from_hex),
                bytes,
                tenant: Some((tenant.id.clone(), place(&plugin.code))),
            });
        }
    }
    for (name, plugin) in [("quote-filter", StandardPlugin::QuoteFilter), ("field-map", StandardPlugin::FieldMap)] {
        let (name, bytes) = (name.to_owned(), standard(plugin).into());
        wanted.push(Wanted { name, pin: None, bytes, tenant: None });
    }
    Ok(wanted)
}

//! Compiles plugins ahead of time, when an image is built: a host that starts in it needs no compiler.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use quotegate_config::{Settings, StandardPlugin};
use quotegate_plugin::{EngineSettings, PluginEngine, Precompiler, PreparedPlugin, Sha256Hash};

use crate::plugins::{code, memory_bytes, standard};

/// One component, compiled.
#[derive(Debug)]
pub(crate) struct Precompiled {
    /// What people call it.
    pub(crate) name: String,
    /// Its identity.
    pub(crate) sha256: Sha256Hash,
    /// The size of the code that a host will load.
    pub(crate) bytes: usize,
    /// How long compiling took.
    pub(crate) took: Duration,
}

/// Compiles the standard plugins, and those that tenants of `settings` have, into `folder`.
pub(crate) async fn precompile(folder: &Path, settings: Option<&Settings>) -> anyhow::Result<Vec<Precompiled>> {
    let mut wanted = Vec::new();
    for (name, plugin) in [("quote-filter", StandardPlugin::QuoteFilter), ("field-map", StandardPlugin::FieldMap)] {
        wanted.push((name.to_owned(), None, standard(plugin).into()));
    }
    for tenant in settings.iter().flat_map(|settings| &settings.tenants) {
        for plugin in &tenant.plugins {
            let (_, bytes) = code(&tenant.id, plugin).await?;
            let pin = plugin.sha256.as_deref().and_then(Sha256Hash::from_hex);
            wanted.push((plugin.name.clone(), pin, bytes));
        }
    }
    let memory = settings.map_or(EngineSettings::default().memory_bytes, memory_bytes);
    let precompiler = Precompiler::new(folder, memory)?;
    // Only what the host will accept is worth a file, and what it refuses is better known now.
    let judge = PluginEngine::new(&EngineSettings { instances: 1, ..EngineSettings::default() })?;
    let (mut done, mut known) = (Vec::new(), HashSet::new());
    for (name, pin, bytes) in wanted {
        let began = Instant::now();
        let sha256 = Sha256Hash::of(&bytes);
        if known.contains(&sha256) && pin.is_none_or(|pin| pin == sha256) {
            continue;
        }
        PreparedPlugin::new(&judge, &name, &bytes, pin).with_context(|| format!("the plugin {name}"))?;
        let bytes = precompiler.add(&bytes).with_context(|| format!("the plugin {name}"))?;
        known.insert(sha256);
        done.push(Precompiled { name, sha256, bytes, took: began.elapsed() });
    }
    Ok(done)
}

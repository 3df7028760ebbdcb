//! Changes plugins while the host runs: on SIGHUP, or when a file of settings or a component has changed.
//!
//! What is new is read, checked, compiled and started beside what runs. Only if all of a tenant's plugins start do they
//! take over; else the old ones stay, and the log says why.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quotegate_config::{Loaded, PluginCode, Settings, TenantSettings};
use quotegate_quote::TenantId;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::plugins::{Plugins, Recipe};
use crate::tenant::ChainChange;

/// Reads the settings again, from where they were read at the start.
pub type Load = Box<dyn Fn() -> anyhow::Result<Loaded> + Send + Sync>;

/// Where new settings come from.
pub struct Reloads {
    /// Reads everything again.
    pub load: Load,
    /// The files that were read; looked at for changes.
    pub files: Box<dyn Fn() -> Vec<PathBuf> + Send + Sync>,
    /// Rung by SIGHUP.
    pub asked: Arc<Notify>,
    /// What runs now.
    pub current: Loaded,
}

/// The way to a tenant's task.
pub(super) struct TenantDoor {
    pub(super) recipe: Recipe,
    pub(super) changes: mpsc::UnboundedSender<ChainChange>,
    pub(super) doorbell: Arc<Notify>,
}

/// The task that reloads.
pub(super) struct Reloader {
    pub(super) reloads: Reloads,
    pub(super) plugins: Arc<Plugins>,
    pub(super) tenants: BTreeMap<TenantId, TenantDoor>,
}

/// A file as it was when it was last looked at.
type Seen = Vec<(PathBuf, Option<(SystemTime, u64)>)>;

impl Reloader {
    /// Runs until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let every = self.reloads.current.settings.run.watch_interval;
        let mut seen = self.look().await;
        loop {
            let pause = every.unwrap_or(Duration::MAX);
            let asked = tokio::select! {
                () = stop.cancelled() => return,
                () = self.reloads.asked.notified() => true,
                () = tokio::time::sleep(pause), if every.is_some() => false,
            };
            let now = self.look().await;
            if asked || now != seen {
                seen = now;
                self.reload(if asked { "SIGHUP" } else { "a file has changed" }).await;
            }
        }
    }

    /// The state of every file that settings and plugins come from.
    async fn look(&self) -> Seen {
        let mut paths = (self.reloads.files)();
        let plugins = self.reloads.current.settings.tenants.iter().flat_map(|tenant| &tenant.plugins);
        paths.extend(plugins.filter_map(|plugin| match &plugin.code {
            PluginCode::File(path) => Some(path.clone()),
            PluginCode::Standard(_) => None,
        }));
        paths.sort();
        paths.dedup();
        let mut seen = Vec::with_capacity(paths.len());
        for path in paths {
            let state = tokio::fs::metadata(&path).await.ok();
            let state = state.and_then(|state| Some((state.modified().ok()?, state.len())));
            seen.push((path, state));
        }
        seen
    }

    async fn reload(&mut self, why: &str) {
        let loaded = match (self.reloads.load)() {
            Ok(loaded) => loaded,
            Err(problems) => {
                return error!(
                    event_type = "reload_refused",
                    "{why}, but the new settings are not good, so the old ones stay: {problems:#}"
                );
            }
        };
        let (mut changed, mut refused) = (0, 0);
        for tenant in &loaded.settings.tenants {
            match self.reload_tenant(tenant).await {
                Ok(true) => changed += 1,
                Ok(false) => {}
                Err(problem) => {
                    refused += 1;
                    error!(
                        event_type = "reload_refused",
                        tenant = %tenant.id,
                        "the tenant's plugins stay as they are: {problem:#}"
                    );
                }
            }
        }
        self.plugins.keep_only(self.tenants.values().map(|door| &door.recipe));
        let waiting = needs_restart(&self.reloads.current, &loaded);
        if !waiting.is_empty() {
            warn!(
                event_type = "reload_needs_restart",
                "changes of these settings count from the next start on: {}",
                waiting.join(", ")
            );
        }
        info!(event_type = "reload", changed, refused, "{why}: the plugins of {changed} tenants were replaced");
        self.remember(loaded);
    }

    /// Keeps the new settings as the current ones, so that the next look at files knows the new plugins'.
    fn remember(&mut self, loaded: Loaded) {
        self.reloads.current = loaded;
    }

    /// True if the tenant has new plugins now.
    async fn reload_tenant(&mut self, tenant: &TenantSettings) -> anyhow::Result<bool> {
        // A tenant that is new needs a restart, which is said elsewhere.
        let Some(door) = self.tenants.get_mut(&tenant.id) else { return Ok(false) };
        let (recipe, codes) = self.plugins.recipe(tenant).await?;
        if recipe == door.recipe {
            return Ok(false);
        }
        let chain = self.plugins.chain(&tenant.id, &recipe, codes).await?;
        let (taken, answer) = oneshot::channel();
        if door.changes.send(ChainChange { chain, taken }).is_err() {
            return Ok(false);
        }
        door.doorbell.notify_one();
        door.recipe = recipe;
        if answer.await.is_ok() {
            info!(event_type = "plugins_changed", tenant = %tenant.id, "the tenant's new plugins have taken over");
        }
        Ok(true)
    }
}

/// The keys that differ and that nothing but a start reads.
fn needs_restart(old: &Loaded, new: &Loaded) -> Vec<String> {
    let rows = |loaded: &Loaded| -> BTreeMap<String, String> {
        let rows = loaded.report().iter().filter(|row| !row.key.ends_with(".plugins"));
        rows.map(|row| (row.key.clone(), row.value.clone())).collect()
    };
    let (old, new) = (rows(old), rows(new));
    let mut keys: Vec<String> =
        new.iter().filter(|(key, value)| old.get(*key) != Some(value)).map(|(key, _)| key.clone()).collect();
    keys.extend(old.keys().filter(|key| !new.contains_key(*key)).cloned());
    keys
}

/// The recipes of all tenants and their chains, in the order of the settings.
pub(super) async fn chains(
    plugins: &Arc<Plugins>,
    settings: &Settings,
) -> anyhow::Result<Vec<(Recipe, Option<quotegate_plugin::PluginChain>)>> {
    let mut chains = Vec::with_capacity(settings.tenants.len());
    for tenant in &settings.tenants {
        let (recipe, codes) = plugins.recipe(tenant).await?;
        let chain = plugins.chain(&tenant.id, &recipe, codes).await?;
        chains.push((recipe, chain));
    }
    Ok(chains)
}

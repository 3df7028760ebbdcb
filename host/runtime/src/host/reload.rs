//! Changes tenants, symbols, limits and plugins while the host runs: on SIGHUP, or when a settings file or a component
//! has changed.
//!
//! New settings are read, checked, compiled and started beside what runs. They replace it in one step if all of them are
//! good. Otherwise everything stays as it is, and the log says why. The websocket is not touched: the feed subscribes to
//! and unsubscribes from the symbols that differ.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quotegate_config::{Loaded, PluginCode, SinkSettings};
use quotegate_document::TenantId;
use quotegate_loader::PluginLoader;
use quotegate_market::FeedName;
use quotegate_pace::Rate;
use quotegate_pipeline::budget::now;
use quotegate_pipeline::router::RouteChange;
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::setup::{PreparedTenant, TenantSetup, tenant_setup};
use super::supervisor::{TenantChange, TenantSupervisor};
use super::watched_files::WatchedFiles;
use super::wiring;
use crate::heartbeat;
use crate::status::HostStatus;
use crate::text::counted;

/// Reads the settings again, from where they were read at the start.
pub type LoadSettings = Box<dyn Fn() -> anyhow::Result<Loaded> + Send + Sync>;

/// Where new settings come from.
pub struct ReloadSource {
    /// Reads all settings again.
    pub load: LoadSettings,
    /// The settings files. Made before they were read for [`Self::current`].
    pub files: WatchedFiles,
    /// Notified by SIGHUP.
    pub requested: Arc<Notify>,
    /// The settings in effect.
    pub current: Loaded,
}

/// The task that reloads.
pub(super) struct Reloader {
    pub(super) source: ReloadSource,
    pub(super) plugins: Arc<PluginLoader>,
    pub(super) tenants: Arc<Mutex<TenantSupervisor>>,
    pub(super) status: Arc<HostStatus>,
    /// From the start: sink and feed do not change while the host runs.
    pub(super) sink: SinkSettings,
    pub(super) feed: FeedName,
}

/// New settings with everything prepared. Applying them cannot fail.
struct PreparedReload {
    loaded: Loaded,
    limit: Rate,
    removed: Vec<TenantId>,
    changed: Vec<TenantChange>,
    added: Vec<PreparedTenant>,
}

impl Reloader {
    /// Runs until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let interval = self.source.current.settings.run.watch_interval;
        let mut states = self.source.files.before(&self.plugin_files()).await;
        loop {
            let requested = tokio::select! {
                () = stop.cancelled() => return,
                () = self.source.requested.notified() => true,
                () = tokio::time::sleep(interval.unwrap_or(Duration::MAX)), if interval.is_some() => false,
            };
            let new = self.source.files.now(&self.plugin_files()).await;
            if requested || new != states {
                states = new;
                let why = if requested { "SIGHUP" } else { "a file has changed" };
                // Compiling takes seconds, and a shutdown must not wait for it.
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.reload(why) => {}
                }
            }
        }
    }

    fn plugin_files(&self) -> Vec<PathBuf> {
        let plugins = self.source.current.settings.tenants.iter().flat_map(|tenant| &tenant.plugins);
        let file = |code: &PluginCode| match code {
            PluginCode::File(path) => Some(path.clone()),
            PluginCode::Standard(_) => None,
        };
        plugins.filter_map(|plugin| file(&plugin.code)).collect()
    }

    /// Applies all of the new settings, or none.
    async fn reload(&mut self, why: &str) {
        let loaded = match (self.source.load)() {
            Ok(loaded) => loaded,
            Err(error) => {
                return self.refuse(why, &error, "the new settings are invalid, so the old ones stay in effect");
            }
        };
        let prepared = match self.prepare(loaded).await {
            Ok(prepared) => prepared,
            Err(error) => {
                // What was compiled for them is of no use.
                self.release_plugins(&*self.tenants.lock().await);
                let what = "the new settings cannot be applied, so all tenants and limits stay as they are";
                return self.refuse(why, &error, what);
            }
        };
        let (altered, added, removed) = (prepared.changed.len(), prepared.added.len(), prepared.removed.len());
        let waiting = needs_restart(&self.source.current, &prepared.loaded);
        self.apply(prepared).await;
        self.status.reloads.count_applied();
        if !waiting.is_empty() {
            warn!(
                event_type = "reload_needs_restart",
                "changes of these settings take effect after a restart: {}",
                waiting.join(", ")
            );
        }
        info!(
            event_type = "reload",
            altered,
            added,
            removed,
            "{why}: {} added, {removed} removed, {altered} changed",
            counted(added, "tenant")
        );
    }

    fn refuse(&self, why: &str, error: &anyhow::Error, what: &str) {
        self.status.reloads.count_refused();
        error!(event_type = "reload_refused", "{why}, but {what}: {error:#}");
    }

    /// Reads, checks, compiles and starts whatever is new, beside what runs.
    async fn prepare(&self, loaded: Loaded) -> anyhow::Result<PreparedReload> {
        let settings = &loaded.settings;
        let limit = wiring::rate(settings.pace.writes_per_second, settings.pace.burst)?;
        let running: BTreeMap<TenantId, TenantSetup> = {
            let tenants = self.tenants.lock().await;
            tenants.running.iter().map(|(id, tenant)| (id.clone(), tenant.setup.clone())).collect()
        };
        let (mut changed, mut added) = (Vec::new(), Vec::new());
        for tenant in &settings.tenants {
            let (setup, code) = tenant_setup(&self.plugins, tenant, &self.sink, self.feed).await?;
            match running.get(&tenant.id) {
                Some(old) if *old == setup => {}
                Some(old) => {
                    let has_none = old.chain_spec.is_empty() && setup.chain_spec.is_empty();
                    let chain = if has_none || old.chain_spec == setup.chain_spec {
                        None
                    } else {
                        Some(self.plugins.chain(&tenant.id, &setup.chain_spec, code).await?)
                    };
                    changed.push(TenantChange { setup, chain });
                }
                None => {
                    let chain = self.plugins.chain(&tenant.id, &setup.chain_spec, code).await?;
                    added.push(PreparedTenant { setup, chain, hold_until: None });
                }
            }
        }
        for tenant in &mut added {
            // Two tasks must never write the same documents.
            let leaving = self.tenants.lock().await.leaving(&tenant.setup.spec.id);
            if let Some(gone) = leaving {
                gone.cancelled().await;
                tenant.hold_until = Some(now() + tenant.setup.spec.per_symbol_min_interval);
            }
        }
        let stays = |id: &TenantId| settings.tenants.iter().any(|tenant| tenant.id == *id);
        let removed = running.into_keys().filter(|id| !stays(id)).collect();
        Ok(PreparedReload { loaded, limit, removed, changed, added })
    }

    /// Drops the compiled code that no tenant uses.
    fn release_plugins(&self, tenants: &TenantSupervisor) {
        self.plugins.retain(tenants.running.values().map(|tenant| &tenant.setup.chain_spec));
    }

    /// Switches to the new settings in one step, then waits until they apply to every tenant.
    async fn apply(&mut self, prepared: PreparedReload) {
        let PreparedReload { loaded, limit, removed, changed, added } = prepared;
        let settings = &loaded.settings;
        let added_ids: BTreeSet<TenantId> = added.iter().map(|tenant| tenant.setup.spec.id.clone()).collect();
        let mut pending = Vec::new();
        let (status, heartbeats) = {
            let mut tenants = self.tenants.lock().await;
            let mut routes: Vec<RouteChange> = removed.iter().filter_map(|id| tenants.remove(id)).collect();
            tenants.services.pauses.set_settings(settings);
            for change in changed {
                let (id, has_new_chain) = (change.setup.spec.id.clone(), change.chain.is_some());
                let (route, applied) = tenants.update(change);
                routes.extend(route);
                pending.push((id, has_new_chain, applied));
            }
            for tenant in added {
                let (id, wanted, inbox) = tenants.spawn(tenant);
                routes.push(RouteChange::Add(id, wanted, inbox));
            }
            let services = &tenants.services;
            services.routes.send(routes);
            // After the routes, so that the new quotes have somewhere to go.
            let subscription = wiring::subscription(settings);
            services.subscription.send_if_modified(|held| {
                let differs = **held != subscription;
                if differs {
                    *held = Arc::new(subscription);
                }
                differs
            });
            services.budget.set_global(limit);
            services.limits.send_if_modified(|held| std::mem::replace(held, limit) != limit);
            self.release_plugins(&tenants);
            (services.status.clone(), services.heartbeats.clone())
        };
        // Already in effect, even if a shutdown cancels the rest.
        self.source.current = loaded;
        for (tenant, has_new_chain, applied) in pending {
            let is_applied = match applied {
                Some(applied) => applied.await.is_ok(),
                None => false,
            };
            if is_applied && has_new_chain {
                info!(event_type = "plugins_changed", %tenant, "the tenant's new plugins are in use");
            }
            if is_applied {
                info!(event_type = "tenant_altered", %tenant, "the tenant's new settings are in effect");
            }
        }
        for tenant in &added_ids {
            info!(event_type = "tenant_added", %tenant, "added the tenant {tenant}");
        }
        if !added_ids.is_empty() {
            heartbeat::write_first(&status, &heartbeats, &added_ids).await;
        }
    }
}

/// The changed keys that are only read at the start.
fn needs_restart(old: &Loaded, new: &Loaded) -> Vec<String> {
    // `feed.max_symbols` is checked at every load.
    const LIVE: [&str; 4] = ["pace.writes_per_second", "pace.burst", "run.paused", "feed.max_symbols"];
    let is_live = |key: &str| {
        let first = key.split('.').next().unwrap_or_default();
        LIVE.contains(&key) || matches!(first, "tenants" | "tenant_defaults")
    };
    let rows = |loaded: &Loaded| -> BTreeMap<String, String> {
        let rows = loaded.rows.iter().filter(|row| !is_live(&row.key));
        rows.map(|row| (row.key.clone(), row.value.clone())).collect()
    };
    let (old, new) = (rows(old), rows(new));
    let mut keys: Vec<String> =
        new.iter().filter(|(key, value)| old.get(*key) != Some(value)).map(|(key, _)| key.clone()).collect();
    keys.extend(old.keys().filter(|key| !new.contains_key(*key)).cloned());
    keys
}

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

use quotegate_config::{Loaded, PluginCode};
use quotegate_lease::ShardsHandle;
use quotegate_pace::Rate;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::tenant_plan::{PreparedTenants, TenantPlan};
use super::watched_files::WatchedFiles;
use super::wiring;
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

impl ReloadSource {
    /// Settings that do not change.
    pub fn fixed(mut current: Loaded) -> Self {
        current.settings.run.watch_interval = None;
        Self {
            load: Box::new(|| Err(anyhow::anyhow!("these settings do not change"))),
            files: WatchedFiles::new(Vec::new),
            requested: Arc::default(),
            current,
        }
    }
}

/// The task that changes the tenants: when the settings change, and with a relay, when this host's shards do.
pub(super) struct Reloader {
    pub(super) source: ReloadSource,
    pub(super) plan: TenantPlan,
    /// `None` without a relay.
    pub(super) shards: Option<ShardsHandle>,
}

/// New settings with everything prepared. Applying them cannot fail.
struct PreparedReload {
    loaded: Loaded,
    limit: Rate,
    tenants: PreparedTenants,
}

/// Why tenants may have to change.
enum Occasion {
    Requested,
    Interval,
    Assigned(Arc<BTreeSet<u16>>),
}

impl Reloader {
    /// Runs until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let interval = self.source.current.settings.run.watch_interval;
        let mut states = self.source.files.before(&self.plugin_files()).await;
        let mut assigned = self.shards.as_ref().map(ShardsHandle::assigned);
        if let Some(assigned) = &mut assigned {
            assigned.mark_changed();
        }
        loop {
            let occasion = tokio::select! {
                () = stop.cancelled() => return,
                () = self.source.requested.notified() => Occasion::Requested,
                shards = next(&mut assigned) => Occasion::Assigned(shards),
                () = tokio::time::sleep(interval.unwrap_or(Duration::MAX)), if interval.is_some() => Occasion::Interval,
            };
            if let Occasion::Assigned(shards) = occasion {
                // Compiling takes seconds, and a shutdown must not wait for it.
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.follow(shards) => {}
                }
                continue;
            }
            let new = self.source.files.now(&self.plugin_files()).await;
            let requested = matches!(occasion, Occasion::Requested);
            if requested || new != states {
                states = new;
                let why = if requested { "SIGHUP" } else { "a file has changed" };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.reload(why) => {}
                }
            }
        }
    }

    async fn follow(&mut self, held: Arc<BTreeSet<u16>>) {
        let settings = &self.source.current.settings;
        let limit = wiring::rate(settings.pace.writes_per_second, settings.pace.burst);
        // They were checked when they were loaded.
        if let (Some(shards), Ok(limit)) = (&self.shards, limit) {
            self.plan.follow(settings, limit, held, shards).await;
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
                self.plan.release_plugins(&*self.plan.tenants.lock().await);
                let what = "the new settings cannot be applied, so all tenants and limits stay as they are";
                return self.refuse(why, &error, what);
            }
        };
        let waiting = needs_restart(&self.source.current, &prepared.loaded);
        let PreparedReload { loaded, limit, tenants } = prepared;
        let (altered, added, removed) = (tenants.changed.len(), tenants.added.len(), tenants.removed.len());
        // Before they apply: a shutdown may cancel what follows.
        self.source.current = loaded;
        let new = self.plan.apply(Some((&self.source.current.settings, limit)), tenants).await;
        for tenant in &new {
            info!(event_type = "tenant_added", %tenant, "added the tenant {tenant}");
        }
        self.plan.tell(&new).await;
        self.plan.status.reloads.count_applied();
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
        self.plan.status.reloads.count_refused();
        error!(event_type = "reload_refused", "{why}, but {what}: {error:#}");
    }

    /// Checks, compiles and starts whatever is new, beside what runs.
    async fn prepare(&self, loaded: Loaded) -> anyhow::Result<PreparedReload> {
        let settings = &loaded.settings;
        let limit = wiring::rate(settings.pace.writes_per_second, settings.pace.burst)?;
        let mut tenants = self.plan.prepare(&self.plan.wanted(settings)).await?;
        tenants.removed = self.plan.removed(settings).await;
        self.plan.status.clear_unstarted();
        Ok(PreparedReload { loaded, limit, tenants })
    }
}

/// The shards of this host, when they change.
async fn next(assigned: &mut Option<watch::Receiver<Arc<BTreeSet<u16>>>>) -> Arc<BTreeSet<u16>> {
    if let Some(assigned) = assigned
        && assigned.changed().await.is_ok()
    {
        return assigned.borrow_and_update().clone();
    }
    std::future::pending().await
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

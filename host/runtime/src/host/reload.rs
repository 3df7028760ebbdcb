//! Changes tenants, symbols, limits and plugins while the host runs: on SIGHUP, or when a file of settings or a
//! component has changed.
//!
//! What is new is read, checked, compiled and started beside what runs. Only if all of it is good does it take over, in
//! one step; else everything stays as it is, and the log says why. The websocket is not touched: the feed sends the
//! difference of the symbols.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quotegate_config::{Loaded, PluginCode, Settings, SinkSettings, TenantSettings};
use quotegate_document::TenantId;
use quotegate_pace::Rate;
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::roster::{Alteration, Newcomer, Roster, Terms};
use super::wiring;
use crate::heartbeat;
use quotegate_loader::PluginLoader;
use quotegate_pipeline::budget::now;
use quotegate_pipeline::router::RouteChange;

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

/// The task that reloads.
pub(super) struct Reloader {
    pub(super) reloads: Reloads,
    pub(super) plugins: Arc<PluginLoader>,
    pub(super) roster: Arc<Mutex<Roster>>,
    /// As they were at the start: they do not change while the host runs.
    pub(super) sink: SinkSettings,
}

/// New settings, and all that they take: nothing about them can fail any more.
struct Prepared {
    loaded: Loaded,
    limit: Rate,
    leavers: Vec<TenantId>,
    altered: Vec<Alteration>,
    newcomers: Vec<Newcomer>,
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
                let why = if asked { "SIGHUP" } else { "a file has changed" };
                // Compiling takes seconds, and a shutdown waits for nobody. What counts already stays.
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.reload(why) => {}
                }
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

    /// All of the new settings or nothing of them.
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
        let prepared = match self.prepare(loaded).await {
            Ok(prepared) => prepared,
            Err(problem) => {
                return error!(
                    event_type = "reload_refused",
                    "{why}, but not all of it can count, so all tenants and limits stay as they are: {problem:#}"
                );
            }
        };
        let (altered, added, removed) = (prepared.altered.len(), prepared.newcomers.len(), prepared.leavers.len());
        let waiting = needs_restart(&self.reloads.current, &prepared.loaded);
        self.switch(prepared).await;
        if !waiting.is_empty() {
            warn!(
                event_type = "reload_needs_restart",
                "changes of these settings count from the next start on: {}",
                waiting.join(", ")
            );
        }
        info!(
            event_type = "reload",
            altered, added, removed, "{why}: {added} tenants added, {removed} removed, {altered} altered"
        );
    }

    /// Reads, checks, compiles and starts whatever is new, beside what runs.
    async fn prepare(&self, loaded: Loaded) -> anyhow::Result<Prepared> {
        let settings = &loaded.settings;
        let limit = wiring::rate(settings.pace.writes_per_second, settings.pace.burst)?;
        let running: BTreeMap<TenantId, Terms> = {
            let roster = self.roster.lock().await;
            roster.members.iter().map(|(id, member)| (id.clone(), member.terms.clone())).collect()
        };
        let (mut altered, mut newcomers) = (Vec::new(), Vec::new());
        for tenant in &settings.tenants {
            let (terms, codes) = terms(&self.plugins, tenant, &self.sink).await?;
            match running.get(&tenant.id) {
                Some(old) if *old == terms => {}
                Some(old) => {
                    let has_none = old.recipe.is_empty() && terms.recipe.is_empty();
                    let chain = if has_none || old.recipe == terms.recipe {
                        None
                    } else {
                        Some(self.plugins.chain(&tenant.id, &terms.recipe, codes).await?)
                    };
                    altered.push(Alteration { terms, chain });
                }
                None => {
                    let chain = self.plugins.chain(&tenant.id, &terms.recipe, codes).await?;
                    newcomers.push(Newcomer { terms, chain, hold_until: None });
                }
            }
        }
        for newcomer in &mut newcomers {
            // Two tasks must never write the same documents.
            let leaving = self.roster.lock().await.leaving(&newcomer.terms.plan.id);
            if let Some(gone) = leaving {
                gone.cancelled().await;
                newcomer.hold_until = Some(now() + newcomer.terms.plan.per_symbol_min_interval);
            }
        }
        let stays = |id: &TenantId| settings.tenants.iter().any(|tenant| tenant.id == *id);
        let leavers = running.into_keys().filter(|id| !stays(id)).collect();
        Ok(Prepared { loaded, limit, leavers, altered, newcomers })
    }

    /// Makes the new settings count, in one step; then waits until every tenant has heard of it.
    async fn switch(&mut self, prepared: Prepared) {
        let Prepared { loaded, limit, leavers, altered, newcomers } = prepared;
        let settings = &loaded.settings;
        let added: BTreeSet<TenantId> = newcomers.iter().map(|newcomer| newcomer.terms.plan.id.clone()).collect();
        let mut answers = Vec::new();
        let (status, heartbeats) = {
            let mut roster = self.roster.lock().await;
            let mut routes: Vec<RouteChange> = leavers.iter().filter_map(|id| roster.dismiss(id)).collect();
            roster.house.pauses.set_settings(settings);
            for alteration in altered {
                let (id, new_chain) = (alteration.terms.plan.id.clone(), alteration.chain.is_some());
                let (route, answer) = roster.alter(alteration);
                routes.extend(route);
                answers.push((id, new_chain, answer));
            }
            for newcomer in newcomers {
                let (id, wanted, inbox) = roster.admit(newcomer);
                routes.push(RouteChange::Add(id, wanted, inbox));
            }
            let house = &roster.house;
            house.routes.send(routes);
            // After the routes: quotes that are asked for must find their way.
            let subscription = wiring::subscription(settings);
            house.wanted.send_if_modified(|held| {
                let differs = **held != subscription;
                if differs {
                    *held = Arc::new(subscription);
                }
                differs
            });
            house.budget.set_global(limit);
            house.limits.send_if_modified(|held| std::mem::replace(held, limit) != limit);
            self.plugins.retain(roster.members.values().map(|member| &member.terms.recipe));
            (house.status.clone(), house.heartbeats.clone())
        };
        // From here on it all counts, also if nobody waits for the rest.
        self.reloads.current = loaded;
        for (tenant, new_chain, answer) in answers {
            let taken = match answer {
                Some(answer) => answer.await.is_ok(),
                None => false,
            };
            if taken && new_chain {
                info!(event_type = "plugins_changed", %tenant, "the tenant's new plugins have taken over");
            }
            if taken {
                info!(event_type = "tenant_altered", %tenant, "the tenant has its new settings");
            }
        }
        for tenant in &added {
            info!(event_type = "tenant_added", %tenant, "the tenant {tenant} is new");
        }
        if !added.is_empty() {
            heartbeat::greet(&status, &heartbeats, &added).await;
        }
    }
}

/// The keys that differ and that nothing but a start reads.
fn needs_restart(old: &Loaded, new: &Loaded) -> Vec<String> {
    // What `feed.max_symbols` asks is asked at every load.
    const LIVE: [&str; 4] = ["pace.writes_per_second", "pace.burst", "run.paused", "feed.max_symbols"];
    let is_live = |key: &str| {
        let first = key.split('.').next().unwrap_or_default();
        LIVE.contains(&key) || matches!(first, "tenants" | "tenant_defaults")
    };
    let rows = |loaded: &Loaded| -> BTreeMap<String, String> {
        let rows = loaded.report().iter().filter(|row| !is_live(&row.key));
        rows.map(|row| (row.key.clone(), row.value.clone())).collect()
    };
    let (old, new) = (rows(old), rows(new));
    let mut keys: Vec<String> =
        new.iter().filter(|(key, value)| old.get(*key) != Some(value)).map(|(key, _)| key.clone()).collect();
    keys.extend(old.keys().filter(|key| !new.contains_key(*key)).cloned());
    keys
}

/// What a tenant is to be, and the code of its plugins.
async fn terms(
    plugins: &PluginLoader,
    tenant: &TenantSettings,
    sink: &SinkSettings,
) -> anyhow::Result<(Terms, Vec<Arc<[u8]>>)> {
    let (recipe, codes) = plugins.chain_spec(tenant).await?;
    let terms = Terms { plan: wiring::tenant(tenant, sink)?, wanted: wiring::wanted(&tenant.symbols), recipe };
    Ok((terms, codes))
}

/// All tenants of these settings, in their order, with their plugins started.
pub(crate) async fn newcomers(plugins: &Arc<PluginLoader>, settings: &Settings) -> anyhow::Result<Vec<Newcomer>> {
    let mut newcomers = Vec::with_capacity(settings.tenants.len());
    for tenant in &settings.tenants {
        let (terms, codes) = terms(plugins, tenant, &settings.sink).await?;
        let chain = plugins.chain(&tenant.id, &terms.recipe, codes).await?;
        newcomers.push(Newcomer { terms, chain, hold_until: None });
    }
    Ok(newcomers)
}

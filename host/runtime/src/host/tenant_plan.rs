//! Which tenants this host runs: those of the settings, or with a relay, those of them whose shards are assigned to it.
//!
//! What is new is compiled and started beside what runs, and replaces it in one step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quotegate_config::{Settings, SinkSettings, TenantSettings};
use quotegate_document::TenantId;
use quotegate_lease::shard_of;
use quotegate_loader::PluginLoader;
use quotegate_market::{FeedName, Subscription};
use quotegate_pace::Rate;
use quotegate_pipeline::budget::now;
use quotegate_pipeline::router::RouteChange;
use tokio::sync::{Mutex, watch};
use tracing::info;

use super::setup::{PreparedTenant, TenantSetup, tenant_setup};
use super::supervisor::{Removal, TenantChange, TenantSupervisor};
use super::wiring;
use crate::heartbeat;
use crate::status::HostStatus;

/// Starts, changes and ends tenants.
pub(super) struct TenantPlan {
    pub(super) plugins: Arc<PluginLoader>,
    pub(super) tenants: Arc<Mutex<TenantSupervisor>>,
    pub(super) status: Arc<HostStatus>,
    /// From the start: sink and feed do not change while the host runs.
    pub(super) sink: SinkSettings,
    pub(super) feed: FeedName,
    /// With a relay, this host's part of the tenants.
    pub(super) part: Option<Part>,
}

/// This host's part of the tenants, and what the feed needs for all of them.
pub(super) struct Part {
    /// The shards that this host has.
    pub(super) held: Arc<BTreeSet<u16>>,
    /// How many there are.
    pub(super) shards: u16,
    /// What the reader subscribes to: the symbols of all tenants, wherever they run.
    pub(super) feed_subscription: watch::Sender<Arc<Subscription>>,
}

impl Part {
    pub(super) fn has(&self, tenant: &TenantId) -> bool {
        self.held.contains(&shard_of(tenant.as_str(), self.shards))
    }

    /// This host's share of a limit for all hosts. `None`: it may not write.
    fn share(&self, limit: Rate) -> Option<Rate> {
        limit.share(u16::try_from(self.held.len()).unwrap_or(u16::MAX), self.shards)
    }
}

/// New tenants and changes, with everything prepared. Applying them cannot fail.
#[derive(Default)]
pub(super) struct PreparedTenants {
    pub(super) removed: Vec<TenantId>,
    pub(super) changed: Vec<TenantChange>,
    pub(super) added: Vec<PreparedTenant>,
}

impl TenantPlan {
    /// The tenants of these settings that this host runs.
    pub(super) fn wanted<'a>(&self, settings: &'a Settings) -> Vec<&'a TenantSettings> {
        let is_here = |tenant: &&TenantSettings| self.part.as_ref().is_none_or(|part| part.has(&tenant.id));
        settings.tenants.iter().filter(is_here).collect()
    }

    /// Compiles and starts whatever is new in `wanted`, beside what runs. Tenants that are not wanted are not removed.
    pub(super) async fn prepare(&self, wanted: &[&TenantSettings]) -> anyhow::Result<PreparedTenants> {
        let running: BTreeMap<TenantId, TenantSetup> = {
            let tenants = self.tenants.lock().await;
            let wanted = wanted.iter().filter_map(|tenant| tenants.running.get_key_value(&tenant.id));
            wanted.map(|(id, tenant)| (id.clone(), tenant.setup.clone())).collect()
        };
        let mut prepared = PreparedTenants::default();
        for tenant in wanted {
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
                    prepared.changed.push(TenantChange { setup, chain });
                }
                None => {
                    let chain = self.plugins.chain(&tenant.id, &setup.chain_spec, code).await?;
                    prepared.added.push(PreparedTenant { setup, chain, hold_until: None });
                }
            }
        }
        for tenant in &mut prepared.added {
            // Two tasks must never write the same documents.
            let leaving = self.tenants.lock().await.leaving(&tenant.setup.spec.id);
            if let Some(gone) = leaving {
                gone.cancelled().await;
                tenant.hold_until = Some(now() + tenant.setup.spec.per_symbol_min_interval);
            }
        }
        Ok(prepared)
    }

    /// The running tenants that are no longer in these settings.
    pub(super) async fn removed(&self, settings: &Settings) -> Vec<TenantId> {
        let stay: BTreeSet<&TenantId> = settings.tenants.iter().map(|tenant| &tenant.id).collect();
        self.tenants.lock().await.running.keys().filter(|id| !stay.contains(id)).cloned().collect()
    }

    /// Switches to what was prepared in one step, and to `new` settings and their limit if there are any. Then waits until it
    /// applies to every tenant. Returns the tenants that were added.
    pub(super) async fn apply(&self, new: Option<(&Settings, Rate)>, prepared: PreparedTenants) -> BTreeSet<TenantId> {
        let PreparedTenants { removed, changed, added } = prepared;
        let added_ids = added.iter().map(|tenant| tenant.setup.spec.id.clone()).collect();
        let only_adds = new.is_none() && removed.is_empty() && changed.is_empty();
        let mut pending = Vec::new();
        {
            let mut tenants = self.tenants.lock().await;
            let removed = removed.iter().filter_map(|id| tenants.remove(id, Removal::FromSettings));
            let mut routes: Vec<RouteChange> = removed.collect();
            if let Some((settings, _)) = new {
                tenants.services.pauses.set_settings(settings);
            }
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
            tenants.services.routes.send(routes);
            if let Some((settings, limit)) = new {
                if let Some(part) = &self.part {
                    set(&part.feed_subscription, wiring::subscription(&settings.tenants));
                }
                self.subscribe(settings, &tenants);
                self.limit(limit, &tenants);
            } else {
                // New routes must not wait for the next quote.
                tenants.services.subscription.send_modify(|_| {});
            }
            // Looks at every tenant, and there may be many steps that only add some.
            if !only_adds {
                self.release_plugins(&tenants);
            }
        }
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
        added_ids
    }

    /// Writes the first heartbeats of tenants that were added.
    pub(super) async fn tell(&self, added: &BTreeSet<TenantId>) {
        if added.is_empty() {
            return;
        }
        // With a relay, another host has just written the tenants' heartbeats. If quotes are expected, the first one brings the
        // next heartbeat: without it, `ts` would go back.
        if self.part.is_none() || heartbeat::missed_quotes(&self.status.snapshot()).is_none() {
            let heartbeats = self.tenants.lock().await.services.heartbeats.clone();
            heartbeat::write_first(&self.status, &heartbeats, added).await;
        }
    }

    /// Drops the compiled code that no tenant uses.
    pub(super) fn release_plugins(&self, tenants: &TenantSupervisor) {
        self.plugins.retain(tenants.running.values().map(|tenant| &tenant.setup.chain_spec));
    }

    /// Asks for the symbols of this host's tenants. After the routes were sent, so that their quotes have somewhere to go.
    pub(super) fn subscribe(&self, settings: &Settings, tenants: &TenantSupervisor) {
        let own = wiring::subscription(self.wanted(settings));
        match self.part {
            None => set(&tenants.services.subscription, own),
            // Also if it is the same: new routes must not wait for the next quote.
            Some(_) => drop(tenants.services.subscription.send_replace(Arc::new(own))),
        }
    }

    /// Sets the limit of all tenants together, or this host's share of it.
    pub(super) fn limit(&self, limit: Rate, tenants: &TenantSupervisor) {
        let services = &tenants.services;
        let own = match &self.part {
            None => {
                services.budget.set_global(limit);
                limit
            }
            Some(part) => {
                let share = part.share(limit);
                services.budget.set_share(share);
                self.status.set_share_problem(share.is_none() && !part.held.is_empty(), limit);
                share.unwrap_or(limit)
            }
        };
        services.limits.send_if_modified(|held| std::mem::replace(held, own) != own);
    }
}

fn set(subscription: &watch::Sender<Arc<Subscription>>, to: Subscription) {
    subscription.send_if_modified(|held| {
        let differs = **held != to;
        if differs {
            *held = Arc::new(to);
        }
        differs
    });
}

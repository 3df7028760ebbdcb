//! Tenants that move between hosts, because their shards do.

use std::collections::BTreeSet;
use std::sync::Arc;

use quotegate_config::{Settings, TenantSettings};
use quotegate_document::TenantId;
use quotegate_lease::ShardsHandle;
use quotegate_pace::Rate;
use quotegate_pipeline::router::RouteChange;
use tracing::{error, info};

use super::supervisor::Removal;
use super::tenant_plan::{Part, TenantPlan};
use crate::text::counted;

/// How many tenants are prepared before they start. Few, because each waits for the others, but not one, because each start
/// has a cost.
const AT_ONCE: usize = 50;

impl TenantPlan {
    /// Ends the tenants of shards that this host no longer has, confirms that, and starts those of new shards.
    pub(super) async fn follow(
        &mut self,
        settings: &Settings,
        limit: Rate,
        held: Arc<BTreeSet<u16>>,
        shards: &ShardsHandle,
    ) {
        let Some(part) = &mut self.part else { return };
        let before = std::mem::replace(&mut part.held, held.clone());
        let ended = self.end_moved(settings, limit).await;
        shards.confirm(BTreeSet::clone(&held));
        let started = self.start_missing(settings).await;
        self.tell(&started).await;
        let started = started.len();
        if *held != *before {
            info!(
                event_type = "shards",
                shards = held.len(),
                ended,
                started,
                "this host has {} now: {} started, {ended} ended",
                counted(held.len(), "shard"),
                counted(started, "tenant"),
            );
        }
    }

    /// Returns how many tenants have ended.
    async fn end_moved(&self, settings: &Settings, limit: Rate) -> usize {
        let ending = {
            let mut tenants = self.tenants.lock().await;
            let is_gone = |part: &Part| tenants.running.keys().filter(|id| !part.has(id)).cloned().collect();
            let moved: Vec<_> = self.part.as_ref().map(is_gone).unwrap_or_default();
            let routes: Vec<RouteChange> = moved.iter().filter_map(|id| tenants.remove(id, Removal::Moved)).collect();
            tenants.services.routes.send(routes);
            self.subscribe(settings, &tenants);
            self.limit(limit, &tenants);
            self.release_plugins(&tenants);
            moved.iter().filter_map(|id| tenants.leaving(id)).collect::<Vec<_>>()
        };
        for gone in &ending {
            gone.cancelled().await;
        }
        ending.len()
    }

    /// Returns the tenants that have started. One that cannot start keeps no other from it.
    async fn start_missing(&self, settings: &Settings) -> BTreeSet<TenantId> {
        let missing: Vec<&TenantSettings> = {
            let tenants = self.tenants.lock().await;
            let is_missing = |tenant: &&TenantSettings| !tenants.running.contains_key(&tenant.id);
            self.wanted(settings).into_iter().filter(is_missing).collect()
        };
        let mut started = BTreeSet::new();
        self.status.clear_unstarted();
        for some in missing.chunks(AT_ONCE) {
            if let Ok(prepared) = self.prepare(some).await {
                started.extend(self.apply(None, prepared).await);
                continue;
            }
            for tenant in some {
                match self.prepare(&[*tenant]).await {
                    Ok(prepared) => started.extend(self.apply(None, prepared).await),
                    Err(error) => {
                        let id = &tenant.id;
                        error!(event_type = "tenant_not_started", tenant = %id, "the tenant {id} cannot start: {error:#}");
                        self.status.add_unstarted(id.clone(), format!("{error:#}"));
                    }
                }
            }
        }
        started
    }
}

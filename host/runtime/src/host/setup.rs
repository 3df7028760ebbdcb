//! From settings to tenants that are ready to start.

use std::sync::Arc;

use quotegate_config::{Settings, SinkSettings, TenantSettings};
use quotegate_loader::{ChainSpec, PluginLoader};
use quotegate_market::FeedName;
use quotegate_pipeline::router::Wanted;
use quotegate_pipeline::tenant::TenantSpec;
use quotegate_plugin::PluginChain;

use super::wiring;

/// Everything that the settings say about one tenant. Two equal setups need no change.
#[derive(Clone, PartialEq)]
pub(crate) struct TenantSetup {
    pub(crate) spec: TenantSpec,
    pub(crate) wanted: Wanted,
    pub(crate) chain_spec: ChainSpec,
    /// Its share of processor time.
    pub(crate) weight: u32,
}

/// A tenant that is ready to start.
pub(crate) struct PreparedTenant {
    pub(crate) setup: TenantSetup,
    pub(crate) chain: Option<PluginChain>,
    /// Set if a tenant of this name was removed a moment ago and may have written until then.
    pub(crate) hold_until: Option<std::time::Instant>,
}

/// A tenant's setup, and the code of its plugins.
pub(super) async fn tenant_setup(
    plugins: &PluginLoader,
    tenant: &TenantSettings,
    sink: &SinkSettings,
    feed: FeedName,
) -> anyhow::Result<(TenantSetup, Vec<Arc<[u8]>>)> {
    let (chain_spec, code) = plugins.chain_spec(tenant).await?;
    let spec = wiring::tenant(tenant, sink, feed)?;
    let wanted = wiring::wanted(&tenant.symbols);
    Ok((TenantSetup { spec, wanted, chain_spec, weight: tenant.weight }, code))
}

/// All tenants of the settings, in order, with their plugins started.
pub(crate) async fn prepare_tenants(
    plugins: &Arc<PluginLoader>,
    settings: &Settings,
) -> anyhow::Result<Vec<PreparedTenant>> {
    let mut prepared = Vec::with_capacity(settings.tenants.len());
    for tenant in &settings.tenants {
        let (setup, code) = tenant_setup(plugins, tenant, &settings.sink, settings.feed.name).await?;
        let chain = plugins.chain(&tenant.id, &setup.chain_spec, code).await?;
        prepared.push(PreparedTenant { setup, chain, hold_until: None });
    }
    Ok(prepared)
}

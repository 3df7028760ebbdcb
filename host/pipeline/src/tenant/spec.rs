use std::borrow::Cow;
use std::time::Duration;

use quotegate_document::TenantId;
use quotegate_pace::{Backoff, Rate};

/// What a tenant's settings say about its quotes and documents.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantSpec {
    /// The tenant.
    pub id: TenantId,
    /// The least time between two writes of one symbol.
    pub per_symbol_min_interval: Duration,
    /// The tenant's own write limit, beside the global one.
    pub rate: Option<Rate>,
    /// The collection of documents that no map makes.
    pub collection: Cow<'static, str>,
    /// How long failed writes wait. Fixed when the tenant starts.
    pub retry: Backoff,
}

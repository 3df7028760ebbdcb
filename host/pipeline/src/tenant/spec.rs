use std::time::Duration;

use quotegate_document::{Destination, FieldPath, RootMirror, TenantId};
use quotegate_market::AssetClass;
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
    /// Where each quote is written; at least one, no collection twice.
    pub destinations: Vec<Destination>,
    /// Each quote is also written there, in the standard shape.
    pub mirror: Option<RootMirror>,
    /// What the feed quotes.
    pub asset_class: AssetClass,
    /// The field with the quote's event time in documents of maps that do not tell it otherwise. `None`: not added.
    pub order_field: Option<FieldPath>,
    /// How long failed writes wait. Fixed when the tenant starts.
    pub retry: Backoff,
}

use crate::CollectionPath;

/// One of a tenant's collections for quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The collection, below the tenant.
    pub collection: CollectionPath,
    /// The shape of its documents. `None`: what the tenant's maps make, or the standard shape if it has no maps.
    pub shape: Option<DocumentShape>,
}

/// The fields of a document that the host makes of a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentShape {
    /// The fields that the tenants' web UIs have always read.
    Standard,
    /// The fields of the newer streamer of the system that quotegate replaces.
    Streamer,
}

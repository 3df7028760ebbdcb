use std::fmt;
use std::sync::Arc;

use crate::{IdError, check_id};

/// The id of a tenant, and of its Firestore document `tenants/{id}`. A valid Firestore id. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// Validates `id`.
    pub fn new(id: &str) -> Result<Self, IdError> {
        check_id(id)?;
        Ok(Self(id.into()))
    }

    /// The id as a string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What happens to a tenant's quotes when one of its plugins fails or is in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// They are dropped: a filter keeps none of them, a map writes nothing. Nothing unfiltered is ever written.
    #[default]
    Drop,
    /// They are passed on as if the plugin were not in the chain: unfiltered, or in the host's standard document.
    Pass,
    /// The tenant stops until someone fixes the plugin.
    StopTenant,
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

use std::fmt;
use std::sync::Arc;

use crate::{IdProblem, check_id};

/// The id of a tenant, and so of its Firestore document `tenants/{id}`. A legal Firestore id. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// Checks and keeps `id`.
    pub fn new(id: &str) -> Result<Self, IdProblem> {
        check_id(id)?;
        Ok(Self(id.into()))
    }

    /// The id itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
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

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use crate::{IdError, RootMirror, check_id};

/// The collection below a tenant that only the host itself writes.
const HOST_COLLECTION: &str = "ops";

/// The collections below a tenant that settings and plugins may not name. A plugin that writes to `users` could make someone
/// a member of the tenant, because the security rules look members up there.
const RESERVED: [&str; 2] = [HOST_COLLECTION, "users"];

/// The most collections in a path. Firestore allows 100.
const MAX_DEPTH: usize = 20;

/// The path of a collection below its tenant that settings, plugins and fixtures may name: `live_quotes`, or
/// `market_intelligence/quotes/live`, a collection below a document. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionPath(Arc<str>);

impl CollectionPath {
    /// Validates `path` with [`check_collection_path`].
    pub fn new(path: &str) -> Result<Self, IdError> {
        check_collection_path(path)?;
        Ok(Self(path.into()))
    }

    /// The host's own collection, for [`crate::DocumentKey::of_host`].
    pub(crate) fn of_host() -> Self {
        Self(HOST_COLLECTION.into())
    }

    pub(crate) fn root_mirror() -> Self {
        Self(RootMirror::COLLECTION.into())
    }

    /// The path with its slashes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks the path of a collection below a tenant: an odd number of valid ids between slashes, at most 1,500 bytes, and
/// nothing in or below a reserved collection.
pub fn check_collection_path(path: &str) -> Result<(), IdError> {
    if path.len() > 1500 {
        return Err(IdError::TooLong);
    }
    let mut ids = 0_usize;
    for id in path.split('/') {
        check_id(id)?;
        ids += 1;
    }
    let first = path.split('/').next().unwrap_or_default();
    match ids {
        _ if ids.is_multiple_of(2) => Err(IdError::EvenPath),
        _ if ids.div_ceil(2) > MAX_DEPTH => Err(IdError::TooDeep),
        _ if RESERVED.contains(&first) => Err(IdError::HostCollection),
        _ => Ok(()),
    }
}

impl TryFrom<&str> for CollectionPath {
    type Error = IdError;

    fn try_from(path: &str) -> Result<Self, IdError> {
        Self::new(path)
    }
}

impl TryFrom<String> for CollectionPath {
    type Error = IdError;

    fn try_from(path: String) -> Result<Self, IdError> {
        Self::new(&path)
    }
}

/// So that [`crate::DocumentKey::new`] also takes a path that is validated already.
impl From<Infallible> for IdError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl fmt::Display for CollectionPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CollectionPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_path_alternates_between_collections_and_documents_and_avoids_those_of_the_host() {
        for good in ["live_quotes", "market_intelligence/quotes/live", "a/ops/b", "opsx", "ä b/c/d"] {
            assert_eq!(check_collection_path(good), Ok(()), "{good:?}");
        }
        let cases = [
            ("", IdError::Empty),
            ("/a", IdError::Empty),
            ("a//b", IdError::Empty),
            ("a/b/", IdError::Empty),
            ("a/b", IdError::EvenPath),
            ("a/b/c/d", IdError::EvenPath),
            ("a/../b", IdError::Dots),
            ("a/__b__/c", IdError::Reserved),
            ("a/b\n/c", IdError::Control),
            ("ops", IdError::HostCollection),
            ("users", IdError::HostCollection),
            ("ops/market_ingest/plugins", IdError::HostCollection),
        ];
        for (path, error) in cases {
            assert_eq!(check_collection_path(path), Err(error), "{path:?}");
        }
        assert_eq!(check_collection_path(&"x".repeat(1501)), Err(IdError::TooLong));
        assert_eq!(check_collection_path(&["x"; 41].join("/")), Err(IdError::TooDeep));
        assert_eq!(check_collection_path(&["x"; 39].join("/")), Ok(()));
    }
}

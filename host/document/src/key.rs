use std::borrow::Cow;
use std::fmt;

use crate::{CollectionPath, IdError, TenantId, check_id};

/// A document's location: `tenants/{tenant}/{collection}/{id}`, or `{collection}/{id}` if it belongs to a [`RootMirror`].
/// All parts are valid, so a key of [`DocumentKey::new`] cannot name anything outside its tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentKey {
    base: Base,
    collection: CollectionPath,
    id: String,
}

/// What a collection's path is relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Base {
    Tenant,
    Root,
}

impl DocumentKey {
    /// A document below its tenant. Validates both parts, unless the collection is a [`CollectionPath`] already.
    pub fn new(
        collection: impl TryInto<CollectionPath, Error: Into<IdError>>,
        id: impl Into<String>,
    ) -> Result<Self, IdError> {
        Self::at(Base::Tenant, collection.try_into().map_err(Into::into)?, id.into())
    }

    /// A document in `ops`, the collection of a tenant that no settings and no plugin can name.
    pub fn of_host(id: impl Into<String>) -> Result<Self, IdError> {
        Self::at(Base::Tenant, CollectionPath::of_host(), id.into())
    }

    fn at(base: Base, collection: CollectionPath, id: String) -> Result<Self, IdError> {
        check_id(&id)?;
        Ok(Self { base, collection, id })
    }

    /// The path of the collection.
    pub fn collection(&self) -> &str {
        self.collection.as_str()
    }

    /// The document's id in the collection.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The document's path in the database. Nothing else builds paths of documents to write, so nothing can be written
    /// outside `tenants/{id}/` but a root mirror (invariant 6).
    pub fn path_of<'a>(&'a self, tenant: &'a TenantId) -> DocumentPath<'a> {
        DocumentPath { tenant, key: self }
    }

    /// The collection's path below the tenant, or from the root with a leading slash.
    pub fn collection_name(&self) -> Cow<'_, str> {
        match self.base {
            Base::Tenant => self.collection().into(),
            Base::Root => format!("/{}", self.collection).into(),
        }
    }
}

impl fmt::Display for DocumentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.collection_name(), self.id)
    }
}

/// A document's path in the database; see [`DocumentKey::path_of`].
#[derive(Debug, Clone, Copy)]
pub struct DocumentPath<'a> {
    tenant: &'a TenantId,
    key: &'a DocumentKey,
}

impl fmt::Display for DocumentPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenant, key: DocumentKey { base, collection, id } } = self;
        match base {
            Base::Tenant => write!(f, "tenants/{tenant}/{collection}/{id}"),
            Base::Root => write!(f, "{collection}/{id}"),
        }
    }
}

/// The collection `live_quotes` at the root of the database: a copy of one tenant's quotes for trusted backends.
///
/// Keys outside a tenant come only from here. The host's wiring creates it where the settings ask for it; plugins name
/// collections by text, which [`DocumentKey::new`] always puts below their tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootMirror(CollectionPath);

impl RootMirror {
    /// The mirror's collection.
    pub const COLLECTION: &'static str = "live_quotes";

    /// Switches the mirror on. At most one tenant may have it.
    #[expect(clippy::new_without_default, reason = "nobody should get one by accident")]
    pub fn new() -> Self {
        Self(CollectionPath::root_mirror())
    }

    /// The mirror's document with this id.
    pub fn document(&self, id: impl Into<String>) -> Result<DocumentKey, IdError> {
        DocumentKey::at(Base::Root, self.0.clone(), id.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part() -> impl Strategy<Value = String> {
        prop_oneof![
            3 => "[a-z._]{1,4}",
            1 => "\\PC{0,4}",
            1 => prop::sample::select(vec!["", ".", "..", "__x__", "ops", "tenants", "live_quotes"]).prop_map(String::from),
        ]
    }

    proptest! {
        /// Invariant 6: whatever text names a collection and an id, the document is inside the tenant and not among the
        /// host's own.
        #[test]
        fn no_text_names_a_document_outside_the_tenant(
            parts in prop::collection::vec(part(), 1..6),
            id in prop_oneof![4 => part(), 1 => "[a-z./]{0,6}"],
        ) {
            let Ok(key) = DocumentKey::new(parts.join("/"), id.clone()) else { return Ok(()) };
            let path = key.path_of(&TenantId::new("acme").unwrap()).to_string();
            let names: Vec<&str> = path.split('/').collect();
            prop_assert!(names.len() >= 4 && names.len().is_multiple_of(2), "{path}");
            prop_assert_eq!(&names[..2], ["tenants", "acme"]);
            prop_assert_ne!(names[2], "ops");
            for name in &names {
                prop_assert_eq!(check_id(name), Ok(()), "{}", path);
            }
            prop_assert_eq!(names[names.len() - 1], id);
        }
    }

    #[test]
    fn only_the_mirror_is_outside_the_tenant() {
        let acme = TenantId::new("acme").unwrap();
        let mirrored = RootMirror::new().document("SPY").unwrap();
        assert_eq!(
            (mirrored.path_of(&acme).to_string(), mirrored.to_string()),
            ("live_quotes/SPY".into(), "/live_quotes/SPY".into())
        );
        let own = DocumentKey::new("live_quotes", "SPY").unwrap();
        assert_ne!(mirrored, own);
        assert_eq!(own.path_of(&acme).to_string(), "tenants/acme/live_quotes/SPY");
        assert_eq!(DocumentKey::of_host("x").unwrap().path_of(&acme).to_string(), "tenants/acme/ops/x");
        assert_eq!(RootMirror::new().document("../x"), Err(IdError::Slash));
        assert_eq!(DocumentKey::new("/live_quotes", "SPY"), Err(IdError::Empty));
    }
}

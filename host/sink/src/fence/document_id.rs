use std::hash::{BuildHasher, RandomState};

use crate::TenantDocument;

/// Stands for a document's path. 16 bytes instead of a path of 40 or more: the fence remembers many.
///
/// Two paths with the same number would hide each other's quotes. With 128 bits and random keys, that does not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DocumentId(u64, u64);

/// Makes ids. Those of different makers cannot be compared.
#[derive(Debug, Default)]
pub(crate) struct DocumentIds(RandomState, RandomState);

impl DocumentIds {
    pub(crate) fn id(&self, target: &TenantDocument) -> DocumentId {
        let path = (&target.tenant, &target.document.key);
        DocumentId(self.0.hash_one(path), self.1.hash_one(path))
    }
}

#[cfg(test)]
impl DocumentId {
    pub(super) fn from_number(number: u64) -> Self {
        Self(number, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quotegate_document::{Document, DocumentKey, TenantId};

    #[test]
    fn only_the_path_counts_and_every_part_of_it() {
        let ids = DocumentIds::default();
        let id = |tenant, collection, document| {
            let key = DocumentKey::new(collection, document).unwrap();
            let document = Document { key, fields: Vec::new() };
            ids.id(&TenantDocument { tenant: TenantId::new(tenant).unwrap(), document })
        };
        let acme = id("acme", "quotes", "SPY");
        assert_eq!(acme, id("acme", "quotes", "SPY"));
        for other in [id("acm", "equotes", "SPY"), id("acme", "quote", "sSPY"), id("acme", "quotes", "QQQ")] {
            assert!(other != acme && other.0 != acme.0 && other.1 != acme.1);
        }
        assert_ne!(acme.0, acme.1);
    }
}

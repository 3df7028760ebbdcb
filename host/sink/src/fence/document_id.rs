use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};

use crate::TenantDocument;

/// Stands for a document's path. 16 bytes instead of a path of 40 or more: the fence remembers many.
///
/// Two paths with the same number would hide each other's quotes. With 128 bits and random keys, that does not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DocumentId(u64, u64);

/// A map by document. An id is a hash already, so it is not hashed again.
pub(crate) type DocumentMap<T> = HashMap<DocumentId, T, BuildHasherDefault<IdHasher>>;

/// Takes an id as it is.
#[derive(Debug, Default)]
pub(crate) struct IdHasher(u64);

impl Hash for DocumentId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

impl Hasher for IdHasher {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    /// Not used by ids, but the trait asks for it.
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

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
        Self(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), number)
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

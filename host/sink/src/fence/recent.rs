use std::mem;

use super::document_id::{DocumentId, DocumentMap};

/// A map that keeps at least its last `generation` used entries, and at most twice as many.
///
/// Two generations instead of a list in the order of use: whatever is used moves to the young one, and when that is
/// full, it replaces the old one. No links, so an entry takes little more than its content.
#[derive(Debug)]
pub(super) struct Recent<T> {
    young: DocumentMap<T>,
    old: DocumentMap<T>,
    generation: usize,
}

/// As many entries as fit in a table of 2^18: with 57 bytes each, a generation takes 15 MB. A document that is forgotten
/// costs one more read.
impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self::with_generation((1 << 18) / 8 * 7)
    }
}

impl<T> Recent<T> {
    pub(super) fn with_generation(generation: usize) -> Self {
        Self { young: DocumentMap::default(), old: DocumentMap::default(), generation }
    }

    pub(super) fn get(&mut self, id: DocumentId) -> Option<&T> {
        if let Some(value) = self.old.remove(&id) {
            self.insert(id, value);
        }
        self.young.get(&id)
    }

    #[cfg(test)]
    pub(super) fn forget(&mut self, id: DocumentId) {
        self.young.remove(&id);
        self.old.remove(&id);
    }

    pub(super) fn insert(&mut self, id: DocumentId, value: T) {
        if self.young.len() >= self.generation && !self.young.contains_key(&id) {
            self.old = mem::take(&mut self.young);
        }
        self.old.remove(&id);
        self.young.insert(id, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_last_is_kept_and_the_size_is_bounded() {
        let id = DocumentId::from_number;
        let mut recent = Recent::with_generation(10);
        for number in 0..100_u64 {
            recent.insert(id(number), number);
            assert_eq!(recent.get(id(0)), Some(&0), "used all the time");
            assert_eq!(recent.get(id(number)), Some(&number));
            assert!(recent.young.len() + recent.old.len() <= 20);
        }
        assert_eq!(recent.get(id(95)), Some(&95));
        assert_eq!(recent.get(id(50)), None);
        recent.insert(id(95), 1);
        assert_eq!(recent.get(id(95)), Some(&1));
    }
}

use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::Symbol;

/// A symbol's number in a [`SymbolTable`]: dense, from 0, in order of first use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SymbolId(pub u32);

impl SymbolId {
    /// The id as an index into a `Vec` with one entry per symbol.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Maps symbols to numbers and back. Looked up once per quote, by the raw bytes of a frame.
#[derive(Debug)]
pub struct SymbolTable {
    ids: HashTable<Entry>,
    names: Vec<Symbol>,
    hasher: foldhash::fast::RandomState,
    capacity: usize,
    serial: u64,
}

/// Holds the beginning of the name, which is all of it for stocks: so a look-up touches only the hash table, whose memory
/// is rarely in the processor's caches when a quote arrives.
#[derive(Debug, Clone, Copy)]
struct Entry {
    prefix: Prefix,
    id: u32,
}

/// The length of a name, and its first eight letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Prefix {
    length: u32,
    letters: u64,
}

impl Prefix {
    const LENGTH: usize = 8;

    /// A shorter name is read as two parts that may overlap, because copying so few bytes in a loop takes longer. With the
    /// length, the parts still tell any two names apart.
    fn of(name: &[u8]) -> Self {
        let letters = match (name.first_chunk(), name.first_chunk(), name.last_chunk()) {
            (Some(letters), _, _) => u64::from_le_bytes(*letters),
            (None, Some(first), Some(last)) => {
                u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
            }
            _ => name.iter().fold(0, |letters, letter| letters << 8 | u64::from(*letter)),
        };
        Self { length: u32::try_from(name.len()).unwrap_or(u32::MAX), letters }
    }

    fn is_whole_name(self) -> bool {
        self.length as usize <= Self::LENGTH
    }
}

impl SymbolTable {
    /// About twice the number of listed US symbols. The limit stops a wildcard feed that sends garbage names from growing
    /// the table forever.
    pub const DEFAULT_CAPACITY: usize = 32_768;

    /// An empty table for up to `capacity` symbols.
    pub fn with_capacity(capacity: usize) -> Self {
        static TABLES: AtomicU64 = AtomicU64::new(1);
        Self {
            ids: HashTable::new(),
            names: Vec::new(),
            hasher: foldhash::fast::RandomState::default(),
            capacity,
            serial: TABLES.fetch_add(1, Relaxed),
        }
    }

    /// Differs between any two tables of this process, and is not 0: tells when ids mean other symbols than before.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// The id of `name`, if it is in the table.
    pub fn get(&self, name: &[u8]) -> Option<SymbolId> {
        let prefix = Prefix::of(name);
        let is_same = |entry: &Entry| {
            entry.prefix == prefix
                && (prefix.is_whole_name() || self.names[entry.id as usize].as_str().as_bytes() == name)
        };
        self.ids.find(self.hash(name), is_same).map(|entry| SymbolId(entry.id))
    }

    /// The id of `name`, which is added if it is new. `None` if it is not a valid [`Symbol`] or the table is full.
    pub fn intern(&mut self, name: &[u8]) -> Option<SymbolId> {
        if let Some(id) = self.get(name) {
            return Some(id);
        }
        if self.names.len() >= self.capacity {
            return None;
        }
        let symbol = Symbol::new(std::str::from_utf8(name).ok()?).ok()?;
        let id = u32::try_from(self.names.len()).ok()?;
        let hash = self.hash(name);
        self.names.push(symbol);
        let (names, hasher) = (&self.names, &self.hasher);
        let rehash = |entry: &Entry| hasher.hash_one(names[entry.id as usize].as_str().as_bytes());
        self.ids.insert_unique(hash, Entry { prefix: Prefix::of(name), id }, rehash);
        Some(SymbolId(id))
    }

    /// The symbol with this id, which must come from this table.
    pub fn symbol(&self, id: SymbolId) -> &Symbol {
        &self.names[id.index()]
    }

    /// All symbols, in order of their ids.
    pub fn symbols(&self) -> &[Symbol] {
        &self.names
    }

    /// The number of symbols; every id is below it.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True if there are no symbols.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn hash(&self, name: &[u8]) -> u64 {
        self.hasher.hash_one(name)
    }
}

impl Default for SymbolTable {
    fn default() -> Self {
        Self::with_capacity(Self::DEFAULT_CAPACITY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_id_and_a_full_table_rejects_only_new_names() {
        let mut table = SymbolTable::with_capacity(300);
        let ids: Vec<_> = (0..300).map(|n| table.intern(format!("S{n}").as_bytes()).unwrap()).collect();
        for (n, id) in ids.iter().enumerate() {
            assert_eq!(table.get(format!("S{n}").as_bytes()), Some(*id));
            assert_eq!(table.symbol(*id).as_str(), format!("S{n}"));
        }
        assert_eq!(table.intern(b"ONE-MORE"), None);
        assert_eq!(table.intern(b"S7"), Some(ids[7]));
    }

    #[test]
    fn names_with_the_same_beginning_have_their_own_ids() {
        let mut table = SymbolTable::default();
        let names = ["SPXW2403", "SPXW24032", "SPXW240327P04925000", "SPXW240327P04930000", "SPX"];
        let ids = names.map(|name| table.intern(name.as_bytes()).unwrap());
        assert_eq!(names.map(|name| table.get(name.as_bytes())), ids.map(Some));
        assert_eq!((table.len(), table.get(b"SPX\0"), table.get(b"SPXW240327")), (5, None, None));
        let short =
            ["A", "AB", "BA", "ABC", "ABCD", "ABCE", "ABCDE", "ABCDD", "ABCDEF", "ABCDEFG", "ABDDEFG", "ABCDEFGH"];
        let ids = short.map(|name| table.intern(name.as_bytes()).unwrap());
        assert_eq!(short.map(|name| table.get(name.as_bytes())), ids.map(Some));
        assert_eq!(table.len(), 5 + short.len());
    }

    #[test]
    fn an_invalid_name_gets_no_id() {
        assert_eq!(SymbolTable::default().intern(b"A B"), None);
        assert_eq!(SymbolTable::default().intern(&[0xff, 0xfe]), None);
    }
}

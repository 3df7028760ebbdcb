//! All buckets of a feed on the reader's side.

use quotegate_market::{Quote, Symbol};

use crate::BUCKETS;
use crate::bucket::Bucket;
use crate::subjects::bucket_of;

/// Puts each symbol into its bucket, where it keeps its index for as long as the set lives.
#[derive(Debug)]
pub(crate) struct BucketSet {
    pub(crate) buckets: Vec<Bucket>,
    /// By the feed's symbol id: bucket and index in it, from the first quote on.
    places: Vec<Option<(u16, u16)>>,
}

impl BucketSet {
    pub(crate) fn new() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| Bucket::default()).collect(), places: Vec::new() }
    }

    /// The feed has started again, and its ids mean other symbols than before.
    pub(crate) fn forget_ids(&mut self) {
        self.places.clear();
    }

    /// A quote of the symbol with this id, which is one of `symbols`. False if its bucket has no room for the symbol.
    #[inline]
    pub(crate) fn put(&mut self, id: u32, symbols: &[Symbol], quote: &Quote) -> bool {
        let known = self.places.get(id as usize).copied().flatten();
        let Some((bucket, index)) = known.or_else(|| self.find(id as usize, symbols)) else { return false };
        self.buckets[usize::from(bucket)].put(index, quote);
        true
    }

    #[cold]
    fn find(&mut self, id: usize, symbols: &[Symbol]) -> Option<(u16, u16)> {
        let bucket = bucket_of(&symbols[id]);
        let place = (bucket, self.buckets[usize::from(bucket)].index(&symbols[id])?);
        self.places.resize(symbols.len(), None);
        self.places[id] = Some(place);
        Some(place)
    }

    /// Quotes that wait, in all buckets.
    pub(crate) fn waiting(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.waiting() as u64).sum()
    }

    /// See [`Bucket::conflate_beyond_capacity`].
    pub(crate) fn conflate_beyond_capacity(&mut self) -> u64 {
        self.buckets.iter_mut().map(|bucket| bucket.conflate_beyond_capacity() as u64).sum()
    }
}

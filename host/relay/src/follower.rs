//! Which messages of one bucket bring something new, and what is missing. Pure: knows no connection and no clock.

#[cfg(test)]
mod tests;

use quotegate_market::{QuoteColumns, SymbolTable};

use crate::wire::Quotes;

/// Not named yet.
const UNNAMED: u32 = u32::MAX;
/// Named, but the table has no room for it.
const NO_ROOM: u32 = u32::MAX - 1;
/// A row that is not delivered.
const DROPPED: u32 = u32::MAX;

/// Follows one bucket of one reader after another.
///
/// A quote's *version* is the number of batches of its bucket up to its own. Each symbol's quotes are delivered with
/// versions that never fall, so a snapshot that was overtaken by a batch does not take a symbol back.
#[derive(Debug)]
pub(crate) struct Follower {
    epoch: Option<u64>,
    /// The number of the batch that should come next.
    next: u64,
    /// A snapshot is missing, which includes at least this many batches.
    missing: Option<u64>,
    /// How many batches there are, as the reader says, if it says more than have arrived.
    announced: Option<u64>,
    /// By index in the bucket.
    symbols: Vec<Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    /// In the subscriber's table.
    id: u32,
    version: u64,
}

/// What a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It came before, or newer ones did: drop it.
    Old,
    /// It is the next, or the first of a reader.
    Next,
    /// It is new, and this many batches before it are missing.
    AfterGap(u64),
}

/// What became of the rows of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Delivery {
    pub(crate) delivered: usize,
    /// Newer ones of their symbol have been delivered.
    pub(crate) old: usize,
    /// Their symbols were named in a message that has not arrived.
    pub(crate) unnamed: usize,
    /// The table has no room for their symbols.
    pub(crate) no_room: usize,
}

impl Follower {
    /// Has missed everything so far.
    pub(crate) fn new() -> Self {
        Self { epoch: None, next: 0, missing: Some(0), announced: None, symbols: Vec::new() }
    }

    /// True until a snapshot brings what is missing.
    pub(crate) fn is_missing_some(&self) -> bool {
        self.missing.is_some()
    }

    /// The header of a batch.
    pub(crate) fn batch(&mut self, epoch: u64, sequence: u64) -> Arrival {
        let arrival = match self.epoch {
            Some(held) if epoch < held || (epoch == held && sequence < self.next) => return Arrival::Old,
            Some(held) if epoch == held && sequence == self.next => Arrival::Next,
            Some(held) if epoch == held => {
                self.miss(sequence);
                Arrival::AfterGap(sequence - self.next)
            }
            _ => {
                self.follow(epoch);
                // The first of all: nothing came before it.
                self.missing = (sequence > 0).then_some(sequence);
                Arrival::Next
            }
        };
        self.next = sequence.saturating_add(1);
        arrival
    }

    /// The header of a snapshot. False: it is of an earlier reader.
    pub(crate) fn snapshot(&mut self, epoch: u64, batches: u64) -> bool {
        match self.epoch {
            Some(held) if epoch < held => return false,
            Some(held) if epoch == held => {}
            _ => {
                self.follow(epoch);
                self.missing = None;
            }
        }
        self.next = self.next.max(batches);
        self.missing = self.missing.filter(|missing| batches < *missing);
        true
    }

    /// The reader says that the bucket has had this many batches. True if it is a new reader.
    pub(crate) fn head(&mut self, epoch: u64, batches: u64) -> bool {
        match self.epoch {
            Some(held) if epoch < held => false,
            Some(held) if epoch == held => {
                // They may be on their way: other messages take other queues.
                if batches > self.next {
                    self.announced = self.announced.max(Some(batches));
                }
                false
            }
            _ => {
                self.follow(epoch);
                self.missing = (batches > 0).then_some(batches);
                true
            }
        }
    }

    /// Batches that were announced have had time to arrive. Returns how many have not: the last ones before a silence.
    pub(crate) fn settle(&mut self) -> u64 {
        let announced = self.announced.take().unwrap_or_default();
        let late = announced.saturating_sub(self.next);
        if late > 0 {
            self.miss(announced);
        }
        late
    }

    /// Appends the rows of a message to `out`, under the ids of `table`. `version`: see [`Follower`].
    pub(crate) fn deliver(
        &mut self,
        version: u64,
        quotes: &Quotes<'_>,
        table: &mut SymbolTable,
        out: &mut QuoteColumns,
    ) -> Delivery {
        for (index, name) in quotes.names() {
            let index = usize::from(index);
            if index >= self.symbols.len() {
                self.symbols.resize(index + 1, Known { id: UNNAMED, version: 0 });
            }
            self.symbols[index].id = table.intern(name).map_or(NO_ROOM, |id| id.0);
        }
        let first = out.len();
        let mut delivery = Delivery::default();
        for index in quotes.indexes() {
            let known = self.symbols.get_mut(usize::from(index));
            let (id, reason) = match known {
                Some(Known { id: UNNAMED, .. }) | None => (DROPPED, &mut delivery.unnamed),
                Some(Known { id: NO_ROOM, .. }) => (DROPPED, &mut delivery.no_room),
                Some(known) if known.version > version => (DROPPED, &mut delivery.old),
                Some(known) => {
                    known.version = version;
                    (known.id, &mut delivery.delivered)
                }
            };
            *reason += 1;
            out.symbol.push(id);
        }
        quotes.append_columns(out);
        if delivery.unnamed > 0 {
            // Named in a batch that is missing, so a snapshot that includes this one names them.
            self.miss(version);
        }
        if delivery.delivered < out.len() - first {
            remove_dropped(out, first);
        }
        delivery
    }

    /// A snapshot is needed that includes this many batches.
    pub(crate) fn miss(&mut self, batches: u64) {
        self.missing = self.missing.max(Some(batches));
    }

    fn follow(&mut self, epoch: u64) {
        *self = Self {
            epoch: Some(epoch),
            next: 0,
            missing: None,
            announced: None,
            symbols: std::mem::take(&mut self.symbols),
        };
        self.symbols.clear();
    }
}

fn remove_dropped(quotes: &mut QuoteColumns, first: usize) {
    let mut kept = first;
    for row in first..quotes.len() {
        if quotes.symbol[row] != DROPPED {
            quotes.copy_row(row, kept);
            kept += 1;
        }
    }
    quotes.truncate(kept);
}

//! Where a symbol's quotes go: the same on every host and in every version.

use async_nats::Subject;
use quotegate_market::{FeedName, Subscription, Symbol};

use crate::BUCKETS;

/// The bucket of a symbol: FNV-1a of its name.
pub(crate) fn bucket_of(symbol: &Symbol) -> u16 {
    let hash =
        symbol.as_str().bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    // The upper half: the lowest bits of this hash depend on few bits of the name.
    ((hash >> 16) % u32::from(BUCKETS)) as u16
}

/// The buckets with at least one symbol of the subscription.
pub(crate) fn buckets_of(wanted: &Subscription) -> Vec<bool> {
    let mut buckets = vec![matches!(wanted, Subscription::All); usize::from(BUCKETS)];
    if let Subscription::Symbols(symbols) = wanted {
        for symbol in symbols {
            buckets[usize::from(bucket_of(symbol))] = true;
        }
    }
    buckets
}

/// The subjects of one feed.
#[derive(Debug, Clone)]
pub(crate) struct Subjects {
    quotes: Vec<Subject>,
    snapshots: Vec<Subject>,
    pub(crate) any_snapshot: Subject,
    pub(crate) status: Subject,
}

impl Subjects {
    pub(crate) fn new(feed: FeedName) -> Self {
        let each = |kind| (0..BUCKETS).map(|bucket| format!("quotegate.{feed}.{kind}.{bucket}").into()).collect();
        Self {
            quotes: each("quotes"),
            snapshots: each("snapshot"),
            any_snapshot: format!("quotegate.{feed}.snapshot.*").into(),
            status: format!("quotegate.{feed}.status").into(),
        }
    }

    pub(crate) fn quotes(&self, bucket: u16) -> Subject {
        self.quotes[usize::from(bucket)].clone()
    }

    pub(crate) fn snapshot(&self, bucket: u16) -> Subject {
        self.snapshots[usize::from(bucket)].clone()
    }

    /// The bucket whose snapshot is asked for.
    pub(crate) fn asked(&self, subject: &Subject) -> Option<u16> {
        let bucket: u16 = subject.rsplit('.').next()?.parse().ok()?;
        (bucket < BUCKETS).then_some(bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_stays_in_its_bucket_in_every_version() {
        let bucket = |name| bucket_of(&Symbol::new(name).unwrap());
        assert_eq!(["SPY", "AAPL", "BTC/USD", "BRK.B"].map(bucket), [27, 13, 29, 9]);
    }

    #[test]
    fn symbols_spread_evenly_over_the_buckets() {
        let mut counts = vec![0_u32; usize::from(BUCKETS)];
        for number in 0..100 * u32::from(BUCKETS) {
            counts[usize::from(bucket_of(&Symbol::new(&format!("Q{number}")).unwrap()))] += 1;
        }
        assert!(counts.iter().all(|count| (50..200).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_worker_needs_only_the_buckets_of_its_symbols() {
        let symbols = ["SPY", "AAPL"].map(|name| Symbol::new(name).unwrap());
        let needed = buckets_of(&Subscription::Symbols(symbols.clone().into()));
        assert!(needed[usize::from(bucket_of(&symbols[0]))] && needed.iter().filter(|needed| **needed).count() <= 2);
        assert!(buckets_of(&Subscription::All).iter().all(|needed| *needed));
    }

    #[test]
    fn the_subject_of_a_request_names_its_bucket() {
        let subjects = Subjects::new(FeedName::Sip);
        assert_eq!(subjects.snapshot(7).as_str(), "quotegate.sip.snapshot.7");
        assert_eq!(subjects.asked(&subjects.snapshot(7)), Some(7));
        assert_eq!(subjects.asked(&"quotegate.sip.snapshot.99".into()), None);
    }
}

//! Compares wanted and subscribed symbols and decides on the next request. Pure: knows nothing of sockets or time.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use quotegate_market::Subscription;

/// A symbol or `*`, as sent to the server.
pub(crate) type Name = Arc<str>;

pub(crate) const WILDCARD: &str = "*";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Subscribe,
    Unsubscribe,
}

/// One request to the server. Never empty, because Alpaca answers an empty one with 400.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) action: Action,
    pub(crate) names: Vec<Name>,
}

/// What an acknowledgement said about the request before it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    /// Names that are subscribed from now on.
    pub(crate) added: Vec<Name>,
    /// Requested names that the server did not apply.
    pub(crate) undone: Vec<Name>,
}

/// Turns the subscribed set into the wanted set, one request at a time: the next is sent only after the last was answered.
#[derive(Debug, Default)]
pub(crate) struct Subscriber {
    chunk: usize,
    wanted: BTreeSet<Name>,
    /// What is subscribed, according to the server's last acknowledgement.
    held: BTreeSet<Name>,
    /// Wanted, but never requested again: each got a 400 on its own. Kept across reconnects.
    malformed: BTreeSet<Name>,
    /// Wanted, but over the plan's limit (405) or missing in an acknowledgement. Requested again after a reconnect.
    unavailable: BTreeSet<Name>,
    /// Requests that got a 400, split in half again and again until the malformed name is alone.
    suspects: VecDeque<Request>,
    pending: Option<Request>,
    /// Nothing has changed since there was nothing to request. Comparing the sets before every read would cost more than
    /// the quotes in it.
    settled: bool,
}

impl Subscriber {
    pub(crate) fn new(chunk: usize) -> Self {
        Self { chunk, ..Self::default() }
    }

    /// A new connection starts with no subscriptions.
    pub(crate) fn reset(&mut self) {
        self.held.clear();
        self.unavailable.clear();
        self.suspects.clear();
        self.pending = None;
        self.settled = false;
    }

    pub(crate) fn want(&mut self, subscription: &Subscription) {
        self.wanted = match subscription {
            Subscription::All => BTreeSet::from([WILDCARD.into()]),
            Subscription::Symbols(symbols) => symbols.iter().map(|symbol| symbol.as_str().into()).collect(),
        };
        self.malformed.retain(|name| self.wanted.contains(name));
        // The change may have freed some of the plan's limit.
        self.unavailable.clear();
        self.settled = false;
    }

    /// True if quotes can be expected.
    pub(crate) fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.pending.is_some()
    }

    /// True when quotes of every wanted symbol that can be had arrive.
    pub(crate) fn is_complete(&self) -> bool {
        self.pending.is_none()
            && self.suspects.is_empty()
            && self.wanted.iter().all(|name| self.held.contains(name) || self.is_given_up(name))
    }

    /// Wanted names that are not subscribed and will not be requested on this connection.
    pub(crate) fn missing(&self) -> Vec<String> {
        self.malformed.union(&self.unavailable).map(|name| name.to_string()).collect()
    }

    /// The next request to send. `None` if one is pending or nothing needs to change.
    pub(crate) fn next_request(&mut self) -> Option<&Request> {
        if self.pending.is_some() || self.settled {
            return None;
        }
        while let Some(mut request) = self.suspects.pop_front() {
            // The wanted set may have changed since the request was split.
            request.names.retain(|name| self.wanted.contains(name) == (request.action == Action::Subscribe));
            if !request.names.is_empty() {
                return Some(self.pending.insert(request));
            }
        }
        let subscribe = || {
            let missing = self.wanted.difference(&self.held).filter(|name| !self.is_given_up(name));
            Request { action: Action::Subscribe, names: missing.take(self.chunk).cloned().collect() }
        };
        let unsubscribe = || {
            let surplus = self.held.difference(&self.wanted).filter(|name| !self.is_given_up(name));
            Request { action: Action::Unsubscribe, names: surplus.take(self.chunk).cloned().collect() }
        };
        // Unsubscribing first frees some of the plan's limit. With the wildcard there is no limit, and subscribing first
        // leaves no gap.
        let wildcard = self.wanted.contains(WILDCARD) || self.held.contains(WILDCARD);
        let order = if wildcard { [subscribe(), unsubscribe()] } else { [unsubscribe(), subscribe()] };
        let request = order.into_iter().find(|request| !request.names.is_empty());
        self.settled = request.is_none();
        Some(self.pending.insert(request?))
    }

    /// Takes the server's full set from an acknowledgement.
    pub(crate) fn acknowledged(&mut self, names: &[String]) -> Acknowledged {
        self.held = names.iter().map(|name| Name::from(name.as_str())).collect();
        self.settled = false;
        let Some(Request { action, names }) = self.pending.take() else { return Acknowledged::default() };
        let (held, not_held): (Vec<Name>, Vec<Name>) = names.into_iter().partition(|name| self.held.contains(name));
        let (added, undone) = match action {
            Action::Subscribe => (held, not_held),
            Action::Unsubscribe => (Vec::new(), held),
        };
        self.unavailable.extend(undone.iter().cloned());
        Acknowledged { added, undone }
    }

    /// 400: the pending request contains a malformed name. Splits the request in half; once a single name is left, gives
    /// it up and returns it.
    pub(crate) fn rejected(&mut self) -> Option<Name> {
        let Request { action, mut names } = self.pending.take()?;
        if names.len() > 1 {
            let second = names.split_off(names.len() / 2);
            self.suspects.push_front(Request { action, names: second });
            self.suspects.push_front(Request { action, names });
            return None;
        }
        let name = names.pop()?;
        self.malformed.insert(Name::clone(&name));
        Some(name)
    }

    /// 405: the plan allows fewer symbols. The subscriptions are unchanged; returns the names that were refused.
    pub(crate) fn over_limit(&mut self) -> Vec<Name> {
        let names = self.pending.take().map(|request| request.names).unwrap_or_default();
        self.unavailable.extend(names.iter().cloned());
        names
    }

    fn is_given_up(&self, name: &Name) -> bool {
        self.malformed.contains(name) || self.unavailable.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quotegate_market::Symbol;

    fn symbols(names: &[&str]) -> Subscription {
        Subscription::Symbols(names.iter().map(|name| Symbol::new(name).unwrap()).collect())
    }

    /// A server that refuses some names with 400 and allows `limit` symbols.
    struct Server {
        held: BTreeSet<String>,
        bad: BTreeSet<String>,
        limit: usize,
    }

    impl Server {
        fn new(bad: &[&str], limit: usize) -> Self {
            Self { held: BTreeSet::new(), bad: bad.iter().map(|name| (*name).to_owned()).collect(), limit }
        }

        /// Serves requests until there are none; returns how many there were.
        fn settle(&mut self, subscriber: &mut Subscriber) -> usize {
            let mut requests = 0;
            while let Some(request) = subscriber.next_request().cloned() {
                requests += 1;
                assert!(requests < 10_000, "the subscriber loops");
                assert!(!request.names.is_empty() && request.names.len() <= subscriber.chunk);
                let names: Vec<String> = request.names.iter().map(|name| name.to_string()).collect();
                if names.iter().any(|name| self.bad.contains(name)) {
                    subscriber.rejected();
                    continue;
                }
                let mut next = self.held.clone();
                match request.action {
                    Action::Subscribe => next.extend(names),
                    Action::Unsubscribe => next.retain(|name| !names.contains(name)),
                }
                if next.len() > self.limit {
                    subscriber.over_limit();
                    continue;
                }
                self.held = next;
                let ack: Vec<String> = self.held.iter().cloned().collect();
                assert_eq!(subscriber.acknowledged(&ack).undone, Vec::<Name>::new());
            }
            requests
        }
    }

    #[test]
    fn only_the_difference_is_sent() {
        let mut subscriber = Subscriber::new(500);
        let mut server = Server::new(&[], 100);
        subscriber.want(&symbols(&["A", "B"]));
        assert_eq!(server.settle(&mut subscriber), 1);
        subscriber.want(&symbols(&["B", "C"]));
        let request = subscriber.next_request().cloned().unwrap();
        assert_eq!((request.action, request.names), (Action::Unsubscribe, vec!["A".into()]));
        subscriber.acknowledged(&["B".into()]);
        let request = subscriber.next_request().cloned().unwrap();
        assert_eq!((request.action, request.names), (Action::Subscribe, vec!["C".into()]));
        assert!(!subscriber.is_complete());
        let acknowledged = subscriber.acknowledged(&["B".into(), "C".into()]);
        assert_eq!(acknowledged, Acknowledged { added: vec!["C".into()], undone: Vec::new() });
        assert!(subscriber.is_complete());
    }

    #[test]
    fn leaving_the_wildcard_subscribes_before_it_unsubscribes() {
        let mut subscriber = Subscriber::new(500);
        let mut server = Server::new(&[], 100);
        subscriber.want(&Subscription::All);
        server.settle(&mut subscriber);
        subscriber.want(&symbols(&["A"]));
        assert_eq!(subscriber.next_request().unwrap().action, Action::Subscribe);
    }

    #[test]
    fn the_limit_keeps_the_old_set_and_is_not_tested_again_on_this_connection() {
        let mut subscriber = Subscriber::new(2);
        let mut server = Server::new(&[], 2);
        subscriber.want(&symbols(&["A", "B", "C", "D"]));
        assert_eq!(server.settle(&mut subscriber), 2);
        assert_eq!(subscriber.missing(), ["C", "D"]);
        assert_eq!(subscriber.held(), 2);
    }

    #[test]
    fn a_name_left_out_of_the_acknowledgement_is_missing() {
        let mut subscriber = Subscriber::new(500);
        subscriber.want(&symbols(&["A", "B"]));
        subscriber.next_request();
        let acknowledged = subscriber.acknowledged(&["A".into()]);
        assert_eq!(acknowledged, Acknowledged { added: vec!["A".into()], undone: vec!["B".into()] });
        assert!(subscriber.is_complete());
        assert_eq!(subscriber.next_request(), None);
        assert_eq!(subscriber.missing(), ["B"]);
    }

    #[test]
    fn nothing_wanted_sends_nothing() {
        let mut subscriber = Subscriber::new(500);
        subscriber.want(&symbols(&[]));
        assert_eq!(subscriber.next_request(), None);
    }

    proptest! {
        #[test]
        fn any_change_with_malformed_symbols_settles_on_the_valid_ones(
            first in proptest::collection::btree_set("[A-F]{1,2}", 0..30),
            second in proptest::collection::btree_set("[A-F]{1,2}", 0..30),
            bad in proptest::collection::btree_set("[A-F]{1,2}", 0..6),
            chunk in 1_usize..8,
        ) {
            let mut subscriber = Subscriber::new(chunk);
            let bad: Vec<&str> = bad.iter().map(String::as_str).collect();
            let mut server = Server::new(&bad, usize::MAX);
            for wanted in [&first, &second, &first] {
                let names: Vec<&str> = wanted.iter().map(String::as_str).collect();
                subscriber.want(&symbols(&names));
                server.settle(&mut subscriber);
                let good: BTreeSet<String> = wanted.iter().filter(|name| !bad.contains(&name.as_str())).cloned().collect();
                prop_assert_eq!(&server.held, &good);
            }
            // A new connection does not request the malformed ones again.
            let mut server = Server::new(&bad, usize::MAX);
            subscriber.reset();
            let good = first.iter().filter(|name| !bad.contains(&name.as_str())).count();
            prop_assert_eq!(server.settle(&mut subscriber), good.div_ceil(chunk));
        }
    }
}

//! Which tenants want which symbol.
//!
//! Owns the routes and each tenant's slot numbers. Knows nothing of plugins or Firestore. Runs on the reader's thread and
//! never waits. Changes arrive through [`RouteChanges`] and apply from the next batch of quotes on.

mod changes;
#[cfg(test)]
mod tests;

pub use changes::{RouteChange, RouteChanges};

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use quotegate_document::TenantId;
use quotegate_market::{Quote, QuoteColumns, QuoteReceiver, Subscription, Symbol, SymbolId, SymbolTable};

use crate::inbox::Inbox;

/// The symbols that a tenant wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Whatever the feed sends.
    All,
    /// These.
    Symbols(HashSet<Symbol>),
}

impl Wanted {
    fn has(&self, symbol: &Symbol) -> bool {
        match self {
            Self::All => true,
            Self::Symbols(symbols) => symbols.contains(symbol),
        }
    }

    /// The subscription for everything that at least one of `tenants` wants.
    pub fn union<'a>(tenants: impl IntoIterator<Item = &'a Self>) -> Subscription {
        let mut union = BTreeSet::new();
        for wanted in tenants {
            match wanted {
                Self::All => return Subscription::All,
                Self::Symbols(symbols) => union.extend(symbols.iter().cloned()),
            }
        }
        Subscription::Symbols(union)
    }
}

/// Sends each quote to the tenants that want its symbol. The cost per quote depends only on how many tenants want it, not
/// on how many there are.
#[derive(Debug, Default)]
pub struct Router {
    changes: Arc<RouteChanges>,
    /// Places of removed tenants are reused.
    tenants: Vec<Option<Destination>>,
    /// The inboxes of `tenants`. Apart from them, because deliveries need nothing else of a tenant.
    inboxes: Vec<Option<Arc<Inbox>>>,
    places: HashMap<TenantId, usize>,
    wants_all: Vec<usize>,
    wants: HashMap<Symbol, Vec<usize>>,
    /// By the feed's symbol id.
    routes: Vec<Vec<Route>>,
    deliveries: Deliveries,
    /// The latest quote of each symbol, by the feed's symbol id, if it is kept.
    latest: Option<Vec<Option<Quote>>>,
}

/// So many inboxes are loaded into the processor's caches at once before deliveries to them.
const PREFETCHED: usize = 16;

#[derive(Debug, Clone, Copy)]
struct Route {
    tenant: u32,
    slot: u32,
}

/// Which tenant gets which rows of a batch. Collected before anything is delivered, so that a batch touches each tenant's
/// own memory once, which is rarely in the processor's caches.
#[derive(Debug, Default)]
struct Deliveries {
    all: Vec<Delivery>,
    /// By tenant: its first delivery.
    first: Vec<Option<u32>>,
    /// Tenants that have any; each once.
    tenants: Vec<u32>,
    /// The batch in rows, if quotes are wanted by several tenants, because each reads them; else empty.
    quotes: Vec<Quote>,
}

#[derive(Debug, Clone, Copy)]
struct Delivery {
    row: u32,
    slot: u32,
    /// The tenant's next one.
    next: Option<u32>,
}

impl Deliveries {
    /// Adds a delivery before the tenant's others.
    fn push_front(&mut self, row: u32, Route { tenant, slot }: Route) {
        let first = &mut self.first[tenant as usize];
        if first.is_none() {
            self.tenants.push(tenant);
        }
        let next = first.replace(self.all.len() as u32);
        self.all.push(Delivery { row, slot, next });
    }

    /// Removes the tenant's deliveries. Returns their slots and quotes.
    fn take<'a>(&'a mut self, tenant: u32, quotes: &'a QuoteColumns) -> impl Iterator<Item = (u32, Quote)> + use<'a> {
        let first = self.first[tenant as usize].take();
        let at = |at: u32| self.all[at as usize];
        let deliveries = std::iter::successors(first.map(at), move |delivery| delivery.next.map(at));
        deliveries.map(|Delivery { row, slot, .. }| {
            let row = row as usize;
            (slot, self.quotes.get(row).copied().unwrap_or_else(|| quotes.quote(row)))
        })
    }
}

#[derive(Debug)]
struct Destination {
    wanted: Wanted,
    inbox: Arc<Inbox>,
    slots: u32,
    /// Slots of symbols that the tenant no longer wants, by the feed's symbol id.
    retired: HashMap<u32, u32>,
}

impl Destination {
    /// The symbol's slot. Allocates one if it never had one.
    fn slot(&mut self, id: u32, symbol: &Symbol) -> u32 {
        self.retired.remove(&id).unwrap_or_else(|| {
            self.inbox.add_slot(symbol.clone());
            self.slots += 1;
            self.slots - 1
        })
    }
}

impl Router {
    /// Keeps the latest quote of each symbol, and passes it to tenants that begin to want the symbol: for a host that takes
    /// over tenants of another one, which may have ended before it wrote its last quotes.
    pub fn with_latest() -> Self {
        let mut router = Self::default();
        router.latest = Some(Vec::new());
        router
    }

    /// The handle that changes it once it runs.
    pub fn changes(&self) -> Arc<RouteChanges> {
        self.changes.clone()
    }

    /// Adds a tenant before the first quote.
    pub fn add(&mut self, tenant: TenantId, wanted: Wanted, inbox: Arc<Inbox>) {
        let place = self.tenants.iter().position(Option::is_none).unwrap_or(self.tenants.len());
        if place == self.tenants.len() {
            self.tenants.push(None);
            self.inboxes.push(None);
            self.deliveries.first.push(None);
        }
        self.inboxes[place] = Some(inbox.clone());
        let destination =
            Destination { wanted: Wanted::Symbols(HashSet::new()), inbox, slots: 0, retired: HashMap::new() };
        self.tenants[place] = Some(destination);
        self.places.insert(tenant, place);
        self.set_wanted(place, wanted);
    }

    /// The subscription for everything that at least one tenant wants.
    pub fn subscription(&self) -> Subscription {
        Wanted::union(self.tenants.iter().flatten().map(|tenant| &tenant.wanted))
    }

    /// Sets what the tenant wants of symbols that have no routes yet. Returns what it wanted before.
    fn set_wanted(&mut self, place: usize, wanted: Wanted) -> Option<Wanted> {
        let destination = self.tenants[place].as_mut()?;
        let old = std::mem::replace(&mut destination.wanted, wanted);
        match &old {
            Wanted::All => self.wants_all.retain(|held| *held != place),
            Wanted::Symbols(symbols) => {
                for symbol in symbols {
                    if let Some(places) = self.wants.get_mut(symbol) {
                        places.retain(|held| *held != place);
                        if places.is_empty() {
                            self.wants.remove(symbol);
                        }
                    }
                }
            }
        }
        match &destination.wanted {
            Wanted::All => self.wants_all.push(place),
            Wanted::Symbols(symbols) => {
                for symbol in symbols {
                    self.wants.entry(symbol.clone()).or_default().push(place);
                }
            }
        }
        Some(old)
    }

    fn change(&mut self, change: RouteChange, symbols: &SymbolTable) {
        let nothing = || Wanted::Symbols(HashSet::new());
        match change {
            RouteChange::Add(tenant, wanted, inbox) => {
                self.add(tenant.clone(), nothing(), inbox);
                self.want(&tenant, wanted, symbols);
            }
            RouteChange::Want(tenant, wanted) => self.want(&tenant, wanted, symbols),
            RouteChange::Remove(tenant) => {
                self.want(&tenant, nothing(), symbols);
                if let Some(place) = self.places.remove(&tenant)
                    && let Some(destination) = self.tenants[place].take()
                {
                    destination.inbox.close();
                    self.inboxes[place] = None;
                }
            }
        }
    }

    /// Changes what the tenant wants, and the routes of the symbols that differ.
    fn want(&mut self, tenant: &TenantId, wanted: Wanted, symbols: &SymbolTable) {
        let Some(&place) = self.places.get(tenant) else { return };
        let new = wanted.clone();
        let Some(old) = self.set_wanted(place, wanted) else { return };
        let known = self.routes.len();
        let mut ids: Vec<usize> = match (&old, &new) {
            (Wanted::Symbols(old), Wanted::Symbols(new)) => {
                let differ = old.symmetric_difference(new);
                let ids = differ.filter_map(|symbol| symbols.get(symbol.as_str().as_bytes()));
                ids.map(SymbolId::index).filter(|id| *id < known).collect()
            }
            _ => (0..known).collect(),
        };
        // A set has another order in each process.
        ids.sort_unstable();
        let Some(destination) = &mut self.tenants[place] else { return };
        let mut passed = Vec::new();
        for id in ids {
            let (number, routes) = (id as u32, &mut self.routes[id]);
            let symbol = symbols.symbol(SymbolId(number));
            match (routes.iter().position(|route| route.tenant as usize == place), new.has(symbol)) {
                (None, true) => {
                    let slot = destination.slot(number, symbol);
                    routes.push(Route { tenant: place as u32, slot });
                    let latest = self.latest.as_ref().and_then(|latest| *latest.get(id)?);
                    passed.extend(latest.map(|quote| (slot, quote)));
                }
                (Some(at), false) => {
                    let route = routes.swap_remove(at);
                    destination.retired.insert(number, route.slot);
                }
                _ => {}
            }
        }
        if !passed.is_empty() {
            destination.inbox.deliver(passed.into_iter());
        }
    }

    fn add_routes(&mut self, id: u32, symbol: &Symbol) {
        let named = self.wants.get(symbol).into_iter().flatten();
        let mut routes = Vec::new();
        for &tenant in named.chain(&self.wants_all) {
            if let Some(destination) = &mut self.tenants[tenant] {
                routes.push(Route { tenant: tenant as u32, slot: destination.slot(id, symbol) });
            }
        }
        self.routes.push(routes);
    }
}

/// Without its router, a tenant gets no more quotes, even if the router panicked.
impl Drop for Router {
    fn drop(&mut self) {
        self.changes.end();
        for tenant in self.tenants.iter().flatten() {
            tenant.inbox.close();
        }
    }
}

impl QuoteReceiver for Router {
    fn receive(&mut self, quotes: &QuoteColumns, symbols: &SymbolTable) {
        for change in self.changes.take() {
            self.change(change, symbols);
        }
        while self.routes.len() < symbols.len() {
            let id = self.routes.len() as u32;
            self.add_routes(id, symbols.symbol(SymbolId(id)));
        }
        if let Some(latest) = &mut self.latest {
            latest.resize(self.routes.len(), None);
            for row in 0..quotes.len() {
                latest[quotes.symbol[row] as usize] = Some(quotes.quote(row));
            }
        }
        for (row, symbol) in quotes.symbol.iter().enumerate().rev() {
            for route in &self.routes[*symbol as usize] {
                self.deliveries.push_front(row as u32, *route);
            }
        }
        if self.deliveries.all.len() > quotes.len() {
            self.deliveries.quotes.extend((0..quotes.len()).map(|row| quotes.quote(row)));
        }
        let tenants = std::mem::take(&mut self.deliveries.tenants);
        for tenants in tenants.rchunks(PREFETCHED) {
            let inboxes =
                || tenants.iter().rev().filter_map(|tenant| Some((tenant, self.inboxes[*tenant as usize].as_ref()?)));
            inboxes().for_each(|(_, inbox)| inbox.prefetch());
            for (tenant, inbox) in inboxes() {
                inbox.deliver(self.deliveries.take(*tenant, quotes));
            }
        }
        self.deliveries.tenants = tenants;
        self.deliveries.tenants.clear();
        self.deliveries.quotes.clear();
        self.deliveries.all.clear();
    }
}

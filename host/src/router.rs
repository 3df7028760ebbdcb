//! Which tenant wants which symbol.
//!
//! Owns the routes and each tenant's slot numbers. Knows nothing of plugins or Firestore; runs on the reader's thread
//! and never waits.

use std::collections::HashMap;
use std::sync::Arc;

use quotegate_feed::{QuoteReceiver, Subscription};
use quotegate_quote::{QuoteColumns, Symbol, SymbolId, SymbolTable};

use crate::inbox::Inbox;

/// The symbols that a tenant wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Whatever the feed sends.
    All,
    /// These.
    Symbols(Vec<Symbol>),
}

/// Sends each quote to the tenants that want its symbol. A quote costs as much as there are tenants that want it,
/// however many there are in all.
#[derive(Debug, Default)]
pub struct Router {
    tenants: Vec<Destination>,
    wants_all: Vec<usize>,
    wants: HashMap<Symbol, Vec<usize>>,
    /// By the feed's symbol id.
    routes: Vec<Vec<Route>>,
    /// Tenants with staged quotes; each at most once.
    touched: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Route {
    tenant: usize,
    slot: u32,
}

#[derive(Debug)]
struct Destination {
    inbox: Arc<Inbox>,
    slots: u32,
    staged: QuoteColumns,
    new_symbols: Vec<Symbol>,
}

impl Router {
    /// Adds a tenant before the first quote.
    pub fn add(&mut self, wanted: &Wanted, inbox: Arc<Inbox>) {
        let tenant = self.tenants.len();
        match wanted {
            Wanted::All => self.wants_all.push(tenant),
            Wanted::Symbols(symbols) => {
                for symbol in symbols {
                    self.wants.entry(symbol.clone()).or_default().push(tenant);
                }
            }
        }
        let destination = Destination { inbox, slots: 0, staged: QuoteColumns::default(), new_symbols: Vec::new() };
        self.tenants.push(destination);
    }

    /// What to ask the feed for: everything that at least one tenant wants.
    pub fn subscription(&self) -> Subscription {
        if self.wants_all.is_empty() {
            Subscription::Symbols(self.wants.keys().cloned().collect())
        } else {
            Subscription::All
        }
    }

    fn add_routes(&mut self, symbol: &Symbol) {
        let named = self.wants.get(symbol).into_iter().flatten();
        let routes = named.chain(&self.wants_all).map(|&tenant| {
            let destination = &mut self.tenants[tenant];
            destination.new_symbols.push(symbol.clone());
            destination.slots += 1;
            Route { tenant, slot: destination.slots - 1 }
        });
        let routes = routes.collect();
        self.routes.push(routes);
    }
}

/// Without its router a tenant gets no more quotes, however the router came to its end.
impl Drop for Router {
    fn drop(&mut self) {
        for tenant in &self.tenants {
            tenant.inbox.close();
        }
    }
}

impl QuoteReceiver for Router {
    fn receive(&mut self, quotes: &QuoteColumns, symbols: &SymbolTable) {
        while self.routes.len() < symbols.len() {
            self.add_routes(symbols.symbol(SymbolId(self.routes.len() as u32)));
        }
        for row in 0..quotes.len() {
            for route in &self.routes[quotes.symbol[row] as usize] {
                let destination = &mut self.tenants[route.tenant];
                if destination.staged.is_empty() {
                    self.touched.push(route.tenant);
                }
                destination.staged.push(route.slot, &quotes.quote(row));
            }
        }
        for tenant in self.touched.drain(..) {
            let destination = &mut self.tenants[tenant];
            destination.inbox.deliver(&mut destination.staged, &mut destination.new_symbols);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::Batch;
    use quotegate_quote::Quote;
    use tokio::sync::Notify;

    fn wanted(names: &[&str]) -> Wanted {
        Wanted::Symbols(names.iter().map(|name| Symbol::new(name).unwrap()).collect())
    }

    fn house(wants: &[Wanted]) -> (Router, Vec<Arc<Inbox>>) {
        let mut router = Router::default();
        let inboxes: Vec<_> = wants.iter().map(|_| Arc::new(Inbox::new(100, Arc::new(Notify::new())))).collect();
        for (wanted, inbox) in wants.iter().zip(&inboxes) {
            router.add(wanted, inbox.clone());
        }
        (router, inboxes)
    }

    fn send(router: &mut Router, table: &mut SymbolTable, names: &[&str]) {
        let mut columns = QuoteColumns::default();
        for (at, name) in names.iter().enumerate() {
            let id = table.intern(name.as_bytes()).unwrap();
            columns.push(id.0, &Quote { event_time: at as i64, ..Quote::default() });
        }
        router.receive(&columns, table);
    }

    fn names(inbox: &Inbox, known: &mut Vec<Symbol>) -> Vec<String> {
        let mut batch = Batch::default();
        inbox.take(&mut batch);
        known.append(&mut batch.new_symbols);
        batch.quotes.symbol.iter().map(|slot| known[*slot as usize].to_string()).collect()
    }

    #[test]
    fn each_tenant_gets_what_it_wants_under_its_own_slots() {
        let (mut router, inboxes) = house(&[wanted(&["SPY", "AAPL"]), wanted(&["AAPL"]), Wanted::All]);
        let mut table = SymbolTable::default();
        let mut known = vec![Vec::new(); 3];
        send(&mut router, &mut table, &["TSLA", "AAPL", "SPY", "AAPL"]);
        assert_eq!(names(&inboxes[0], &mut known[0]), ["AAPL", "SPY", "AAPL"]);
        assert_eq!(names(&inboxes[1], &mut known[1]), ["AAPL", "AAPL"]);
        assert_eq!(names(&inboxes[2], &mut known[2]), ["TSLA", "AAPL", "SPY", "AAPL"]);
        send(&mut router, &mut table, &["QQQ", "SPY"]);
        assert_eq!(names(&inboxes[0], &mut known[0]), ["SPY"]);
        assert_eq!(names(&inboxes[2], &mut known[2]), ["QQQ", "SPY"]);
    }

    #[test]
    fn the_subscription_is_the_union() {
        let (router, _) = house(&[wanted(&["SPY", "AAPL"]), wanted(&["AAPL", "TSLA"])]);
        let expected = ["AAPL", "SPY", "TSLA"].map(|name| Symbol::new(name).unwrap());
        assert_eq!(router.subscription(), Subscription::Symbols(expected.into_iter().collect()));
        assert_eq!(house(&[wanted(&["SPY"]), Wanted::All]).0.subscription(), Subscription::All);
    }
}

use super::*;
use crate::inbox::Batch;
use proptest::prelude::*;
use quotegate_market::Quote;
use tokio::sync::Notify;

fn wanted(names: &[&str]) -> Wanted {
    Wanted::Symbols(names.iter().map(|name| Symbol::new(name).unwrap()).collect())
}

fn inbox() -> Arc<Inbox> {
    Arc::new(Inbox::new(100_000, Arc::new(Notify::new())))
}

fn tenant(number: usize) -> TenantId {
    TenantId::new(&format!("tenant-{number}")).unwrap()
}

fn router_for(wants: &[Wanted]) -> (Router, Vec<Arc<Inbox>>) {
    let mut router = Router::default();
    let inboxes: Vec<_> = wants.iter().map(|_| inbox()).collect();
    for (number, (wanted, inbox)) in wants.iter().zip(&inboxes).enumerate() {
        router.add(tenant(number), wanted.clone(), inbox.clone());
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
    let (mut router, inboxes) = router_for(&[wanted(&["SPY", "AAPL"]), wanted(&["AAPL"]), Wanted::All]);
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
    let (router, _) = router_for(&[wanted(&["SPY", "AAPL"]), wanted(&["AAPL", "TSLA"])]);
    let expected = ["AAPL", "SPY", "TSLA"].map(|name| Symbol::new(name).unwrap());
    assert_eq!(router.subscription(), Subscription::Symbols(expected.into_iter().collect()));
    assert_eq!(router_for(&[wanted(&["SPY"]), Wanted::All]).0.subscription(), Subscription::All);
}

#[test]
fn a_tenant_that_is_added_late_gets_the_latest_quotes_if_they_are_kept() {
    for (mut router, expected) in [(Router::with_latest(), vec!["SPY", "AAPL"]), (Router::default(), vec![])] {
        let (mut table, mut known, late) = (SymbolTable::default(), Vec::new(), inbox());
        send(&mut router, &mut table, &["SPY", "AAPL", "SPY", "TSLA"]);
        router.changes().send(vec![RouteChange::Add(tenant(0), wanted(&["SPY", "AAPL"]), late.clone())]);
        send(&mut router, &mut table, &[]);
        let mut batch = Batch::default();
        late.take(&mut batch);
        known.append(&mut batch.new_symbols);
        let names: Vec<_> = batch.quotes.symbol.iter().map(|slot| known[*slot as usize].as_str()).collect();
        assert_eq!(names, expected);
        assert_eq!(batch.quotes.event_time, if expected.is_empty() { vec![] } else { vec![2, 1] });
    }
}

#[test]
fn tenants_are_added_changed_and_removed_between_two_batches() {
    let (mut router, inboxes) = router_for(&[wanted(&["SPY"])]);
    let mut table = SymbolTable::default();
    let mut known = [Vec::new(), Vec::new()];
    send(&mut router, &mut table, &["SPY", "AAPL"]);
    assert_eq!(names(&inboxes[0], &mut known[0]), ["SPY"]);
    let late = inbox();
    router.changes().send(vec![
        RouteChange::Want(tenant(0), wanted(&["AAPL", "TSLA"])),
        RouteChange::Add(tenant(1), wanted(&["SPY"]), late.clone()),
    ]);
    send(&mut router, &mut table, &["SPY", "AAPL", "TSLA"]);
    assert_eq!(names(&inboxes[0], &mut known[0]), ["AAPL", "TSLA"]);
    assert_eq!(names(&late, &mut known[1]), ["SPY"]);

    // A symbol that is wanted again keeps its old slot, so its old quotes are not forgotten.
    router.changes().send(vec![RouteChange::Want(tenant(0), Wanted::All), RouteChange::Remove(tenant(1))]);
    send(&mut router, &mut table, &["SPY", "QQQ"]);
    assert_eq!(names(&inboxes[0], &mut known[0]), ["SPY", "QQQ"]);
    assert_eq!(known[0].iter().map(Symbol::as_str).collect::<Vec<_>>(), ["SPY", "AAPL", "TSLA", "QQQ"]);
    assert!(late.is_finished() && !inboxes[0].is_finished());

    // The next tenant takes the place of the removed one, and nothing is mixed up.
    let next = inbox();
    router.changes().send(vec![RouteChange::Add(tenant(2), wanted(&["QQQ"]), next.clone())]);
    send(&mut router, &mut table, &["SPY", "QQQ"]);
    assert_eq!(names(&next, &mut Vec::new()), ["QQQ"]);
}

#[test]
fn a_tenant_added_after_the_router_has_ended_finds_its_inbox_closed() {
    let (router, _) = router_for(&[Wanted::All]);
    let changes = router.changes();
    let (early, late) = (inbox(), inbox());
    changes.send(vec![RouteChange::Add(tenant(1), Wanted::All, early.clone())]);
    drop(router);
    changes.send(vec![RouteChange::Add(tenant(2), Wanted::All, late.clone())]);
    assert!(early.is_finished() && late.is_finished());
}

fn some_wanted() -> impl Strategy<Value = Option<Wanted>> {
    let list = prop::collection::hash_set(0_u8..8, 0..6).prop_map(|numbers| {
        Wanted::Symbols(numbers.iter().map(|number| Symbol::new(&format!("S{number}")).unwrap()).collect())
    });
    prop_oneof![1 => Just(None), 1 => Just(Some(Wanted::All)), 4 => list.prop_map(Some)]
}

proptest! {
    /// Whatever changes, each quote goes to the tenants that want it then, and a symbol's slot never changes.
    #[test]
    fn routes_are_always_what_is_wanted(
        steps in prop::collection::vec(
            (prop::option::of((0_usize..4, some_wanted())), prop::collection::vec(0_u8..8, 1..5)),
            1..40,
        ),
    ) {
        let (mut router, mut table) = (Router::default(), SymbolTable::default());
        let mut tenants: HashMap<usize, (Wanted, Arc<Inbox>, Vec<Symbol>)> = HashMap::new();
        for (change, quotes) in steps {
            if let Some((number, wish)) = change {
                let change = match (wish, tenants.get_mut(&number)) {
                    (None, None) => None,
                    (None, Some(_)) => {
                        tenants.remove(&number);
                        Some(RouteChange::Remove(tenant(number)))
                    }
                    (Some(wish), Some(held)) => {
                        held.0 = wish.clone();
                        Some(RouteChange::Want(tenant(number), wish))
                    }
                    (Some(wish), None) => {
                        let inbox = inbox();
                        tenants.insert(number, (wish.clone(), inbox.clone(), Vec::new()));
                        Some(RouteChange::Add(tenant(number), wish, inbox))
                    }
                };
                router.changes().send(change.into_iter().collect());
            }
            let quotes: Vec<String> = quotes.iter().map(|number| format!("S{number}")).collect();
            send(&mut router, &mut table, &quotes.iter().map(String::as_str).collect::<Vec<_>>());
            for (wanted, inbox, known) in tenants.values_mut() {
                let expected = quotes.iter().filter(|name| wanted.has(&Symbol::new(name).unwrap()));
                prop_assert_eq!(names(inbox, known), expected.cloned().collect::<Vec<_>>());
                let distinct: HashSet<_> = known.iter().collect();
                prop_assert_eq!(distinct.len(), known.len(), "a symbol has two slots");
            }
            let wants = tenants.values().map(|(wanted, ..)| wanted);
            prop_assert_eq!(router.subscription(), Wanted::union(wants));
        }
    }
}

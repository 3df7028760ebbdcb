//! Guests that go past a limit by which only the surplus is lost, or that share one limit among many things.

use crate::common;

use std::time::{Duration, Instant};

use common::{Parts, bids, engine, guest, guest_text, names, spec, start, tenant};
use quotegate_market::Quote;
use quotegate_plugin::{
    AllocatorChoice, EngineSettings, FailureKind, Mapped, OnError, PluginChain, PluginEngine, PluginLimits,
    PluginSnapshot, PluginState, PreparedPlugin,
};

fn chain(parts: Parts<'_>, limits: PluginLimits) -> PluginChain {
    let mut spec = spec(&engine(), &guest(parts));
    let time_per_call = spec.limits.time_per_call;
    spec.limits = limits;
    spec.limits.time_per_call = time_per_call;
    PluginChain::start(tenant(), vec![spec]).unwrap()
}

/// Calls the filter so many times with one quote each.
fn filter_calls(filter: &str, start: &str, limits: PluginLimits, calls: usize) -> PluginSnapshot {
    let mut chain = chain(Parts { filter: Some(filter), start, ..Parts::default() }, limits);
    for _ in 0..calls {
        chain.filter(Instant::now(), &mut bids(&[10.0]), &names());
    }
    chain.snapshot().remove(0)
}

#[test]
fn a_plugin_over_its_share_of_time_is_left_out_until_the_share_has_fallen() {
    for (on_error, kept) in [(OnError::Drop, 0), (OnError::Pass, 1), (OnError::StopTenant, 0)] {
        let mut spec = spec(&engine(), &guest(Parts::default()));
        // Any call at all is too much, but only when it has been made.
        spec.limits.share_of_time = 0.0;
        spec.on_error = on_error;
        let mut chain = PluginChain::start(tenant(), vec![spec]).unwrap();
        let begin = Instant::now();
        let mut call = |seconds| {
            let mut quotes = bids(&[10.0]);
            let outcome = chain.filter(begin + Duration::from_secs(seconds), &mut quotes, &names());
            (quotes.len(), outcome.stop.map(|stop| stop.error))
        };
        assert_eq!(call(0), (1, None));
        let problem = "its calls take more than 0% of a processor, so calls are skipped; make it faster, or raise `limits.share_of_time`";
        let stops = (on_error == OnError::StopTenant).then(|| problem.to_owned());
        assert_eq!(call(0), (kept, stops.clone()));
        assert_eq!(call(9), (kept, stops));
        assert_eq!(call(10), (1, None), "after ten seconds, any call is paid off");
        let snapshot = chain.snapshot().remove(0);
        assert_eq!((snapshot.calls, snapshot.calls_left_out), (2, 2));
        assert_eq!((snapshot.failures.len(), snapshot.instances_started), (0, 1), "it is no failure");
        assert_eq!((snapshot.state, snapshot.last_problem.as_deref()), (PluginState::Degraded, Some(problem)));
        chain.filter(begin + Duration::from_secs(20), &mut bids(&[10.0]), &names());
        assert_eq!(chain.snapshot()[0].state, PluginState::Ready);
    }
}

#[test]
fn tables_share_one_limit_and_the_trap_says_why() {
    let grow = |table: &str, by: u32| {
        format!(
            "(if (i32.eq (table.grow {table} (ref.null func) (i32.const {by})) (i32.const -1)) (then (unreachable)))"
        )
    };
    let tables = "(table $a 0 funcref) (table $b 0 funcref)";
    let limits = || PluginLimits { table_elements: 1000, ..PluginLimits::default() };
    let fits = grow("$a", 600) + &grow("$b", 400);
    assert_eq!(filter_calls(&fits, tables, limits(), 1).failures.len(), 0);
    let both = grow("$a", 600) + &grow("$b", 600);
    assert_eq!(filter_calls(&both, tables, limits(), 1).failures[&FailureKind::Memory], 1);
    let default = grow("$a", 100_000);
    assert_eq!(filter_calls(&default, tables, PluginLimits::default(), 1).failures.len(), 0, "the pool has as many");
    let over = grow("$a", 100_001);
    assert_eq!(filter_calls(&over, tables, PluginLimits::default(), 1).failures[&FailureKind::Memory], 1);
}

#[test]
fn a_table_or_memory_that_starts_too_large_does_not_start() {
    let limits = PluginLimits { table_elements: 1000, memory_bytes: 5 << 20, ..PluginLimits::default() };
    let mut spec = spec(&engine(), &guest(Parts { start: "(table 1001 funcref)", ..Parts::default() }));
    spec.limits = limits;
    let problem = PluginChain::start(tenant(), vec![spec.clone()]).unwrap_err();
    assert_eq!(problem.failure.kind(), FailureKind::Memory);
    // The frame's own memory has 4 MiB; this one of 2 MiB is too much together with it.
    spec.plugin = common::spec(&engine(), &guest(Parts { start: "(memory 32)", ..Parts::default() })).plugin;
    let problem = PluginChain::start(tenant(), vec![spec]).unwrap_err();
    assert_eq!(problem.failure.kind(), FailureKind::Memory);
}

#[test]
fn more_core_instances_than_allowed_do_not_start() {
    let mut spec = spec(&engine(), &guest(Parts::default()));
    spec.limits.instances = 1;
    let problem = PluginChain::start(tenant(), vec![spec]).unwrap_err();
    assert_eq!(problem.failure.kind(), FailureKind::Trap);
    assert!(problem.to_string().contains("instance count too high"), "{problem}");
}

/// The pool is for all tenants: a component that takes more of it than its part is refused before it runs.
#[test]
fn one_component_cannot_use_up_the_pool() {
    let settings = EngineSettings { instances: 2, allocator: Some(AllocatorChoice::Pooling), ..Default::default() };
    let engine = PluginEngine::new(&settings).unwrap();
    // Declared once, which is within the limit for declarations.
    let memory = "(core instance (instantiate $m))";
    let more = format!("(core module $m (memory 0)) {memory} {memory})");
    let greedy = guest_text(Parts::default());
    let greedy = wat::parse_str(greedy.trim_end().strip_suffix(')').unwrap().to_owned() + &more).unwrap();
    let problem = PreparedPlugin::new(&engine, "greedy", &greedy, None).unwrap_err();
    assert!(problem.to_string().contains("contains 3 Wasm linear memories"), "{problem}");
    let modest = Parts { start: "(memory 0)", ..Parts::default() };
    let mut chains = [start(&engine, modest).unwrap(), start(&engine, modest).unwrap()];
    for chain in &mut chains {
        assert_eq!(chain.filter(Instant::now(), &mut bids(&[0.5, 10.0]), &names()).refused, 1);
    }
}

#[test]
fn a_refusal_that_a_guest_came_through_does_not_explain_a_later_trap() {
    let grow_then_trap = "(drop (memory.grow (i32.const 2000)))
        (if (i32.ge_u (global.get $calls) (i32.const 2)) (then (unreachable)))";
    let same_call = filter_calls(grow_then_trap, "", PluginLimits::default(), 2);
    assert_eq!(same_call.failures.keys().collect::<Vec<_>>(), [&FailureKind::Memory]);
    let later_call = "(if (i32.ge_u (global.get $calls) (i32.const 2)) (then (unreachable)))
        (drop (memory.grow (i32.const 2000)))";
    let later_call = filter_calls(later_call, "", PluginLimits::default(), 2);
    assert_eq!(later_call.failures.keys().collect::<Vec<_>>(), [&FailureKind::Trap]);
}

/// Text of a filter that runs `body` a hundred times with a new name of two letters at 600 each time.
fn hundred_names(body: &str) -> String {
    format!(
        "(loop $for
          (i32.store8 (i32.const 600) (i32.add (i32.const 97) (i32.div_u (local.get $i) (i32.const 26))))
          (i32.store8 (i32.const 601) (i32.add (i32.const 97) (i32.rem_u (local.get $i) (i32.const 26))))
          {body}
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $for (i32.lt_u (local.get $i) (i32.const 100))))"
    )
}

#[test]
fn a_flood_of_counter_names_is_cut_and_known_names_go_on() {
    let flood = hundred_names("(call $count (i32.const 600) (i32.const 2) (i64.const 3))");
    let snapshot = filter_calls(&flood, "", PluginLimits::default(), 2);
    assert_eq!((snapshot.counts.len(), snapshot.metrics_refused), (64, 2 * 36));
    assert_eq!((snapshot.counts["aa"], snapshot.counts["cl"]), (6, 6));
    assert_eq!(snapshot.state, PluginState::Ready);
}

#[test]
fn a_flood_of_gauge_names_is_cut_and_known_names_go_on() {
    let flood = hundred_names("(call $gauge (i32.const 600) (i32.const 2) (f64.convert_i32_u (global.get $calls)))");
    let snapshot = filter_calls(&flood, "", PluginLimits::default(), 2);
    assert_eq!((snapshot.gauges.len(), snapshot.metrics_refused), (64, 2 * 36));
    assert_eq!(snapshot.gauges["aa"], 2.0);
}

#[test]
fn a_new_instance_gets_no_new_names() {
    let name = "(i32.store8 (i32.const 600) (i32.add (i32.const 97) (global.get $calls)))";
    let flood = hundred_names("(call $count (i32.const 600) (i32.const 2) (i64.const 1))") + name + "(unreachable)";
    let snapshot = filter_calls(&flood, "", PluginLimits::default(), 3);
    assert_eq!((snapshot.instances_started, snapshot.counts.len(), snapshot.counts["aa"]), (3, 64, 3));
}

#[test]
fn names_and_numbers_that_metrics_cannot_have_are_left_out() {
    // At 8: "cheapSPYmid../x__x__a..b" and an escape sequence; at 65536 and on only zeros.
    let bad = "(call $count (i32.const 16) (i32.const 4) (i64.const 1))
        (call $count (i32.const 8) (i32.const 0) (i64.const 1))
        (call $count (i32.const 32) (i32.const 4) (i64.const 1))
        (memory.fill (i32.const 600) (i32.const 97) (i32.const 65))
        (call $count (i32.const 600) (i32.const 65) (i64.const 1))
        (call $gauge (i32.const 16) (i32.const 3) (f64.const nan))
        (call $gauge (i32.const 16) (i32.const 3) (f64.const -inf))";
    let snapshot = filter_calls(bad, "", PluginLimits::default(), 1);
    assert_eq!((snapshot.metrics_refused, snapshot.counts.len(), snapshot.gauges.len()), (6, 0, 0));
    let good = "(memory.fill (i32.const 600) (i32.const 97) (i32.const 64))
        (call $count (i32.const 600) (i32.const 64) (i64.const -1))
        (call $count (i32.const 600) (i32.const 64) (i64.const -1))";
    let snapshot = filter_calls(good, "", PluginLimits::default(), 1);
    assert_eq!(snapshot.counts[&"a".repeat(64)], u64::MAX, "a counter stays at its end");
}

/// Text of a map whose answer for the first quote is so many documents, each without a place; the first has the field
/// `mid`, whose value `value` stores: its tag at 41112, what it holds at 41120 on.
fn documents(count: u32, value: &str) -> String {
    format!(
        "(memory.fill (i32.const 32768) (i32.const 0) (i32.const 8000))
         (i32.store (i32.const 32768) (i32.const 40000)) (i32.store (i32.const 32772) (i32.const {count}))
         (i32.store (i32.const 40024) (i32.const 41104)) (i32.store (i32.const 40028) (i32.const 1))
         (i32.store (i32.const 41104) (i32.const 16)) (i32.store (i32.const 41108) (i32.const 3))
         {value}"
    )
}

const NULL: &str = "(i32.store8 (i32.const 41112) (i32.const 0))";

fn map_once(map: &str, limits: PluginLimits) -> (Mapped, PluginSnapshot) {
    let mut chain = chain(Parts { map: Some(map), ..Parts::default() }, limits);
    let mapped = chain.map(Instant::now(), &[(names()[0].clone(), Quote::default())]).quotes.remove(0);
    (mapped, chain.snapshot().remove(0))
}

fn assert_refused((mapped, snapshot): (Mapped, PluginSnapshot), words: &str) {
    assert_eq!((mapped, snapshot.documents_refused, snapshot.documents), (Mapped::Dropped, 1, 0));
    let problem = snapshot.last_problem.unwrap();
    assert!(problem.contains(words), "{problem}");
    assert_eq!((snapshot.state, snapshot.instances_started), (PluginState::Degraded, 1), "the instance lives on");
}

#[test]
fn more_documents_than_a_quote_may_have_are_refused_together() {
    assert_refused(map_once(&documents(9, NULL), PluginLimits::default()), "made 9 documents");
    let one = PluginLimits { documents_per_quote: 1, ..PluginLimits::default() };
    assert_refused(map_once(&documents(2, NULL), one.clone()), "made 2 documents");
    assert!(matches!(map_once(&documents(1, NULL), one).0, Mapped::Documents(_)));
}

#[test]
fn more_bytes_than_a_quote_or_a_document_may_have_are_refused() {
    // 32 of Firestore, the names live_quotes and SPY, mid and null.
    let exactly = 32 + 11 + 3 + 2 + 3 + 1 + 1;
    let limits = |document_bytes_per_quote| PluginLimits { document_bytes_per_quote, ..PluginLimits::default() };
    assert!(matches!(map_once(&documents(1, NULL), limits(exactly)).0, Mapped::Documents(_)));
    assert_refused(map_once(&documents(1, NULL), limits(exactly - 1)), "`limits.document_kib_per_quote`");
    // A document of its own has 1 MiB at most, whatever the tenant allows a quote.
    let bytes = |length: u32| {
        format!(
            "(i32.store8 (i32.const 41112) (i32.const 6)) (i32.store (i32.const 41120) (i32.const 0))
             (i32.store (i32.const 41124) (i32.const {length}))"
        )
    };
    assert!(matches!(map_once(&documents(1, &bytes(1_000_000)), limits(4 << 20)).0, Mapped::Documents(_)));
    assert_refused(map_once(&documents(1, &bytes(1 << 20)), limits(4 << 20)), "1 MiB per document");
}

#[test]
fn more_bytes_than_a_call_may_hand_over_cost_the_instance() {
    let bytes = "(i32.store8 (i32.const 41112) (i32.const 6)) (i32.store (i32.const 41120) (i32.const 0))
        (i32.store (i32.const 41124) (i32.const 200000))";
    let limits = PluginLimits { host_bytes_per_call: 100_000, ..PluginLimits::default() };
    let (mapped, snapshot) = map_once(&documents(1, bytes), limits);
    assert_eq!((mapped, snapshot.failures[&FailureKind::HostBytes]), (Mapped::Dropped, 1));
}

#[test]
fn a_new_chain_keeps_the_plugins_that_are_the_same() {
    let engine = engine();
    let named = |name: &str, config: &str| {
        let mut spec = spec(&engine, &guest(Parts::default()));
        spec.plugin = PreparedPlugin::new(&engine, name, &guest(Parts::default()), None).unwrap();
        spec.config = config.into();
        spec
    };
    let mut old = PluginChain::start(tenant(), vec![named("a", "{}"), named("b", "{}")]).unwrap();
    old.filter(Instant::now(), &mut bids(&[10.0]), &names());
    let specs = vec![named("b", r#"{"new": 1}"#), named("a", "{}"), named("c", "{}")];
    let mut new = PluginChain::start(tenant(), specs).unwrap();
    new.keep_unchanged(&mut old);
    new.filter(Instant::now(), &mut bids(&[10.0]), &names());
    let seen: Vec<_> = new.snapshot().into_iter().map(|plugin| (plugin.name, plugin.quotes_seen)).collect();
    assert_eq!(seen, [("b".into(), 1), ("a".into(), 2), ("c".into(), 1)]);
}

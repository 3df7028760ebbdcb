//! Guests that break every limit: each is counted and contained, and the host goes on.

use crate::common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{FOREVER, Parts, bids, engine, guest, names, spec, start, tenant};
use quotegate_market::Quote;
use quotegate_plugin::{
    AllocatorChoice, ComponentLimits, EngineSettings, FailureKind, Mapped, OnError, PluginChain, PluginEngine,
    PluginError, PluginLimits, PluginState, Precompiler, PreparedPlugin, Sha256Hash,
};

/// Runs the filter once and says how it failed.
fn filter_failure(filter: &str) -> FailureKind {
    let mut chain = start(&engine(), Parts { filter: Some(filter), ..Parts::default() }).unwrap();
    let outcome = chain.filter(Instant::now(), &mut bids(&[10.0]), &names());
    assert_eq!((outcome.refused, outcome.dropped), (0, 1));
    let snapshot = &chain.snapshot()[0];
    assert_eq!(snapshot.state, PluginState::Degraded);
    *snapshot.failures.keys().next().unwrap()
}

fn map_failure(map: &str) -> FailureKind {
    let mut chain = start(&engine(), Parts { map: Some(map), ..Parts::default() }).unwrap();
    let outcome = chain.map(Instant::now(), &[(names()[0].clone(), Quote::default())]);
    assert_eq!(outcome.quotes, [Mapped::Dropped]);
    *chain.snapshot()[0].failures.keys().next().unwrap()
}

#[test]
fn a_filter_keeps_refuses_and_names_its_reason() {
    let mut chain = start(&engine(), Parts::default()).unwrap();
    let mut quotes = bids(&[0.5, 10.0, 0.9, 20.0]);
    let outcome = chain.filter(Instant::now(), &mut quotes, &names());
    assert_eq!((outcome.refused, quotes.bid_price.clone()), (2, vec![10.0, 20.0]));
    let snapshot = &chain.snapshot()[0];
    assert_eq!((snapshot.quotes_seen, snapshot.quotes_kept, snapshot.quotes_refused["cheap"]), (4, 2, 2));
    assert_eq!(snapshot.state, PluginState::Ready);
}

#[test]
fn endless_loops_are_stopped_wherever_they_are() {
    assert_eq!(filter_failure(FOREVER), FailureKind::Time);
    assert_eq!(map_failure(FOREVER), FailureKind::Time);
    let start_failure = |parts| {
        let mut spec = spec(&engine(), &guest(parts));
        spec.limits.time_to_start = Duration::from_millis(100);
        PluginChain::start(tenant(), vec![spec]).unwrap_err().failure.kind()
    };
    assert_eq!(start_failure(Parts { configure: FOREVER, ..Parts::default() }), FailureKind::Time);
    let looping = "(func $run (loop $for (br $for))) (start $run)";
    assert_eq!(start_failure(Parts { start: looping, ..Parts::default() }), FailureKind::Time);
}

#[test]
fn a_trap_is_reported_with_what_the_guest_logged_before() {
    // "cheap" is in the guest's memory at 8; level 3 is an error, 1 is none.
    let trapping = |level: u32| format!("(call $log (i32.const {level}) (i32.const 8) (i32.const 5)) (unreachable)");
    let problem = |filter: &str| {
        let mut chain = start(&engine(), Parts { filter: Some(filter), ..Parts::default() }).unwrap();
        chain.filter(Instant::now(), &mut bids(&[10.0]), &names());
        chain.snapshot()[0].last_problem.clone().unwrap()
    };
    let told = problem(&trapping(3));
    assert!(told.starts_with("it trapped: ") && told.ends_with("; its last error line: cheap"), "{told}");
    assert!(!problem(&trapping(1)).contains("cheap"));
    let failed = start(&engine(), Parts { configure: &trapping(3), ..Parts::default() }).unwrap_err().to_string();
    assert!(failed.contains("its last error line: cheap"), "{failed}");
}

#[test]
fn memory_past_the_limit_is_refused_and_the_trap_says_why() {
    let grow = "(if (i32.eq (memory.grow (i32.const 2000)) (i32.const -1)) (then (unreachable)))";
    assert_eq!(filter_failure(grow), FailureKind::Memory);
}

#[test]
fn deep_recursion_is_stopped() {
    assert_eq!(filter_failure("(drop (call $deep (i32.const 1)))"), FailureKind::Stack);
}

#[test]
fn answers_of_the_wrong_length_are_refused() {
    assert_eq!(filter_failure("(i32.store (i32.const 304) (i32.const 0))"), FailureKind::Answer);
    assert_eq!(filter_failure("(i32.store (i32.const 304) (i32.const 2))"), FailureKind::Answer);
    assert_eq!(map_failure("(i32.store (i32.const 324) (i32.const 2))"), FailureKind::Answer);
}

#[test]
fn an_answer_that_multiplies_itself_costs_the_host_little() {
    // A million lists, all at the same place, each of a million documents: the host must not unfold them.
    let bomb = "(i32.store (i32.const 320) (i32.const 0)) (i32.store (i32.const 324) (i32.const 500000))
        (i32.store (i32.const 0) (i32.const 65536)) (i32.store (i32.const 4) (i32.const 100000))";
    assert_eq!(map_failure(bomb), FailureKind::HostBytes);
    assert_eq!(filter_failure("(i32.store (i32.const 304) (i32.const -1))"), FailureKind::Trap);
}

#[test]
fn a_log_flood_is_cut_to_the_rate() {
    let flood = "(loop $for (call $log (i32.const 1) (i32.const 28) (i32.const 4))
        (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $for (i32.lt_u (local.get $i) (i32.const 1000))))";
    let mut chain = start(&engine(), Parts { filter: Some(flood), ..Parts::default() }).unwrap();
    chain.filter(Instant::now(), &mut bids(&[10.0]), &names());
    let snapshot = &chain.snapshot()[0];
    assert_eq!(snapshot.log_lines + snapshot.log_lines_dropped, 1000);
    assert!(snapshot.log_lines_dropped >= 900, "{}", snapshot.log_lines);
}

#[test]
fn three_failures_lead_into_quarantine_and_on_error_decides() {
    let engine = engine();
    for (on_error, kept, stops) in
        [(OnError::Drop, 0, false), (OnError::Pass, 1, false), (OnError::StopTenant, 0, true)]
    {
        let mut spec = spec(&engine, &guest(Parts { filter: Some("(unreachable)"), ..Parts::default() }));
        spec.on_error = on_error;
        let mut chain = PluginChain::start(tenant(), vec![spec]).unwrap();
        let now = Instant::now();
        for _ in 0..5 {
            let mut quotes = bids(&[10.0]);
            let outcome = chain.filter(now, &mut quotes, &names());
            assert_eq!((quotes.len(), outcome.stop.is_some()), (kept, stops));
        }
        let snapshot = &chain.snapshot()[0];
        assert_eq!((snapshot.state, snapshot.failures[&FailureKind::Trap]), (PluginState::Quarantined, 3));
        assert_eq!((snapshot.calls, snapshot.calls_left_out, snapshot.instances_started), (3, 2, 3));
    }
}

#[test]
fn a_worn_instance_is_replaced_and_its_memory_forgotten() {
    // Traps on the third call of one instance.
    let third = "(if (i32.ge_u (global.get $calls) (i32.const 3)) (then (unreachable)))";
    let mut spec = spec(&engine(), &guest(Parts { filter: Some(third), ..Parts::default() }));
    spec.limits.calls_per_instance = Some(2);
    let mut chain = PluginChain::start(tenant(), vec![spec]).unwrap();
    for _ in 0..6 {
        assert_eq!(chain.filter(Instant::now(), &mut bids(&[10.0]), &names()).dropped, 0);
    }
    let snapshot = &chain.snapshot()[0];
    assert_eq!((snapshot.instances_started, snapshot.instances_worn), (3, 2));
}

#[test]
fn what_is_not_a_plugin_is_refused_with_a_sentence() {
    let engine = engine();
    let prepare = |bytes: &[u8]| PreparedPlugin::new(&engine, "x", bytes, None).unwrap_err();
    let module = wat::parse_str("(module)").unwrap();
    assert_eq!(prepare(&module), PluginError::CoreModule);
    assert_eq!(prepare(&wat::parse_str("(component)").unwrap()), PluginError::NothingToDo);
    let wasi = r#"(component (import "wasi:filesystem/types@0.2.0" (instance)))"#;
    let sentence = prepare(&wat::parse_str(wasi).unwrap()).to_string();
    assert!(
        sentence.starts_with(
            "It imports wasi:filesystem/types@0.2.0, which quotegate does not provide; build it without WASI"
        ),
        "{sentence}"
    );
    let newer = r#"(component (instance $i) (export "quotegate:plugin/filter@9.0.0" (instance $i)))"#;
    assert_eq!(prepare(&wat::parse_str(newer).unwrap()), PluginError::Version("9.0.0".into()));
    let wrong = r#"(component (instance $i) (export "quotegate:plugin/filter@0.1.0" (instance $i)) (export "quotegate:plugin/lifecycle@0.1.0" (instance $i)))"#;
    assert!(matches!(prepare(&wat::parse_str(wrong).unwrap()), PluginError::Shape(_)));
    let good = guest(Parts::default());
    let pin = Some(Sha256Hash::of(b"another"));
    assert!(matches!(PreparedPlugin::new(&engine, "x", &good, pin), Err(PluginError::Pin { .. })));
    for length in (8..good.len()).step_by(97) {
        assert!(matches!(prepare(&good[..length]), PluginError::Invalid(_) | PluginError::NothingToDo), "{length}");
    }
}

#[test]
fn a_broken_or_foreign_cache_entry_is_compiled_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("code");
    let settings = EngineSettings { instances: 4, cache: Some(cache.clone()), ..EngineSettings::default() };
    let engine = PluginEngine::new(&settings).unwrap();
    let bytes = guest(Parts::default());
    let from_cache = || PreparedPlugin::new(&engine, "x", &bytes, None).unwrap().from_cache();
    assert_eq!((from_cache(), from_cache()), (false, true));
    let entry = std::fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&entry).unwrap();
    for at in [0, 32, whole.len() / 2, whole.len() - 1] {
        let mut broken = whole.clone();
        broken[at] ^= 1;
        std::fs::write(&entry, &broken).unwrap();
        assert!(!from_cache(), "byte {at}");
    }
    std::fs::write(&entry, &whole[..10]).unwrap();
    assert_eq!((from_cache(), from_cache()), (false, true));
    std::fs::set_permissions(&entry, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    assert!(!from_cache(), "others may have written it");
}

#[test]
fn code_compiled_ahead_of_time_is_taken_whatever_the_allocator() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("code");
    let bytes = guest(Parts::default());
    Precompiler::new(&cache, PluginLimits::default().memory_bytes, &ComponentLimits::default())
        .unwrap()
        .add(&bytes)
        .unwrap();
    for allocator in [AllocatorChoice::Pooling, AllocatorChoice::SmallReservations, AllocatorChoice::OnDemand] {
        let (cache, allocator) = (Some(cache.clone()), Some(allocator));
        let settings = EngineSettings { instances: 4, cache, allocator, ..EngineSettings::default() };
        let spec = spec(&PluginEngine::new(&settings).unwrap(), &bytes);
        assert!(spec.plugin.from_cache(), "{allocator:?}");
        let mut chain = PluginChain::start(tenant(), vec![spec]).unwrap();
        assert_eq!(chain.filter(Instant::now(), &mut bids(&[0.5, 10.0]), &names()).refused, 1, "{allocator:?}");
    }
}

#[test]
fn code_compiled_ahead_of_time_that_is_broken_or_of_another_host_is_compiled_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("code");
    let (bytes, other) = (guest(Parts::default()), guest(Parts { filter: Some("unreachable"), ..Parts::default() }));
    let precompiler =
        Precompiler::new(&cache, PluginLimits::default().memory_bytes, &ComponentLimits::default()).unwrap();
    precompiler.add(&bytes).unwrap();
    precompiler.add(&other).unwrap();
    let from_cache = |bytes: &[u8]| {
        let settings = EngineSettings {
            instances: 4,
            cache: Some(cache.clone()),
            allocator: Some(AllocatorChoice::OnDemand),
            ..EngineSettings::default()
        };
        PreparedPlugin::new(&PluginEngine::new(&settings).unwrap(), "x", bytes, None).unwrap().from_cache()
    };
    let file = |bytes: &[u8], kind: &str| cache.join(format!("{}-portable-{kind}.code", Sha256Hash::of(bytes)));
    let write = |from: &Path, to: &Path| std::fs::write(to, std::fs::read(from).unwrap()).unwrap();
    let kept = std::fs::read(file(&bytes, "on-demand")).unwrap();
    // Each is compiled again, and what is then kept is this engine's own: taken away, so that the next look is the same.
    let compiled_again = |what: &str| {
        assert!(!from_cache(&bytes), "{what}");
        let own = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
        own.filter(|path| !path.to_string_lossy().contains("portable"))
            .for_each(|path| std::fs::remove_file(path).unwrap());
        std::fs::write(file(&bytes, "on-demand"), &kept).unwrap();
        assert!(from_cache(&bytes), "whole again after: {what}");
    };
    let mut broken = kept.clone();
    broken[kept.len() / 2] ^= 1;
    std::fs::write(file(&bytes, "on-demand"), broken).unwrap();
    compiled_again("a bit has changed");
    write(&file(&other, "on-demand"), &file(&bytes, "on-demand"));
    compiled_again("another plugin's code under this one's name");
    write(&file(&bytes, "pooling"), &file(&bytes, "on-demand"));
    compiled_again("code for another way to get memory");
}

#[test]
fn without_a_folder_that_can_be_made_every_start_compiles() {
    // Nobody makes a folder there, not even root.
    let cache = Some("/sys/quotegate".into());
    let engine = PluginEngine::new(&EngineSettings { instances: 4, cache, ..EngineSettings::default() }).unwrap();
    let from_cache = || PreparedPlugin::new(&engine, "x", &guest(Parts::default()), None).unwrap().from_cache();
    assert_eq!((from_cache(), from_cache()), (false, false));
}

#[test]
fn every_allocator_runs_a_plugin() {
    for allocator in [AllocatorChoice::Pooling, AllocatorChoice::SmallReservations, AllocatorChoice::OnDemand] {
        let settings = EngineSettings { instances: 4, allocator: Some(allocator), ..EngineSettings::default() };
        let mut chain = start(&PluginEngine::new(&settings).unwrap(), Parts::default()).unwrap();
        assert_eq!(chain.filter(Instant::now(), &mut bids(&[0.5, 10.0]), &names()).refused, 1, "{allocator}");
    }
}

/// Text of a map that answers one document; its id (none where the length is 0) and its one field's path are at these places
/// of the guest's memory.
fn one_document(id: (u32, u32), path: (u32, u32)) -> String {
    format!(
        "(i32.store (i32.const 32768) (i32.const 40000)) (i32.store (i32.const 32772) (i32.const 1))
         (i32.store8 (i32.const 40000) (i32.const 0))
         (i32.store8 (i32.const 40012) (i32.const {})) (i32.store (i32.const 40016) (i32.const {})) (i32.store (i32.const 40020) (i32.const {}))
         (i32.store (i32.const 40024) (i32.const 40104)) (i32.store (i32.const 40028) (i32.const 1))
         (i32.store (i32.const 40104) (i32.const {})) (i32.store (i32.const 40108) (i32.const {}))
         (i32.store8 (i32.const 40112) (i32.const 0))",
        u32::from(id.1 > 0), id.0, id.1, path.0, path.1
    )
}

fn map_once(map: &str) -> Mapped {
    let mut chain = start(&engine(), Parts { map: Some(map), ..Parts::default() }).unwrap();
    chain.map(Instant::now(), &[(names()[0].clone(), Quote::default())]).quotes.remove(0)
}

#[test]
fn a_document_reaches_the_host_and_one_outside_the_tenant_does_not() {
    // The guest's text at 8: "cheapSPYmid../x__x__a..b".
    let (mid, up, reserved, gap) = ((16, 3), (19, 4), (23, 5), (28, 4));
    let Mapped::Documents(documents) = map_once(&one_document((0, 0), mid)) else { panic!("no document") };
    assert_eq!((documents[0].key.to_string(), documents[0].fields[0].path.as_str()), ("live_quotes/SPY".into(), "mid"));
    for (id, path) in [(up, mid), (reserved, mid), ((19, 1), mid), (mid, gap), (mid, reserved)] {
        assert_eq!(map_once(&one_document(id, path)), Mapped::Dropped, "{id:?} {path:?}");
    }
}

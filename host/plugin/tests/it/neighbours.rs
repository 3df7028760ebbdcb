//! A plugin hurts only its own tenant, and any bytes at all leave the host standing.

use crate::common;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{FOREVER, Parts, bids, engine, guest, leb128, names, spec, start, tenant};
use quotegate_market::Quote;
use quotegate_plugin::{
    AllocatorChoice, EngineSettings, FailureKind, PluginChain, PluginEngine, PluginSpec, PluginThreads, PreparedPlugin,
};

#[tokio::test]
async fn a_neighbour_is_served_while_plugins_loop_for_ever() {
    let engine = engine();
    let threads = PluginThreads::start(NonZeroUsize::new(2).unwrap(), &tokio::runtime::Handle::current()).unwrap();
    let mut loops = Vec::new();
    for _ in 0..2 {
        let mut spec = spec(&engine, &guest(Parts { filter: Some(FOREVER), ..Parts::default() }));
        // Far longer than the neighbour needs for all its batches, even on a slow machine.
        spec.limits.time_per_call = Duration::from_secs(2);
        let mut chain = PluginChain::start(tenant(), vec![spec]).unwrap();
        loops.push(threads.spawn(async move { chain.filter(Instant::now(), &mut bids(&[1.0]), &names()).dropped }));
    }
    let mut chain = start(&engine, Parts::default()).unwrap();
    let neighbour = threads.spawn(async move {
        for _ in 0..20 {
            assert_eq!(chain.filter(Instant::now(), &mut bids(&[0.5, 10.0]), &names()).refused, 1);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    neighbour.await;
    assert!(loops.iter().all(|task| !task.is_finished()), "the neighbour did not wait for the loops");
}

#[test]
fn bytes_of_any_kind_are_refused_or_run_within_limits() {
    let engine = engine();
    let good = guest(Parts::default());
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..300 {
        let mut bytes = good.clone();
        for _ in 0..rng.usize(1..6) {
            let at = rng.usize(8..bytes.len());
            bytes[at] = rng.u8(..);
        }
        // Refused, or as good as any other plugin: both are fine, a panic or an abort is not.
        let Ok(plugin) = PreparedPlugin::new(&engine, "mutant", &bytes, None) else { continue };
        let mut spec = spec(&engine, &good);
        spec.plugin = plugin;
        let Ok(mut chain) = PluginChain::start(tenant(), vec![spec]) else { continue };
        chain.filter(Instant::now(), &mut bids(&[0.5, 10.0]), &names());
    }
}

#[test]
fn generated_components_never_take_the_host_down() {
    let engine = engine();
    let mut rng = fastrand::Rng::with_seed(11);
    let mut made = 0;
    while made < 3000 {
        let mut seed = vec![0; 512];
        rng.fill(&mut seed);
        let mut unstructured = arbitrary::Unstructured::new(&seed);
        let Ok(component) = wasm_smith::Component::new(wasm_smith::Config::default(), &mut unstructured) else {
            continue;
        };
        made += 1;
        let refused = PreparedPlugin::new(&engine, "generated", &component.to_bytes(), None).unwrap_err();
        assert!(!refused.to_string().is_empty());
    }
}

/// The components above have the wrong exports, so none of them runs. These have the right ones, with random code behind.
#[test]
fn generated_code_runs_within_its_limits_and_never_takes_the_host_down() {
    const LIMIT: Duration = Duration::from_millis(10);
    let engine = engine();
    let frame = guest(Parts::default());
    let shape = frame[guest_module(&frame)].to_vec();
    let mut neighbour = start(&engine, Parts::default()).unwrap();
    let mut rng = fastrand::Rng::with_seed(13);
    let (mut prepared, mut started, mut failures) = (0, 0, BTreeMap::new());
    for _ in 0..300 {
        let bytes = with_generated_code(&frame, &shape, &mut rng);
        let Ok(plugin) = PreparedPlugin::new(&engine, "generated", &bytes, None) else { continue };
        prepared += 1;
        let mut spec = PluginSpec { plugin, ..spec(&engine, &frame) };
        (spec.limits.time_per_call, spec.limits.time_to_start) = (LIMIT, LIMIT);
        match PluginChain::start(tenant(), vec![spec]) {
            Err(problem) => *failures.entry(problem.failure.kind()).or_insert(0) += 1,
            Ok(mut chain) => {
                started += 1;
                chain.filter(Instant::now(), &mut bids(&[0.5, 10.0]), &names());
                chain.map(Instant::now(), &[(names()[0].clone(), Quote::default())]);
                chain.snapshot()[0]
                    .failures
                    .iter()
                    .for_each(|(kind, count)| *failures.entry(*kind).or_insert(0) += count);
            }
        }
        assert_eq!(neighbour.filter(Instant::now(), &mut bids(&[0.5, 10.0]), &names()).refused, 1);
    }
    // Otherwise it proves nothing.
    assert!(prepared > 250 && started > 5, "{prepared} prepared, {started} started");
    for kind in [FailureKind::Trap, FailureKind::Time, FailureKind::Stack, FailureKind::Memory] {
        assert!(failures.contains_key(&kind), "{failures:?}");
    }
}

/// The frame's component with other code in the place of its guest's.
fn with_generated_code(frame: &[u8], shape: &[u8], rng: &mut fastrand::Rng) -> Vec<u8> {
    let config = wasm_smith::Config {
        module_shape: Some(shape.to_vec()),
        // What the host switches off would be refused before it runs.
        gc_enabled: false,
        reference_types_enabled: false,
        exceptions_enabled: false,
        threads_enabled: false,
        memory64_enabled: false,
        relaxed_simd_enabled: false,
        tail_call_enabled: false,
        wide_arithmetic_enabled: false,
        ..wasm_smith::Config::default()
    };
    let mut seed = vec![0; 4096];
    rng.fill(&mut seed);
    let mut unstructured = arbitrary::Unstructured::new(&seed);
    let module = wasm_smith::Module::new(config, &mut unstructured).unwrap().to_bytes();
    let old = guest_module(frame);
    let size_at = old.start - leb128(old.len()).len();
    [&frame[..size_at], &leb128(module.len()), &module, &frame[old.end..]].concat()
}

/// Where the guest's code is in the frame's component: in its second core module, which is a section of its own.
fn guest_module(component: &[u8]) -> Range<usize> {
    const CORE_MODULE: u8 = 1;
    let (mut at, mut modules) = (8, 0);
    loop {
        let (id, mut size, mut shift) = (component[at], 0, 0);
        loop {
            at += 1;
            size |= usize::from(component[at] & 0x7f) << shift;
            shift += 7;
            if component[at] & 0x80 == 0 {
                break;
            }
        }
        at += 1;
        modules += usize::from(id == CORE_MODULE);
        if modules == 2 {
            return at..at + size;
        }
        at += size;
    }
}

/// Runs itself again below with little address space.
#[test]
fn a_plugin_runs_under_a_tight_ulimit() {
    let this = std::env::current_exe().unwrap();
    let script = "ulimit -v 2000000 && exec \"$0\" --exact --ignored neighbours::little_address_space --test-threads 1";
    let output = Command::new("sh").arg("-c").arg(script).arg(this).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "runs within a_plugin_runs_under_a_tight_ulimit"]
fn little_address_space() {
    let engine = PluginEngine::new(&EngineSettings::default()).unwrap();
    assert_ne!(engine.allocator(), AllocatorChoice::Pooling);
    let mut chain = start(&engine, Parts::default()).unwrap();
    assert_eq!(chain.filter(Instant::now(), &mut bids(&[0.5, 10.0]), &names()).refused, 1);
}

//! A plugin hurts only its own tenant, and any bytes at all leave the host standing.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::num::NonZeroUsize;
use std::process::Command;
use std::time::{Duration, Instant};

use quotegate_plugin::{AllocatorChoice, EngineSettings, PluginChain, PluginEngine, PluginThreads, PreparedPlugin};
use support::{FOREVER, Parts, bids, engine, guest, names, spec, start, tenant};

#[tokio::test]
async fn a_neighbour_is_served_while_plugins_loop_for_ever() {
    let engine = engine();
    let threads = PluginThreads::start(NonZeroUsize::new(4).unwrap(), &tokio::runtime::Handle::current()).unwrap();
    let mut loops = Vec::new();
    for _ in 0..3 {
        let mut spec = spec(&engine, &guest(Parts { filter: Some(FOREVER), ..Parts::default() }));
        // Far longer than the neighbour needs for all its batches, even on a slow machine.
        spec.limits.time_per_call = Duration::from_secs(6);
        let mut chain = PluginChain::start(tenant(), vec![spec]).unwrap();
        loops.push(threads.spawn(async move { chain.filter(Instant::now(), &mut bids(&[1.0]), &names()).dropped }));
    }
    let mut chain = start(&engine, Parts::default()).unwrap();
    let neighbour = threads.spawn(async move {
        for _ in 0..100 {
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
    for _ in 0..2000 {
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
    assert!(made > 500, "{made}");
}

/// Runs itself again below with little address space.
#[test]
fn a_plugin_runs_under_a_tight_ulimit() {
    let this = std::env::current_exe().unwrap();
    let script = "ulimit -v 2000000 && exec \"$0\" --exact --ignored little_address_space --test-threads 1";
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

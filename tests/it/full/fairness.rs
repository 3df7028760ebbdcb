use std::time::{Duration, Instant};

use crate::harness::{HostSetup, Sim, eventually, get, guest};
use quotegate_market::Symbol;
use quotegate_sim::{Rate, SimSettings, Universe};

const SYMBOLS: usize = 40;
const HOSTILE: usize = 40;
/// The innocent tenant's own limit. Quotes come faster, so it writes at an even pace, and a pause is one that it was made to
/// take.
const WRITES_PER_SECOND: u32 = 40;

/// Burns some ten milliseconds in every call, which is legal, and refuses every quote.
const BURN: &str = "
    (loop $burn
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $burn (i32.lt_u (local.get $i) (i32.const 20000000))))
    (memory.fill (i32.const 1024) (i32.const 1) (i32.const 30000))";

/// How a tenant fared for ten seconds.
struct Fared {
    writes_per_second: f64,
    /// The longest time without a write. It contains the time of a look at the metrics.
    longest_pause: Duration,
}

/// A tenant that has the host to itself, or shares it.
fn innocent_beside(hostile: usize) -> Fared {
    let names: Vec<String> = (0..SYMBOLS).map(|at| format!("S{at}")).collect();
    let sim = Sim::with(SimSettings {
        universe: Universe::List(names.iter().map(|name| Symbol::new(name).unwrap()).collect()),
        rate: Rate::PerSecond(2000.0),
        ..SimSettings::default()
    });
    let mut settings = format!(
        "[pace]\nwrites_per_second = 1000\nburst = 1000\n[tenant_defaults]\nsymbols = {names:?}\n[tenants.innocent]\n\
         plugins = [{{ standard = \"quote-filter\" }}]\nper_symbol_min_interval_ms = 0\n\
         writes_per_second = {WRITES_PER_SECOND}\nburst = {WRITES_PER_SECOND}\n"
    );
    for number in 0..hostile {
        let limits = "{ time_per_call_ms = 60000 }";
        settings += &format!("[tenants.hostile{number}]\nplugins = [{{ path = \"burn.wasm\", limits = {limits} }}]\n");
    }
    let setup = HostSetup::new(&settings);
    std::fs::write(setup.folder.path().join("burn.wasm"), guest(BURN)).unwrap();
    let host = setup.dry_run(&sim);
    let metric = |name: &str| {
        let text = get(setup.port, "/metrics")?.body;
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
    };
    let written = || metric("quotegate_tenant_writes_total{tenant=\"innocent\"}");
    eventually("every symbol was written, and the hostile tenants burn their time", || {
        let calls = metric("quotegate_plugin_calls_total{plugin=\"burn\"}").unwrap_or_default();
        (written()? >= SYMBOLS as f64 && calls >= hostile as f64).then_some(())
    });
    let (began, before) = (Instant::now(), eventually("a number", written));
    let (mut after, mut changed, mut longest_pause) = (before, began, Duration::ZERO);
    while began.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(5));
        let now = eventually("a number", written);
        if now > after {
            longest_pause = longest_pause.max(changed.elapsed());
            (after, changed) = (now, Instant::now());
        }
    }
    let fared = Fared {
        writes_per_second: (after - before) / began.elapsed().as_secs_f64(),
        longest_pause: longest_pause.max(changed.elapsed()),
    };
    // At the beginning, each hostile tenant may have a thread, because nothing is known of it yet.
    let most = 8 * std::thread::available_parallelism().unwrap().get();
    if cfg!(target_os = "linux") {
        eventually("turns end, so that few threads are needed", || (plugin_threads(host.id()) <= most).then_some(()));
    }
    host.signal("TERM");
    assert_eq!(host.wait().code, 0);
    fared
}

fn plugin_threads(process: u32) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.flatten().map(name).filter(|name| name.starts_with("plugin-")).count()
}

/// Relative to the same host without them, so it does not depend on how fast the machine is.
#[test]
fn forty_tenants_that_burn_all_they_may_take_little_from_another() {
    let (alone, beside) = (innocent_beside(0), innocent_beside(HOSTILE));
    for (name, fared) in [("alone", &alone), ("beside", &beside)] {
        println!("{name}: {:.1} writes/s, longest pause {:?}", fared.writes_per_second, fared.longest_pause);
    }
    assert!(beside.writes_per_second >= 0.5 * alone.writes_per_second);
}

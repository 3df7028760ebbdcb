use std::time::{Duration, Instant};

use crate::harness::{HostSetup, Sim, eventually, get, guest};
use quotegate_market::Symbol;
use quotegate_sim::{Rate, SimSettings, Universe};

const SYMBOLS: usize = 40;
const HOSTILE: usize = 40;

/// Burns some ten milliseconds in every call, which is legal, and refuses every quote.
const BURN: &str = "
    (loop $burn
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $burn (i32.lt_u (local.get $i) (i32.const 20000000))))
    (memory.fill (i32.const 1024) (i32.const 1) (i32.const 30000))";

/// The writes per second of a tenant that has the host to itself, or shares it.
fn writes_per_second(hostile: usize) -> f64 {
    let names: Vec<String> = (0..SYMBOLS).map(|at| format!("S{at}")).collect();
    let sim = Sim::with(SimSettings {
        universe: Universe::List(names.iter().map(|name| Symbol::new(name).unwrap()).collect()),
        rate: Rate::PerSecond(2000.0),
        ..SimSettings::default()
    });
    let mut settings = format!(
        "[pace]\nwrites_per_second = 1000\nburst = 1000\n[tenant_defaults]\nsymbols = {names:?}\n[tenants.innocent]\n\
         plugins = [{{ standard = \"quote-filter\" }}]\n"
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
    std::thread::sleep(Duration::from_secs(10));
    let after = eventually("a number", written);
    let per_second = (after - before) / began.elapsed().as_secs_f64();
    host.signal("TERM");
    assert_eq!(host.wait().code, 0);
    per_second
}

/// Relative to the same host without them, so it does not depend on how fast the machine is.
#[test]
fn forty_tenants_that_burn_all_they_may_take_little_from_another() {
    let (alone, beside) = (writes_per_second(0), writes_per_second(HOSTILE));
    assert!(beside >= 0.5 * alone, "{beside:.1} of {alone:.1} writes per second");
}

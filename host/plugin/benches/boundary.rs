//! What crossing the plugin boundary costs, in one run: `cargo bench -p quotegate-plugin`.
//! The guest is the one of the tests, hand-written: a Rust guest adds its own work to the same crossing.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints and may panic")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use quotegate_plugin::{PluginChain, PluginInstance, PluginLimits};
use quotegate_quote::Quote;
use support::{Parts, bids, engine, guest, names, spec, tenant};

/// The median of 15 rounds of so many calls, for one call.
fn median(calls: u32, mut call: impl FnMut()) -> Duration {
    let mut rounds: Vec<Duration> = (0..15)
        .map(|_| {
            let started = Instant::now();
            (0..calls).for_each(|_| call());
            started.elapsed() / calls
        })
        .collect();
    rounds.sort_unstable();
    rounds[7]
}

fn main() {
    let engine = engine();
    let mut spec = spec(&engine, &guest(Parts::default()));
    spec.limits = PluginLimits { share_of_time: 1.0, ..PluginLimits::default() };
    println!("allocator: {}", engine.allocator());
    let start = || PluginInstance::start(&spec.plugin, &tenant(), "{}", &spec.limits).unwrap();
    println!("instantiate and configure: {:?}", median(200, || drop(start())));
    let mut instance = start();
    let names = names();
    for rows in [1_u32, 16, 64, 256, 1024] {
        let quotes = bids(&vec![10.0; rows as usize]);
        let each = median(200_000 / (rows + 20), || drop(instance.filter(&quotes, &names).unwrap()));
        println!("filter, {rows:4} quotes a call: {:7.1} ns a quote", each.as_nanos() as f64 / f64::from(rows));
    }
    let mut chain = PluginChain::start(tenant(), vec![spec.clone()]).unwrap();
    let quotes = vec![(names[0].clone(), Quote::default()); 64];
    let each = median(200, || drop(chain.map(Instant::now(), &quotes)));
    println!("map without documents, 64 quotes a call: {:7.1} ns a quote", each.as_nanos() as f64 / 64.0);
}

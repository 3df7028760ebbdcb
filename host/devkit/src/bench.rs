//! Measures what a plugin costs: time, which depends on the machine, and fuel and memory, which do not.
//!
//! Times are measured with the host's own code and limits, as medians of many short rounds: even on a busy machine, most
//! rounds end before their thread is preempted. Fuel and memory come from a second, metering engine and the same calls.

mod budget;
mod fuel;
mod report;
mod time;
mod workload;

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use quotegate_plugin::{
    EngineSettings, PluginEngine, PluginFailure, PluginInstance, PluginLimits, PreparedPlugin, Sha256Hash,
};

pub use budget::{Budget, BudgetError, Measure};
pub use report::{BenchReport, Compile, Cost, Documents, Fuel, Kept, Start};
pub use workload::Workload;

use crate::setup::Setup;

/// Quotes per filter call. A batch is whatever has arrived, so calls are small in quiet and large in busy times.
const FILTER_BATCHES: [usize; 5] = [1, 16, 64, 256, 1024];
/// Quotes per map call. The host never passes more.
const MAP_BATCHES: [usize; 3] = [1, 16, 64];
/// Fuel budgets apply to calls with this many quotes.
const BUDGET_BATCH: usize = 64;

/// Measures a component with a workload. `metered` is an engine that meters fuel. Takes seconds, plus the time to compile the
/// component for both engines. Calls `step` before each step.
pub fn bench(
    metered: &PluginEngine,
    name: &str,
    bytes: &[u8],
    setup: &Setup,
    workload: &Workload,
    step: &mut dyn FnMut(&str),
) -> Result<BenchReport> {
    ensure!(
        !workload.quotes().is_empty(),
        "There are no quotes to measure with. Record some with `quotegate record`, or omit --quotes."
    );
    let cache = tempfile::tempdir().map_err(|error| {
        anyhow!("Cannot store the compiled code: {error}. Make room in the folder for temporary files (TMPDIR).")
    })?;
    let engine = PluginEngine::new(&EngineSettings {
        instances: 8,
        memory_bytes: setup.limits.memory_bytes.max(EngineSettings::default().memory_bytes),
        cache: Some(cache.path().join("compiled")),
        ..EngineSettings::default()
    })?;
    step("compiling");
    let prepare =
        |engine| PreparedPlugin::new(engine, name, bytes, None).map_err(|error| anyhow!("It is not accepted. {error}"));
    let cold_nanoseconds = prepare(&engine)?.took().as_nanos();
    let plugin = prepare(&engine)?;
    let cached_nanoseconds = plugin.from_cache().then(|| plugin.took().as_nanos());
    let subject = Subject { plugin: &plugin, setup, workload };
    step("timing the start");
    let start_time = time::start(&subject)?;
    step("timing the filter");
    let filter_times = time::filter(&subject)?;
    step("timing the map");
    let map_times = time::map(&subject)?;

    step("counting fuel");
    let plugin = prepare(metered)?;
    let mut relaxed = setup.clone();
    relaxed.limits = relaxed_limits(&setup.limits);
    let fuel = fuel::count(&Subject { plugin: &plugin, setup: &relaxed, workload })?;

    Ok(BenchReport {
        plugin: name.to_owned(),
        sha256: Sha256Hash::of(bytes).to_string(),
        size_bytes: bytes.len(),
        interface: plugin.version(),
        quotes: workload.quotes().len(),
        symbols: workload.names().len(),
        filter: report::costs(&FILTER_BATCHES, filter_times, fuel.filter),
        map: report::costs(&MAP_BATCHES, map_times, fuel.map),
        kept: fuel.kept,
        documents: fuel.documents,
        start: Start { nanoseconds: start_time, fuel: fuel.start },
        compile: Compile { cold_nanoseconds, cached_nanoseconds },
        memory_bytes: fuel.memory_bytes,
    })
}

/// A plugin, its setup, and its quotes.
#[derive(Clone, Copy)]
struct Subject<'a> {
    plugin: &'a PreparedPlugin,
    setup: &'a Setup,
    workload: &'a Workload,
}

impl Subject<'_> {
    fn start(&self) -> Result<PluginInstance> {
        let Setup { tenant, config, limits, .. } = self.setup;
        PluginInstance::start(self.plugin, tenant, config, limits).map_err(|failure| failed("did not start", &failure))
    }
}

/// Makes the error for a failed call.
fn failed_call(part: &str, quotes: usize) -> impl Fn(PluginFailure) -> anyhow::Error {
    let plural = if quotes == 1 { "" } else { "s" };
    move |failure| failed(&format!("failed to {part} {quotes} quote{plural} in one call"), &failure)
}

fn failed(what: &str, failure: &PluginFailure) -> anyhow::Error {
    anyhow!("It {what}: {}.", failure.to_string().trim_end_matches('.'))
}

/// Metered code is slower than in the host, so it gets more time. Measuring the times used the real limits.
fn relaxed_limits(limits: &PluginLimits) -> PluginLimits {
    const FACTOR: u32 = 10;
    let most = Duration::from_secs(60);
    PluginLimits {
        time_per_call: (limits.time_per_call * FACTOR).min(most),
        time_to_start: (limits.time_to_start * FACTOR).min(most),
        ..limits.clone()
    }
}

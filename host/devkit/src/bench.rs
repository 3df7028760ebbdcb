//! What a plugin costs: time, which depends on the machine, and fuel and memory, which do not.
//!
//! Times are taken on the host's own path, an instance within its limits, as medians of many short rounds: on a busy
//! machine most rounds still end before their thread has to wait. Fuel and memory come from a second engine that meters,
//! by the same calls every time.

mod budget;
mod fuel;
mod report;
mod time;
mod workload;

use std::time::Duration;

use quotegate_plugin::{
    EngineError, EngineSettings, PluginEngine, PluginError, PluginFailure, PluginInstance, PluginLimits,
    PreparedPlugin, Sha256Hash,
};

pub use budget::{Budget, BudgetError, Measure};
pub use report::{BenchReport, Compile, Cost, Documents, Fuel, Kept, Start};
pub use workload::Workload;

use crate::setup::Setup;

/// Quotes in one filter call. Since a batch is whatever has come, a host makes small calls when it is quiet and large ones
/// when it is busy.
const FILTER_BATCHES: [usize; 5] = [1, 16, 64, 256, 1024];
/// Quotes in one map call; the host never has more.
const MAP_BATCHES: [usize; 3] = [1, 16, 64];
/// The size of call that budgets of fuel are about.
const BUDGET_BATCH: usize = 64;

/// Why there is nothing to report.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// No engine on this machine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// No folder for compiled code.
    #[error(
        "The compiled code cannot be kept for a moment: {0}. Make room in the folder for temporary files (TMPDIR)."
    )]
    Folder(std::io::Error),
    /// The host does not accept the component.
    #[error("It is not accepted. {0}")]
    Plugin(#[from] PluginError),
    /// It trapped, was stopped, or refused its configuration.
    #[error("It {what}: {}.", failure.to_string().trim_end_matches('.'))]
    Failed {
        /// What went wrong.
        what: String,
        /// What it did.
        failure: PluginFailure,
    },
    /// Nothing to measure with.
    #[error("There is no quote to measure with. Record some with `quotegate record`, or leave out --quotes.")]
    NoQuotes,
}

/// Measures a component with the quotes of a workload. `metered` is an engine that counts fuel. Takes seconds, and as long as
/// it takes to compile the component, for `metered` too where it has not been before; `step` hears what comes next.
///
/// # Errors
/// [`BenchError`]; a plugin that fails once has no costs.
pub fn bench(
    metered: &PluginEngine,
    name: &str,
    bytes: &[u8],
    setup: &Setup,
    workload: &Workload,
    step: &mut dyn FnMut(&str),
) -> Result<BenchReport, BenchError> {
    if workload.quotes().is_empty() {
        return Err(BenchError::NoQuotes);
    }
    let cache = tempfile::tempdir().map_err(BenchError::Folder)?;
    let engine = PluginEngine::new(&EngineSettings {
        instances: 8,
        memory_bytes: setup.limits.memory_bytes.max(EngineSettings::default().memory_bytes),
        cache: Some(cache.path().join("compiled")),
        ..EngineSettings::default()
    })?;
    step("compiling");
    let cold = PreparedPlugin::new(&engine, name, bytes, None)?.took();
    let plugin = PreparedPlugin::new(&engine, name, bytes, None)?;
    let compile = Compile { cold, cached: plugin.from_cache().then(|| plugin.took()) };
    let subject = Subject { plugin: &plugin, setup, workload };
    step("timing the start");
    let start_time = time::start(&subject)?;
    step("timing the filter");
    let filter_times = time::filter(&subject)?;
    step("timing the map");
    let map_times = time::map(&subject)?;

    step("counting fuel");
    let plugin = PreparedPlugin::new(metered, name, bytes, None)?;
    let mut patient = setup.clone();
    patient.limits = patient_limits(&setup.limits);
    let fuel = fuel::count(&Subject { plugin: &plugin, setup: &patient, workload })?;

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
        compile,
        memory_bytes: fuel.memory_bytes,
    })
}

/// A plugin as it is set up, and the quotes that it gets.
#[derive(Clone, Copy)]
struct Subject<'a> {
    plugin: &'a PreparedPlugin,
    setup: &'a Setup,
    workload: &'a Workload,
}

impl Subject<'_> {
    fn start(&self) -> Result<PluginInstance, BenchError> {
        let Setup { tenant, config, limits, .. } = self.setup;
        PluginInstance::start(self.plugin, tenant, config, limits)
            .map_err(|failure| BenchError::Failed { what: "does not start".to_owned(), failure })
    }
}

/// Names what was being done when a plugin failed.
fn failed(part: &str, quotes: usize) -> impl Fn(PluginFailure) -> BenchError {
    let plural = if quotes == 1 { "" } else { "s" };
    move |failure| BenchError::Failed { what: format!("failed to {part} {quotes} quote{plural} in one call"), failure }
}

/// Metered code is slower, and that is not the plugin's fault: it was held to its real limits when it was timed.
fn patient_limits(limits: &PluginLimits) -> PluginLimits {
    const PATIENCE: u32 = 10;
    let most = Duration::from_secs(60);
    PluginLimits {
        time_per_call: (limits.time_per_call * PATIENCE).min(most),
        time_to_start: (limits.time_to_start * PATIENCE).min(most),
        ..limits.clone()
    }
}

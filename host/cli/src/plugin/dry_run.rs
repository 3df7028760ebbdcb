mod comparison;
mod lines;
mod tally;

use std::io::{BufWriter, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use quotegate_devkit::{Setup, Target};
use quotegate_document::Destination;
use quotegate_market::{AssetClass, Symbol};
use quotegate_pace::{Backoff, Rate};
use quotegate_pipeline::router::Wanted;
use quotegate_pipeline::simulation::{Observer, SimTenantSpec, SimulationReport};
use quotegate_pipeline::tenant::TenantSpec;
use quotegate_plugin::{OnError, PluginChain, PluginSpec, PreparedPlugin};
use quotegate_recording::Recording;
use quotegate_runtime::simulation::simulate;
use tokio_util::sync::CancellationToken;

use super::common::{self, Paint};
use crate::output::{self, out};
use crate::{Failure, signals};
use comparison::{Baseline, Comparison};
use lines::Lines;
use tally::Tally;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate plugin run . --quotes monday.jsonl.zst
  quotegate plugin run my-filter.wasm --quotes monday.jsonl.zst --config acme.toml --symbols SPY,QQQ
  quotegate plugin run . --quotes monday.jsonl.zst --json | jq -c 'select(.verdict)'
  quotegate plugin run . --quotes monday.jsonl.zst --against my-filter-1.2.wasm
  quotegate plugin run . --quotes monday.jsonl.zst --against-config plugin-1.2.toml

Replays quotes from `quotegate record` through the plugin and through the tenant core of the host, in the recording's time:
a symbol is written at most once per interval, with the newest quote that the filter kept. Without a map, the host makes the
document. The same files always give the same output, byte for byte.

Exit codes: 0 done (even if a comparison shows differences), 1 the plugin failed or a document was refused, 2 bad usage or
setup.")]
pub(super) struct RunArgs {
    /// A component, or a project's folder
    path: PathBuf,
    /// A recording made by `quotegate record`
    #[arg(long, value_name = "FILE")]
    quotes: PathBuf,
    /// TOML with tenant, collection, collections, config, limits; else those of the project's plugin.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Compare with this component, such as an older version: show only the differences
    #[arg(long, value_name = "WASM")]
    against: Option<PathBuf>,
    /// Compare with this setup: TOML as for --config. Alone, or for the component of --against, which else gets the same
    /// setup
    #[arg(long, value_name = "FILE")]
    against_config: Option<PathBuf>,
    /// Only these symbols
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    symbols: Vec<String>,
    /// The least time between two writes of a symbol; 0 writes every quote that is kept
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    interval_ms: u64,
    /// How many documents to show
    #[arg(long, value_name = "N", default_value_t = 3)]
    show: usize,
    /// Print JSON lines: every quote with its verdict, every document, and finally a summary
    #[arg(long)]
    json: bool,
}

/// What to replay through the plugin, and how.
#[derive(Clone)]
pub(super) struct Play {
    pub(super) setup: Setup,
    pub(super) quotes: PathBuf,
    wanted: Wanted,
    pub(super) interval: Duration,
}

impl Play {
    /// With the defaults.
    pub(super) fn of(target: &Target, quotes: &Path) -> Self {
        let interval = Duration::from_millis(1000);
        Self { setup: target.setup(), quotes: quotes.to_owned(), wanted: Wanted::All, interval }
    }

    /// Replays the recording.
    async fn play(
        &self,
        plugin: &PreparedPlugin,
        observer: &mut (dyn Observer + Send),
        stop: CancellationToken,
    ) -> Result<SimulationReport, Failure> {
        let Setup { tenant, collection, collections, config, limits, .. } = self.setup.clone();
        let spec =
            PluginSpec { plugin: plugin.clone(), config, limits, on_error: OnError::Drop, chain: false, collections };
        let chain = PluginChain::start(tenant.clone(), vec![spec]).map_err(|error| Failure::Usage(error.into()))?;
        let second = Duration::from_secs(1);
        let spec = TenantSpec {
            id: tenant,
            per_symbol_min_interval: self.interval,
            rate: None,
            destinations: vec![Destination { collection, shape: None }],
            mirror: None,
            asset_class: AssetClass::UsEquity,
            // Only what the plugin made.
            order_field: None,
            retry: Backoff::new(second, second).context("invalid retry delay")?,
        };
        let tenant = SimTenantSpec { spec, wanted: self.wanted.clone(), chain: Some(chain) };
        // Nothing is really written, so only the interval limits it.
        let limit = Rate::new(1e6, 1_000_000).context("invalid rate")?;
        let recording = Recording::open(&self.quotes).map_err(|error| Failure::Usage(error.into()))?;
        Ok(simulate(vec![tenant], limit, recording, observer, stop).await?)
    }
}

pub(super) async fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    let target = common::find(&args.path)?;
    let _log = common::start_log()?;
    let mut play = Play::of(&target, &args.quotes);
    if let Some(file) = &args.config {
        play.setup = common::open(file)?;
    }
    play.interval = Duration::from_millis(args.interval_ms);
    if !args.symbols.is_empty() {
        play.wanted = Wanted::Symbols(args.symbols.iter().map(|name| symbol(name)).collect::<Result<_, _>>()?);
    }
    let old_setup = args.against_config.as_deref().map(common::open).transpose()?;
    let memory = [Some(&play.setup), old_setup.as_ref()].into_iter().flatten().map(|setup| setup.limits.memory_bytes);
    let engine = common::engine(memory.max().unwrap_or_default())?;
    let plugin = common::prepare(&engine, &target).await?;
    let outcome = if args.against.is_some() || old_setup.is_some() {
        let old = match &args.against {
            Some(path) => common::prepare(&engine, &common::find(path)?).await?,
            None => plugin.clone(),
        };
        let setup = old_setup.unwrap_or_else(|| play.setup.clone());
        let old_play = Play { setup, ..play.clone() };
        differences((&old_play, &old), (&play, &plugin), args.json).await
    } else if args.json {
        json_lines(&play, &plugin).await
    } else {
        table(&play, &target, &plugin, args.show).await
    };
    match outcome {
        // The reader of the output has closed it, as `head` does.
        Err(Failure::Running(error)) if output::is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        other => other,
    }
}

fn symbol(name: &str) -> Result<Symbol, Failure> {
    Symbol::new(name.trim()).map_err(|reason| Failure::Usage(anyhow!("--symbols {name:?}: {reason}")))
}

/// Prints a summary for people.
pub(super) async fn table(
    play: &Play,
    target: &Target,
    plugin: &PreparedPlugin,
    show: usize,
) -> Result<ExitCode, Failure> {
    let mut tally = Tally::new(show);
    let report = play.play(plugin, &mut tally, signals::stop_on_signal()?).await?;
    let title = format!("{} on {}", target.component.display(), play.quotes.display());
    let text = tally.table(&title, play, &report, Paint::new());
    out!("{text}");
    Ok(exit_code(&report))
}

async fn json_lines(play: &Play, plugin: &PreparedPlugin) -> Result<ExitCode, Failure> {
    let mut lines = Lines::new(BufWriter::new(stdout()));
    let report = play.play(plugin, &mut lines, signals::stop_on_signal()?).await?;
    lines.end(&report)?;
    Ok(exit_code(&report))
}

async fn differences(
    (old_play, old): (&Play, &PreparedPlugin),
    (play, new): (&Play, &PreparedPlugin),
    json: bool,
) -> Result<ExitCode, Failure> {
    let stop = signals::stop_on_signal()?;
    let mut baseline = Baseline::default();
    let was = old_play.play(old, &mut baseline, stop.clone()).await?;
    let paint = Paint::new();
    let mut comparison = Comparison::new(baseline, BufWriter::new(stdout()), json, paint);
    let is = play.play(new, &mut comparison, stop).await?;
    comparison.end(&was, &is)?;
    Ok(exit_code(&is))
}

/// A plugin that fails in a dry run would also fail in the host.
fn exit_code(report: &SimulationReport) -> ExitCode {
    let failed = report.plugins().any(|plugin| !plugin.failures.is_empty() || plugin.documents_refused > 0);
    if failed { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

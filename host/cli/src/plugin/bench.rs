use std::fmt::Write;
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Args;
use quotegate_devkit::{BenchReport, Budget, Cost, Setup, Target, Workload, bench};
use quotegate_market::{QuoteColumns, SymbolTable};
use quotegate_recording::Recording;
use quotegate_runtime::recorded;
use quotegate_runtime::text::counted;
use quotegate_sim::Scenario;
use serde_json::json;

use super::common::{self, Paint};
use crate::Failure;
use crate::output::{errln, out, outln};

/// The most quotes to use of a recording. A benchmark repeats them.
const MAX_QUOTES: usize = 65_536;
/// The simulator's seed for the default quotes.
const SEED: u64 = 1;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate plugin bench                         the project in this folder, as last built
  quotegate plugin bench my-filter.wasm --config acme.toml --quotes day.jsonl.zst
  quotegate plugin bench my-filter --budget fuel=300,memory=2MiB --json

Nanoseconds are medians of many rounds of calls like the host's; they depend on the machine.
Fuel is about one per WebAssembly instruction executed. The same component, setup and quotes always
use exactly the same fuel, on every machine. If the plugin has a filter and a map, the map only gets
quotes that the filter keeps.

Budgets are upper limits. There are none for times, which depend on the machine:
  fuel        per quote of the filter, in calls of 64; of the map if there is no filter
  map-fuel    per quote of the map, in calls of 64
  start-fuel  instantiate and configure
  memory      the most memory used; in bytes, or with KiB or MiB
  size        the component; in bytes, or with KiB or MiB

--json prints one object. Parts that the plugin does not have are null or an empty list:
  plugin, sha256, size_bytes, interface, memory_bytes
  source (of the quotes), quotes, symbols
  filter, map: lists of {quotes_per_call, nanoseconds_per_quote, fuel, fuel_quotes, fuel_per_quote}
  kept {kept, of}, documents {quotes, documents, refused, problem}
  start {nanoseconds, fuel}, compile {cold_nanoseconds, cached_nanoseconds}
  over_budget: sentences

Exit codes: 0 measured, 1 over a budget or the plugin failed, 2 bad usage, setup or project.")]
pub(super) struct BenchArgs {
    /// A project's folder, or a component
    #[arg(default_value = ".")]
    path: PathBuf,
    /// A recording made by `quotegate record` [default: the simulator's opening bell]
    #[arg(long, value_name = "RECORDING")]
    quotes: Option<PathBuf>,
    /// A TOML file with tenant, collection, collections, config and limits [default: plugin.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Fail if it costs more: fuel, map-fuel, start-fuel, memory, size
    #[arg(long, value_name = "NAME=MOST,…", value_delimiter = ',')]
    budget: Vec<Budget>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: BenchArgs) -> Result<ExitCode, Failure> {
    let target = common::find(&args.path)?;
    let setup = match &args.config {
        Some(path) => common::open(path)?,
        None => target.setup(),
    };
    let _log = common::start_log()?;
    let (source, workload) = match &args.quotes {
        Some(path) => (path.display().to_string(), read(path).await?),
        None => (format!("the scenario {}, seed {SEED}", Scenario::OpeningBell), simulated(Scenario::OpeningBell)),
    };
    let report = measure(&target, setup, workload).await?;
    let over = over_budget(&args.budget, &report)?;
    if args.json {
        outln!("{}", as_json(&report, &source, &over)?);
    } else {
        out!("{}", as_text(&report, &source, Paint::new()));
    }
    over.iter().for_each(|sentence| errln!("quotegate: {sentence}"));
    Ok(if over.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

async fn read(path: &Path) -> Result<Workload, Failure> {
    let recording = Recording::open(path).map_err(|error| Failure::Usage(error.into()))?;
    let recorded = recorded::quotes(recording, MAX_QUOTES).await.map_err(anyhow::Error::from)?;
    Ok(Workload::new(recorded.quotes, recorded.names))
}

fn simulated(scenario: Scenario) -> Workload {
    let (mut quotes, mut table) = (QuoteColumns::default(), SymbolTable::default());
    for (symbol, quote) in scenario.frames(SEED).flat_map(|frame| frame.quotes) {
        if let Some(id) = table.intern(symbol.as_str().as_bytes()) {
            quotes.push(id.0, &quote);
        }
    }
    Workload::new(quotes, table.symbols().to_vec())
}

async fn measure(target: &Target, setup: Setup, workload: Workload) -> Result<BenchReport, Failure> {
    let file = target.component.display().to_string();
    let bytes = common::read(target)?;
    let metered = common::engine(setup.limits.memory_bytes)?;
    let name = target.name.clone();
    let measured = tokio::task::spawn_blocking(move || {
        let mut step = |what: &str| {
            if stderr().is_terminal() {
                errln!("{what}");
            }
        };
        bench(&metered, &name, &bytes, &setup, &workload, &mut step)
    });
    let measured = measured.await.context("the measuring thread panicked")?;
    measured.map_err(|error| Failure::Running(anyhow!("{file}: {error}")))
}

fn over_budget(budget: &[Budget], report: &BenchReport) -> Result<Vec<String>, Failure> {
    let checked = budget.iter().map(|budget| budget.check(report)).collect::<Result<Vec<_>, _>>();
    let checked = checked.map_err(|error| Failure::Usage(anyhow!("quotegate: --budget: {error}")))?;
    Ok(checked.into_iter().flatten().collect())
}

fn as_json(report: &BenchReport, source: &str, over: &[String]) -> anyhow::Result<String> {
    let mut value = serde_json::to_value(report)?;
    if let Some(keys) = value.as_object_mut() {
        keys.insert("source".to_owned(), json!(source));
        keys.insert("over_budget".to_owned(), json!(over));
    }
    Ok(serde_json::to_string_pretty(&value)?)
}

fn as_text(report: &BenchReport, source: &str, paint: Paint) -> String {
    let mut text = String::new();
    let head = format!("{}  {}  quotegate:plugin@{}", report.plugin, bytes(report.size_bytes), report.interface);
    let _ = writeln!(text, "{}", paint.bold(&head));
    let _ = writeln!(text, "sha256 {}", report.sha256);
    let (quotes, symbols) = (counted(report.quotes, "quote"), counted(report.symbols, "symbol"));
    let _ = writeln!(text, "measured with {quotes} of {symbols}: {source}\n");
    if cfg!(debug_assertions) {
        let _ =
            writeln!(text, "This quotegate was built without optimizations, so the times are many times too long.\n");
    }
    let _ = writeln!(text, "{:<12}{:>16}{:>20}{:>18}", "", "quotes per call", "ns per quote", "fuel per quote");
    rows(&mut text, "filter", &report.filter);
    rows(&mut text, "map", &report.map);
    let _ = writeln!(text, "{:<12}{:>16}{:>20}{:>18}", "", "", "nanoseconds", "fuel");
    let _ = writeln!(text, "{:<12}{:>16}{:>20.0}{:>18}", "start", "", report.start.nanoseconds, report.start.fuel);
    let milliseconds = |nanoseconds: u128| format!("{:.1} ms", nanoseconds as f64 / 1e6);
    let cached = report.compile.cached_nanoseconds.map(|time| format!("; {} from the cache", milliseconds(time)));
    let cold = milliseconds(report.compile.cold_nanoseconds);
    let _ = writeln!(text, "\ncompile     {cold}{}", cached.unwrap_or_default());
    let _ = writeln!(text, "memory      {} at most", bytes(report.memory_bytes));
    if let Some(kept) = &report.kept {
        let _ = writeln!(text, "filter      kept {} of {} quotes", kept.kept, kept.of);
        if kept.kept == 0 {
            let _ = writeln!(text, "            so it was only measured with quotes that it refuses");
        }
    }
    if let Some(made) = &report.documents {
        let (documents, quotes) = (counted(made.documents, "document"), counted(made.quotes, "quote"));
        let _ = writeln!(text, "map         made {documents} from {quotes}");
        if let Some(problem) = &made.problem {
            let _ =
                writeln!(text, "            the host refused those of {}: {problem}", counted(made.refused, "quote"));
        }
    }
    text
}

fn rows(text: &mut String, part: &str, costs: &[Cost]) {
    for (at, cost) in costs.iter().enumerate() {
        let part = if at == 0 { part } else { "" };
        let Cost { quotes_per_call, nanoseconds_per_quote, fuel_per_quote, .. } = cost;
        let _ = writeln!(text, "{part:<12}{quotes_per_call:>16}{nanoseconds_per_quote:>20.1}{fuel_per_quote:>18.2}");
    }
    if !costs.is_empty() {
        text.push('\n');
    }
}

/// Rounded and exact.
fn bytes(bytes: usize) -> String {
    let kib = bytes as f64 / 1024.0;
    let rounded = if kib < 1024.0 { format!("{kib:.1} KiB") } else { format!("{:.1} MiB", kib / 1024.0) };
    format!("{rounded} ({bytes} bytes)")
}

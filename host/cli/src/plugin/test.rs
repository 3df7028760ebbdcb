use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Args;
use quotegate_devkit::{Fixture, FixtureReport, Target, junit, run_fixture};
use quotegate_plugin::PreparedPlugin;

use super::common::{self, Paint};
use crate::Failure;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate plugin test                              the project in this folder, as it was built last
  quotegate plugin test my-filter --update           write what comes into the fixtures; review the difference
  quotegate plugin test my-filter.wasm --fixtures fixtures --junit target/fixtures.xml

A fixture is a .toml or .jsonl file in the folder `fixtures`: the setup (tenant, collection, collections, config,
limits; what is missing comes from plugin.toml), and quotes with what is expected of each. Every fixture runs twice, with
all quotes in one call and with a call a quote, under the limits that the host sets. plugins/README.md describes it.

Exit codes: 0 all passed, 1 something differs or nothing was tested, 2 bad usage, fixture or project.")]
pub(super) struct TestArgs {
    /// A project's folder, or a component
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The folder with the fixtures, or one of them
    #[arg(long, value_name = "PATH")]
    fixtures: Option<PathBuf>,
    /// Rewrite what the fixtures expect
    #[arg(long)]
    update: bool,
    /// Write the results as JUnit's XML, too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

pub(super) async fn run(args: TestArgs) -> Result<ExitCode, Failure> {
    let target = common::find(&args.path)?;
    let folder = args.fixtures.unwrap_or_else(|| target.fixtures());
    let _log = common::start_log()?;
    let reports = reports(&target, &folder, args.update).await?;
    print(&reports, args.update);
    if let Some(file) = &args.junit {
        let written = std::fs::write(file, junit(&target.name, &reports));
        written.with_context(|| format!("{} cannot be written", file.display()))?;
    }
    let passed = reports.iter().all(FixtureReport::passed);
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Tries every fixture of a folder, or the one file.
pub(super) async fn reports(target: &Target, fixtures: &Path, update: bool) -> Result<Vec<FixtureReport>, Failure> {
    let files = if fixtures.is_dir() {
        Fixture::files(fixtures).with_context(|| format!("{} cannot be read", fixtures.display()))?
    } else if fixtures.is_file() {
        vec![fixtures.to_owned()]
    } else {
        Vec::new()
    };
    if files.is_empty() {
        let problem = "holds no fixtures, so nothing is tested. Write one: quotegate plugin test --help";
        return Err(Failure::Running(anyhow!("{} {problem}", fixtures.display())));
    }
    let setup = target.setup();
    let (mut read, mut problems) = (Vec::new(), Vec::new());
    for file in files {
        match Fixture::read(&file, Some(&setup)) {
            Ok(fixture) => read.push(fixture),
            Err(problem) => problems.push(problem.to_string()),
        }
    }
    if !problems.is_empty() {
        return Err(Failure::Usage(anyhow!("{}", problems.join("\n"))));
    }
    let memory = read.iter().map(Fixture::memory_bytes).max().unwrap_or_default();
    let plugin = common::prepare(&common::engine(memory)?, target).await?;
    println!("{}  sha256 {}  {}", target.component.display(), plugin.sha256(), kind(&plugin));
    let tried = tokio::task::spawn_blocking(move || {
        read.iter_mut().map(|fixture| run_fixture(&plugin, fixture, update)).collect::<Vec<_>>()
    });
    tried.await.map_err(|_| Failure::Running(anyhow!("the thread that tried the fixtures has panicked")))
}

fn kind(plugin: &PreparedPlugin) -> &'static str {
    match (plugin.filters(), plugin.maps()) {
        (true, true) => "filter and map",
        (true, false) => "filter",
        _ => "map",
    }
}

/// One line a fixture, and below it what differs.
pub(super) fn print(reports: &[FixtureReport], update: bool) {
    let paint = Paint::new();
    let width = reports.iter().map(|report| report.name.chars().count()).max().unwrap_or_default();
    for report in reports {
        let word = match (report.passed(), report.updated) {
            (true, false) => paint.good("passed "),
            (true, true) => paint.bold("updated"),
            (false, _) => paint.bad("FAILED "),
        };
        let quotes = match report.quotes {
            0 => "setup refused".to_owned(),
            quotes => format!("{quotes} quotes"),
        };
        let fuel = report.fuel_per_quote.map_or_else(String::new, |fuel| format!("{fuel:>12} fuel a quote"));
        println!("  {word}  {:<width$}  {quotes:>13}{fuel}", report.name);
        for line in report.problems.iter().flat_map(|problem| problem.lines()) {
            println!("           {}", paint.difference(line));
        }
    }
    let failed = reports.iter().filter(|report| !report.passed()).count();
    let hint = if failed > 0 && !update { " -: expected, +: came. --update writes what came; review it." } else { "" };
    println!("{} fixtures: {} passed, {failed} failed.{hint}", reports.len(), reports.len() - failed);
}

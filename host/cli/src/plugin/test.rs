use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Args;
use quotegate_devkit::{Fixture, FixtureReport, Target, junit, run_fixture};
use quotegate_plugin::PreparedPlugin;
use quotegate_runtime::text::counted;

use super::common::{self, Paint};
use crate::Failure;
use crate::output::outln;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate plugin test                              the project in this folder, as last built
  quotegate plugin test my-filter --update           write the actual results into the fixtures; review the diff
  quotegate plugin test my-filter.wasm --fixtures fixtures --junit target/fixtures.xml

A fixture is a .toml or .jsonl file in the folder `fixtures`. It has a setup (tenant, collection, collections, config,
limits; plugin.toml has the defaults) and quotes with their expected results. Every fixture runs twice under the host's
limits: with all quotes in one call, and with one call per quote. plugins/README.md describes the format.

Exit codes: 0 all passed, 1 some failed or there were none, 2 bad usage, fixture or project.")]
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
    /// Also write the results as JUnit XML
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
        written.with_context(|| format!("cannot write {}", file.display()))?;
    }
    let passed = reports.iter().all(FixtureReport::passed);
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Runs all fixtures of a folder, or a single file.
pub(super) async fn reports(target: &Target, fixtures: &Path, update: bool) -> Result<Vec<FixtureReport>, Failure> {
    let files = if fixtures.is_dir() {
        Fixture::files(fixtures).with_context(|| format!("cannot read {}", fixtures.display()))?
    } else if fixtures.is_file() {
        vec![fixtures.to_owned()]
    } else {
        Vec::new()
    };
    if files.is_empty() {
        let fixtures = fixtures.display();
        return Err(Failure::Running(anyhow!(
            "{fixtures} has no fixtures, so there is nothing to test. How to write one: quotegate plugin test --help"
        )));
    }
    let setup = target.setup();
    let (mut read, mut errors) = (Vec::new(), Vec::new());
    for file in files {
        match Fixture::read(&file, Some(&setup)) {
            Ok(fixture) => read.push(fixture),
            Err(error) => errors.push(error.to_string()),
        }
    }
    if !errors.is_empty() {
        return Err(Failure::Usage(anyhow!("{}", errors.join("\n"))));
    }
    let memory = read.iter().map(Fixture::memory_bytes).max().unwrap_or_default();
    let plugin = common::prepare(&common::engine(memory)?, target).await?;
    outln!("{}  sha256 {}  {}", target.component.display(), plugin.sha256(), kind(&plugin));
    let tried = tokio::task::spawn_blocking(move || {
        read.iter_mut().map(|fixture| run_fixture(&plugin, fixture, update)).collect::<Vec<_>>()
    });
    tried.await.map_err(|_| Failure::Running(anyhow!("the thread that ran the fixtures panicked")))
}

fn kind(plugin: &PreparedPlugin) -> &'static str {
    match (plugin.filters(), plugin.maps()) {
        (true, true) => "filter and map",
        (true, false) => "filter",
        _ => "map",
    }
}

/// One line per fixture, and below it the differences.
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
            quotes => counted(quotes, "quote"),
        };
        let fuel = report.fuel_per_quote.map_or_else(String::new, |fuel| format!("{fuel:>12} fuel per quote"));
        outln!("  {word}  {:<width$}  {quotes:>13}{fuel}", report.name);
        for line in report.problems.iter().flat_map(|problem| problem.lines()) {
            outln!("           {}", paint.difference(line));
        }
    }
    let failed = reports.iter().filter(|report| !report.passed()).count();
    let hint = if failed > 0 && !update {
        " -: expected, +: actual. --update accepts the actual results; review them."
    } else {
        ""
    };
    let (all, passed) = (counted(reports.len(), "fixture"), reports.len() - failed);
    outln!("{all}: {passed} passed, {failed} failed.{hint}");
}

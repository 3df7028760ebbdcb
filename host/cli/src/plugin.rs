//! The tools for plugin authors: `quotegate plugin …`.

mod bench;
mod build;
mod common;
mod dry_run;
mod inspect;
mod new;
mod test;
mod watch;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::Failure;

#[derive(Debug, Args)]
#[command(after_help = "\
From nothing to a tested plugin:
  quotegate plugin new my-filter               a small project with one rule and its fixtures
  cd my-filter
  quotegate plugin build                       builds my-filter.wasm
  quotegate plugin test                        fixtures: quotes and the expected results
  quotegate plugin run . --quotes day.jsonl.zst   a dry run on recorded quotes
  quotegate plugin watch                       build and test again after every save")]
pub(super) struct PluginArgs {
    #[command(subcommand)]
    verb: PluginVerb,
}

#[derive(Debug, Subcommand)]
enum PluginVerb {
    /// Create a project: a rule, its fixtures, and everything that it is built against
    New(new::NewArgs),
    /// Build a project's component, in any language
    Build(build::BuildArgs),
    /// Show what a component contains and whether this host accepts it
    Inspect(inspect::InspectArgs),
    /// Measure what a plugin costs: time, fuel, memory and size
    Bench(bench::BenchArgs),
    /// Run fixtures: quotes and the expected results
    Test(test::TestArgs),
    /// Replay recorded quotes through a plugin and show what would be written
    Run(dry_run::RunArgs),
    /// Build, test and dry-run a project after every save
    Watch(watch::WatchArgs),
}

pub(super) async fn run(args: PluginArgs) -> Result<ExitCode, Failure> {
    match args.verb {
        PluginVerb::New(args) => new::run(&args),
        PluginVerb::Build(args) => build::run(args).await,
        PluginVerb::Inspect(args) => inspect::run(args).await,
        PluginVerb::Bench(args) => bench::run(args).await,
        PluginVerb::Test(args) => test::run(args).await,
        PluginVerb::Run(args) => dry_run::run(args).await,
        PluginVerb::Watch(args) => watch::run(args).await,
    }
}

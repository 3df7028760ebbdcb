//! What a plugin's author does: `quotegate plugin …`.

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
  quotegate plugin new my-filter               a small project with a rule and its fixtures
  cd my-filter
  quotegate plugin build                       its component, my-filter.wasm
  quotegate plugin test                        fixtures: quotes in, what comes of them out
  quotegate plugin run . --quotes day.jsonl.zst   a dry run on recorded quotes
  quotegate plugin watch                       all of that again at each save")]
pub(super) struct PluginArgs {
    #[command(subcommand)]
    verb: PluginVerb,
}

#[derive(Debug, Subcommand)]
enum PluginVerb {
    /// Make a new project: a rule, its fixtures, and all it is built against
    New(new::NewArgs),
    /// Make a project's component, whatever its language
    Build(build::BuildArgs),
    /// Say what a component is made of, and whether this host accepts it
    Inspect(inspect::InspectArgs),
    /// Measure what a plugin costs: time, fuel, memory, size
    Bench(bench::BenchArgs),
    /// Run fixtures: quotes in, and what is expected of them
    Test(test::TestArgs),
    /// Play recorded quotes through a plugin and say what would be written
    Run(dry_run::RunArgs),
    /// Build, test and dry-run a project again at each save
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

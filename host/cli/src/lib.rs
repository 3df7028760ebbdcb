//! The verbs. The only place that prints for people.
//!
//! Results go to standard output, log lines and errors to standard error. Exit codes: 0 done, 1 failed while running,
//! 2 bad settings or usage.

#![allow(clippy::print_stdout, clippy::print_stderr)] // printing is what this room is for
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod check;
mod completions;
mod demo;
mod estimate;
mod man;
#[cfg(feature = "authoring")]
mod plugin;
mod precompile;
mod progress;
mod record;
mod remote;
mod run;
mod served;
mod settings;
mod signals;
mod sim;
mod smoke;
mod status;
mod terminal;
mod top;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use quotegate_feed::FeedSettingsError;

use quotegate_loader::PluginLoadError;

/// Keeps one Alpaca market-data websocket and writes each tenant's latest quotes to Firestore.
#[derive(Debug, Parser)]
#[command(name = "quotegate", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  quotegate demo                                        see it work, with no account and no settings
  TENANT_ID=local DRY_RUN=1 quotegate run               a dry run of one tenant on simulated quotes
  quotegate check --config config/quotegate.toml        what would be used, and where each value comes from
  quotegate estimate --config config/quotegate.toml     how many writes a day that can be, and their cost
  quotegate run --config config/quotegate.toml          the ingest host itself
  quotegate status                                      is the host on this machine well?

Exit codes: 0 done, 1 failed while running, 2 bad settings or usage.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Ingest quotes and write documents until SIGTERM or Ctrl-C
    Run(run::RunArgs),
    /// Watch two tenants ingest simulated quotes, with no account and no settings
    Demo(demo::DemoArgs),
    /// Read every setting, connect nowhere, and print what would be used and why
    Check(check::CheckArgs),
    /// Count the document writes of a day, from the settings and a recording, and what they cost
    Estimate(estimate::EstimateArgs),
    /// Run until the first successful write, or fail after a while; the last line is PASS or FAIL
    Smoke(smoke::SmokeArgs),
    /// Serve the Alpaca stream protocol with made-up quotes
    Sim(sim::SimArgs),
    /// Write the feed's frames with their arrival times to a file, for replay
    Record(record::RecordArgs),
    /// Write plugins: make, build, test, try and measure them
    #[cfg(feature = "authoring")]
    Plugin(plugin::PluginArgs),
    /// Compile plugins ahead of time, for an image
    Precompile(precompile::PrecompileArgs),
    /// Say whether a running host is well, and why if it is not
    Status(status::StatusArgs),
    /// Watch a running host in the terminal
    Top(top::TopArgs),
    /// Print a script that completes quotegate's commands in a shell
    Completions(completions::CompletionsArgs),
    /// Write man pages
    Man(man::ManArgs),
}

/// How a verb went wrong, as far as the exit code goes.
#[derive(Debug)]
enum Failure {
    /// Exit code 1.
    Running(anyhow::Error),
    /// Exit code 2.
    Usage(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        // A plugin that does not start is a matter of settings, and so is what the feed will not have.
        if error.is::<PluginLoadError>() || error.is::<FeedSettingsError>() {
            Self::Usage(error.context("quotegate"))
        } else {
            Self::Running(error)
        }
    }
}

/// Runs the verb that the arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // Before anything makes a TLS client: none of them brings a provider.
    quotegate_sink::install_crypto_provider();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("quotegate: the operating system gives no threads: {error}");
            return ExitCode::from(1);
        }
    };
    let outcome = runtime.block_on(async {
        match cli.verb {
            Verb::Run(args) => run::run(args).await,
            Verb::Demo(args) => demo::demo(args).await,
            Verb::Check(args) => check::check(&args).await,
            Verb::Estimate(args) => estimate::run(args).await,
            Verb::Smoke(args) => smoke::smoke(args).await,
            Verb::Sim(args) => sim::sim(args).await,
            Verb::Record(args) => record::record(args).await,
            #[cfg(feature = "authoring")]
            Verb::Plugin(args) => plugin::run(args).await,
            Verb::Precompile(args) => precompile::run(args).await,
            Verb::Status(args) => status::status(args).await,
            Verb::Top(args) => top::top(args).await,
            Verb::Completions(args) => completions::run(&args),
            Verb::Man(args) => man::run(&args),
        }
    });
    // Nothing may outlive its verb, not even a blocked look-up of a host name.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => code,
        Err(Failure::Running(error)) => {
            eprintln!("quotegate: {error:#}");
            ExitCode::from(1)
        }
        Err(Failure::Usage(error)) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

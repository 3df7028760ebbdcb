//! The verbs of the command. The only crate that prints for people.
//!
//! Results go to standard output, log lines and errors to standard error. Exit codes: 0 success, 1 failure at run time,
//! 2 invalid settings or usage.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod check;
mod completions;
mod demo;
mod estimate;
mod hosts;
mod man;
mod output;
mod overwrite;
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
use quotegate_config::{SettingError, SettingsError};
use quotegate_feed::FeedSettingsError;
use quotegate_loader::PluginLoadError;
use quotegate_recording::RecordingError;
use quotegate_runtime::log;
use quotegate_sink::ConnectError;

use output::errln;

/// Keeps one Alpaca market-data websocket and writes each tenant's latest quotes to Firestore.
#[derive(Debug, Parser)]
#[command(name = "quotegate", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  quotegate demo                                        try it without an account or settings
  TENANT_ID=local DRY_RUN=1 quotegate run               dry-run one tenant with simulated quotes
  quotegate check --config config/quotegate.toml        print every setting and where it comes from
  quotegate estimate --config config/quotegate.toml     estimate writes per day, and their cost
  quotegate run --config config/quotegate.toml          run the ingest host
  quotegate status                                      check the host on this machine

Exit codes: 0 success, 1 failure at run time, 2 invalid settings or usage.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Ingest quotes and write documents until SIGTERM or Ctrl-C
    Run(run::RunArgs),
    /// Run two tenants with simulated quotes, without an account or settings
    Demo(demo::DemoArgs),
    /// Check the settings without connecting, and print each value and its origin
    Check(check::CheckArgs),
    /// Estimate document writes per day and their cost, from the settings and a recording
    Estimate(estimate::EstimateArgs),
    /// Run until the first successful write or a timeout, and print PASS or FAIL
    Smoke(smoke::SmokeArgs),
    /// Serve Alpaca's stream protocol with simulated quotes
    Sim(sim::SimArgs),
    /// Record the feed's frames and their arrival times in a file, for replay
    Record(record::RecordArgs),
    /// Create, build, test, run and benchmark plugins
    #[cfg(feature = "authoring")]
    Plugin(plugin::PluginArgs),
    /// Compile plugins ahead of time, for a container image
    Precompile(precompile::PrecompileArgs),
    /// Check a running host, and print what is wrong with it
    Status(status::StatusArgs),
    /// Watch a running host in the terminal
    Top(top::TopArgs),
    /// Print a shell completion script
    Completions(completions::CompletionsArgs),
    /// Write man pages
    Man(man::ManArgs),
}

/// A verb's error, and its exit code.
#[derive(Debug)]
enum Failure {
    /// Exit code 1.
    Running(anyhow::Error),
    /// Exit code 2.
    Usage(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        if is_caused_by_settings(&error) { Self::Usage(error.context("quotegate")) } else { Self::Running(error) }
    }
}

/// True if other settings or arguments would help, as far as the kind of error tells.
fn is_caused_by_settings(error: &anyhow::Error) -> bool {
    use RecordingError::{NotARecording, Open, Version};
    error.is::<PluginLoadError>()
        || error.is::<FeedSettingsError>()
        || error.is::<ConnectError>()
        || matches!(error.downcast_ref(), Some(Open(..) | NotARecording(_) | Version(..)))
}

impl Failure {
    /// Prints the error, as JSON lines if log lines are that, and returns the exit code.
    fn report(self) -> ExitCode {
        let (text, error, code) = match self {
            Self::Running(error) => (format!("quotegate: {error:#}"), error, 1),
            Self::Usage(error) => (format!("{error:#}"), error, 2),
        };
        let lines = match error.downcast_ref::<SettingsError>() {
            Some(errors) => errors.iter().map(SettingError::one_line).collect(),
            None => vec![text.trim_start_matches("quotegate: ").to_owned()],
        };
        match lines.iter().map(|line| log::exit_line(line)).collect::<Option<Vec<_>>>() {
            Some(json) => errln!("{}", json.join("\n")),
            None => errln!("{text}"),
        }
        ExitCode::from(code)
    }
}

/// Runs the verb that the arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            errln!("quotegate: could not start threads: {error}");
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
            Verb::Completions(args) => Ok(completions::run(&args)),
            Verb::Man(args) => man::run(&args),
        }
    });
    // Do not wait for anything that still runs, such as a blocked DNS lookup.
    runtime.shutdown_background();
    outcome.unwrap_or_else(Failure::report)
}

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use quotegate_devkit::{Built, Progress, Project, build};

use super::common;
use crate::Failure;
use crate::output::{errln, outln};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate plugin build                     the project in this folder
  quotegate plugin build plugins/my-filter

Uses the tools of the project's language. If one is missing, it prints the command that installs it, but installs nothing.
Rust needs cargo and the target wasm32-unknown-unknown, but neither cargo-component nor wasm-tools. A component that the
host would reject is an error, and the previous component stays.

Exit codes: 0 built, 1 failed, 2 bad usage or plugin.toml.")]
pub(super) struct BuildArgs {
    /// The project's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
}

pub(super) async fn run(args: BuildArgs) -> Result<ExitCode, Failure> {
    let project = Project::open(&args.folder).map_err(|error| Failure::Usage(error.into()))?;
    print(&component(&project).await?);
    Ok(ExitCode::SUCCESS)
}

/// Builds on a thread that may block. The tools' output goes to standard error.
pub(super) async fn component(project: &Project) -> Result<Built, Failure> {
    let engine = common::engine(project.setup.limits.memory_bytes)?;
    let project = project.clone();
    let built = tokio::task::spawn_blocking(move || {
        build(&project, &engine, &mut |progress| match progress {
            Progress::Step(sentence) => errln!("{sentence}"),
            Progress::Output(line) => errln!("  {line}"),
        })
    });
    built.await.context("the building thread panicked")?.map_err(Failure::Running)
}

pub(super) fn print(built: &Built) {
    let component = built.component.strip_prefix(".").unwrap_or(&built.component);
    outln!("{}", component.display());
    outln!("  size    {} bytes", built.bytes);
    outln!("  sha256  {}", built.sha256);
}

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use quotegate_devkit::{BuildError, Built, Progress, Project, build};

use super::common;
use crate::Failure;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate plugin build                     the project in this folder
  quotegate plugin build plugins/my-filter

Needs the tools of the project's language, and names what is missing with the command that installs it; installs nothing
itself. Rust wants cargo and the target wasm32-unknown-unknown, neither cargo-component nor wasm-tools. What a host would
not accept is refused here already, and leaves the component that was there before.

Exit codes: 0 built, 1 not, 2 bad usage or plugin.toml.")]
pub(super) struct BuildArgs {
    /// The project's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
}

pub(super) async fn run(args: BuildArgs) -> Result<ExitCode, Failure> {
    let project = Project::open(&args.folder).map_err(|problem| Failure::Usage(problem.into()))?;
    print(&component(&project).await?);
    Ok(ExitCode::SUCCESS)
}

/// Builds on a thread that may block; what the tools say goes to standard error as it comes.
pub(super) async fn component(project: &Project) -> Result<Built, Failure> {
    let engine = common::engine(project.setup.limits.memory_bytes)?;
    let project = project.clone();
    let built = tokio::task::spawn_blocking(move || {
        build(&project, &engine, &mut |said| match said {
            Progress::Step(sentence) => eprintln!("{sentence}"),
            Progress::Output(line) => eprintln!("  {line}"),
        })
    });
    let built = built.await.map_err(|_| Failure::Running(anyhow!("the thread that built has panicked")))?;
    built.map_err(|problem: BuildError| Failure::Running(problem.into()))
}

pub(super) fn print(built: &Built) {
    let component = built.component.strip_prefix(".").unwrap_or(&built.component);
    println!("{}", component.display());
    println!("  size    {} bytes", built.bytes);
    println!("  sha256  {}", built.sha256);
}

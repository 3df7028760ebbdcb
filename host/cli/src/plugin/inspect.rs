use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use quotegate_devkit::{Inspection, inspect};

use super::common::{self, Paint};
use crate::Failure;
use crate::estimate::grouped;
use crate::output::{out, outln};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate plugin inspect my-filter.wasm
  quotegate plugin inspect my-filter.wasm --config acme.toml --json

Starts the plugin once, as a host would: with --config, or the project's plugin.toml, or an empty configuration.

Exit codes: 0 this host accepts and starts it, 1 it does not, 2 bad usage or setup.")]
pub(super) struct InspectArgs {
    /// A component, or a project's folder
    #[arg(default_value = ".")]
    path: PathBuf,
    /// TOML with tenant, collection, collections, config, limits; else those of the project's plugin.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: InspectArgs) -> Result<ExitCode, Failure> {
    let target = common::find(&args.path)?;
    let setup = match &args.config {
        Some(file) => Some(common::open(file)?),
        None => target.project.as_ref().map(|project| project.setup.clone()),
    };
    let file = target.component.display().to_string();
    let bytes = common::read(&target)?;
    let engine = common::engine(setup.as_ref().map_or(0, |setup| setup.limits.memory_bytes))?;
    let inspected = tokio::task::spawn_blocking(move || inspect(&engine, &target.name, &bytes, setup.as_ref())).await;
    let found = inspected.map_err(|_| Failure::Running(anyhow!("the inspecting thread panicked")))?;
    if args.json {
        outln!("{}", serde_json::to_string_pretty(&found).map_err(anyhow::Error::from)?);
    } else {
        out!("{}", text(&file, &found, Paint::new()));
    }
    Ok(if found.refused.is_none() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn text(file: &str, found: &Inspection, paint: Paint) -> String {
    let mut text = format!("{}\n", paint.bold(file));
    // Writing to a string cannot fail.
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<12} {value}");
    };
    row("size", &format!("{} bytes", grouped(found.bytes as u64)));
    row("sha256", &found.sha256);
    for (field, what) in &found.made_by {
        row(field, what);
    }
    row("imports", &listed(&found.imports));
    row("exports", &listed(&found.exports));
    if let Some(plugin) = &found.plugin {
        row("WIT", &format!("quotegate:plugin@{}", plugin.interface));
        match &plugin.started {
            Ok(started) => {
                if plugin.filters {
                    row("columns", &listed(&started.columns));
                    row("reasons", &listed(&started.reasons));
                }
                row("memory", &format!("{} bytes after the start", grouped(started.memory_bytes as u64)));
            }
            Err(failure) if found.refused.is_none() => {
                row("start", &format!("needs a configuration (--config): {failure}"));
            }
            Err(_) => {}
        }
        let does = match (plugin.filters, plugin.maps) {
            (true, true) => "filters and maps",
            (true, false) => "filters",
            _ => "maps",
        };
        if found.refused.is_none() {
            row("accepted", &paint.good(&format!("yes: it {does}")));
        }
    }
    if let Some(problem) = &found.refused {
        row("accepted", &paint.bad(&format!("no. {problem}")));
    }
    text
}

fn listed(names: &[impl AsRef<str>]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

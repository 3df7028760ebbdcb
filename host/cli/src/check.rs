use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use quotegate_config::{Source, render};
use quotegate_loader::PluginLoader;
use quotegate_runtime::host::wiring;
use quotegate_runtime::text::counted;

use super::Failure;
use super::settings::SettingsArgs;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate check --config config/quotegate.toml
  TENANT_ID=acme quotegate check --set sink.kind=dry-run

Plugins are compiled and started, to check that they accept their configuration. All problems are printed, not only the \
first one.

Exit codes: 0 if the settings are valid, 2 if they are not.")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) async fn check(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let loaded = args.settings.load()?;
    print!("{}", render(loaded.report()));
    let switches = loaded.settings.switches.state();
    if !switches.readings.is_empty() {
        println!("\nswitches:");
        for reading in &switches.readings {
            println!("  {reading}");
        }
    }
    let mut problems = Vec::new();
    if let Source::Alpaca(credentials) = &loaded.settings.source
        && let Err(problem) = wiring::feed(&loaded.settings.feed, credentials)
    {
        problems.push(problem.to_string());
    }
    let plugins = Arc::new(PluginLoader::new(&loaded.settings));
    for tenant in &loaded.settings.tenants {
        if let Err(problem) = plugins.check(tenant).await {
            problems.push(problem.to_string());
        }
    }
    if !problems.is_empty() {
        return Err(Failure::Usage(anyhow::anyhow!(
            "{}\n\n{}",
            problems.join("\n"),
            counted(problems.len(), "problem")
        )));
    }
    let tenants = loaded.settings.tenants.len();
    println!("\nthe settings are valid: {}", counted(tenants, "tenant"));
    Ok(ExitCode::SUCCESS)
}

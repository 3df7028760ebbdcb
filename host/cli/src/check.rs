use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use quotegate_config::{Source, render};

use super::Failure;
use super::settings::SettingsArgs;
use quotegate_loader::PluginLoader;
use quotegate_runtime::host::wiring;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate check --config config/quotegate.toml
  TENANT_ID=acme quotegate check --set sink.kind=dry-run

PluginLoader are compiled, started and asked whether they accept their configuration.

Exit codes: 0 the settings are good, 2 they are not; every problem is printed, not just the first.")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) async fn check(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let loaded = args.settings.load()?;
    print!("{}", render(loaded.report()));
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
        let count = problems.len();
        return Err(Failure::Usage(anyhow::anyhow!(
            "{}\n\n{count} problem{}",
            problems.join("\n"),
            if count == 1 { "" } else { "s" }
        )));
    }
    let tenants = loaded.settings.tenants.len();
    println!("\nthe settings are good: {tenants} tenant{}", if tenants == 1 { "" } else { "s" });
    Ok(ExitCode::SUCCESS)
}

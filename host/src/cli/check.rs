use std::process::ExitCode;

use clap::Args;
use quotegate_config::render;

use super::Failure;
use super::settings::SettingsArgs;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate check --config config/quotegate.toml
  TENANT_ID=acme quotegate check --set sink.kind=dry-run

Exit codes: 0 the settings are good, 2 they are not; every problem is printed, not just the first.")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) fn check(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let loaded = args.settings.load()?;
    print!("{}", render(loaded.report()));
    let tenants = loaded.settings.tenants.len();
    println!("\nthe settings are good: {tenants} tenant{}", if tenants == 1 { "" } else { "s" });
    Ok(ExitCode::SUCCESS)
}

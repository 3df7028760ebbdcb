use std::process::ExitCode;

use clap::Args;
use quotegate_config::Settings;

use super::settings::{SettingsArgs, setting, start_log};
use super::{Failure, signals};
use crate::host::{Host, Reloads};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  TENANT_ID=local DRY_RUN=1 quotegate run
  TENANT_ID=acme ALPACA_KEY_ID=… ALPACA_SECRET_KEY=… MONITORED_SYMBOLS=SPY,AAPL quotegate run
  quotegate run --config config/quotegate.toml
  quotegate run --config config/quotegate.toml --dry-run --set feed.source=replay --set feed.replay.file=day.jsonl.zst

Ends on SIGTERM or Ctrl-C after writing what is dirty, within run.shutdown_grace_s. SIGHUP, or a change of a file, loads
tenants, symbols, limits and plugins anew, without a reconnect: all of them count once all are good, else nothing
changes. run.paused, tenants.X.paused and the Firestore document ops/ingest_control pause writing.")]
pub(super) struct RunArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// End by itself after so many seconds
    #[arg(long, value_name = "SECONDS")]
    stop_after: Option<f64>,
}

pub(super) async fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    let stop_after = args.stop_after.map(|seconds| setting("run.stop_after_s", seconds, "--stop-after"));
    let sources = args.settings.sources(stop_after.into_iter().collect())?;
    let loaded = Settings::load(&sources).map_err(|problems| Failure::Usage(problems.into()))?;
    let _log = start_log(&loaded.settings)?;
    let stop = signals::stop_on_signal()?;
    let asked = signals::reload_on_signal()?;
    let mut host = Host::start(&loaded.settings).await?;
    let of_files = sources.clone();
    host.reload_from(Reloads {
        load: Box::new(move || Ok(Settings::load(&sources)?)),
        files: Box::new(move || of_files.files()),
        asked,
        current: loaded,
    });
    host.finish(stop).await?;
    Ok(ExitCode::SUCCESS)
}

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tracing::info;

use super::settings::{SettingsArgs, setting, start_log};
use super::{Failure, signals};
use crate::host::Host;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  TENANT_ID=local DRY_RUN=1 quotegate smoke --seconds 10
  quotegate smoke --config config/quotegate.toml

Passes at the first document that Firestore confirms, quote or heartbeat; in a dry run at the first quote document that
would be written. The last line of standard output is PASS … or FAIL …; exit code 0 or 1.")]
pub(super) struct SmokeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    seconds: f64,
}

pub(super) async fn smoke(args: SmokeArgs) -> Result<ExitCode, Failure> {
    let limit = setting("run.stop_after_s", args.seconds, "--seconds");
    let loaded = args.settings.load_with(vec![limit])?;
    let _log = start_log(&loaded.settings)?;
    let stop = signals::stop_on_signal()?;
    let began = tokio::time::Instant::now();

    let host = Host::start(&loaded.settings).await?;
    let status = host.status();
    let watcher = tokio::spawn({
        let (status, stop) = (status.clone(), stop.clone());
        async move {
            while !status.snapshot().has_written() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(Duration::from_millis(50)) => {}
                }
            }
            stop.cancel();
        }
    });
    let finished = host.finish(stop).await;
    watcher.abort();

    let snapshot = status.snapshot();
    let verdict = match finished {
        Err(error) => Err(format!("{error:#}")),
        Ok(_) if snapshot.has_written() => Ok(snapshot.what_was_written()),
        Ok(_) => Err(format!("nothing was written in {} s: {}", args.seconds, snapshot.why_not_written())),
    };
    let seconds = began.elapsed().as_secs_f64();
    info!(event_type = "smoke_result", passed = verdict.is_ok(), seconds, "smoke test ended");
    match verdict {
        Ok(what) => {
            println!("PASS after {seconds:.1} s: {what}");
            Ok(ExitCode::SUCCESS)
        }
        Err(reason) => {
            println!("FAIL after {seconds:.1} s: {reason}");
            Ok(ExitCode::from(1))
        }
    }
}

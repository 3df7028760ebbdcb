use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use quotegate_runtime::host::ReloadSource;
use tokio::time::Instant;
use tracing::info;
use tracing_appender::non_blocking::WorkerGuard;

use super::output::outln;
use super::served::ServedHost;
use super::settings::{SettingsArgs, load_and_log, setting};
use super::{Failure, signals};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  TENANT_ID=local DRY_RUN=1 quotegate smoke --seconds 10
  quotegate smoke --config config/quotegate.toml

Passes as soon as Firestore confirms a document, quote or heartbeat. In a dry run, passes at the first quote document \
that would be written. The last line is PASS … or FAIL …, also where standard output and standard error are one stream.

Exit codes: 0 PASS, 1 FAIL, 2 invalid settings.")]
pub(super) struct SmokeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Fail after this many seconds
    #[arg(long, value_name = "SECONDS", default_value = "60", allow_negative_numbers = true)]
    seconds: String,
}

pub(super) async fn smoke(args: SmokeArgs) -> Result<ExitCode, Failure> {
    let limit = setting("run.stop_after_s", args.seconds, "--seconds");
    let (loaded, log) = match args.settings.sources(vec![limit]).and_then(|sources| load_and_log(&sources)) {
        Ok(loaded) => loaded,
        Err(failure) => {
            let code = failure.report();
            outln!("FAIL before the start: invalid settings; see standard error");
            return Ok(code);
        }
    };
    let stop = signals::stop_on_signal()?;
    let began = Instant::now();

    let mut host = match ServedHost::start(&loaded.settings).await {
        Ok(host) => host,
        Err(error) => return Ok(report(began, Err(format!("{error:#}")), log)),
    };
    if loaded.settings.relay.is_some() {
        // Its tenants come with its shards.
        host.host.reload_from(ReloadSource::fixed(loaded));
    }
    let status = host.host.status();
    let watcher = tokio::spawn({
        let (status, stop) = (status.clone(), stop.clone());
        async move {
            while !status.snapshot().has_written() && !stop.is_cancelled() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            stop.cancel();
        }
    });
    let finished = host.finish(stop.clone()).await;
    stop.cancel();
    let _ = watcher.await;

    let snapshot = status.snapshot();
    let outcome = match finished {
        Err(error) => Err(format!("{error:#}")),
        Ok(_) if snapshot.has_written() => Ok(snapshot.what_was_written()),
        Ok(_) => Err(format!("nothing was written: {}", snapshot.why_not_written())),
    };
    Ok(report(began, outcome, log))
}

/// Prints the last line, and returns its exit code.
fn report(began: Instant, outcome: Result<String, String>, log: WorkerGuard) -> ExitCode {
    let seconds = began.elapsed().as_secs_f64();
    info!(event_type = "smoke_result", passed = outcome.is_ok(), seconds, "smoke test ended");
    // Writes the lines that are still queued: log collectors merge both streams, and the verdict must be the last line.
    drop(log);
    match outcome {
        Ok(what) => {
            outln!("PASS after {seconds:.1} s: {what}");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            outln!("FAIL after {seconds:.1} s: {reason}");
            ExitCode::from(1)
        }
    }
}

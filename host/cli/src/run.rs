use std::io::{BufWriter, Write, stdout};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use quotegate_config::{ReplaySettings, Settings, Source};
use quotegate_pipeline::simulation::{Observer, WouldWrite};
use quotegate_recording::Recording;
use quotegate_runtime::host::{ReloadSource, WatchedFiles, wiring};
use quotegate_runtime::simulation::{simulate, simulated_tenants};
use quotegate_runtime::text::counted;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::served::ServedHost;
use super::settings::{SettingsArgs, load_and_log, setting};
use super::{Failure, output, signals};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  TENANT_ID=local DRY_RUN=1 quotegate run
  TENANT_ID=acme ALPACA_KEY_ID=… ALPACA_SECRET_KEY=… MONITORED_SYMBOLS=SPY,AAPL quotegate run
  quotegate run --config config/quotegate.toml
  quotegate run --config config/quotegate.toml --dry-run --set feed.source=replay \\
    --set feed.replay.file=day.jsonl.zst --set feed.replay.speed=max > documents.jsonl

On SIGTERM or Ctrl-C, it writes what is dirty within run.shutdown_grace_s, and exits. On SIGHUP, or when a file changes, \
it reloads tenants, symbols, limits and plugins without a reconnect. A reload applies everything, or nothing if any of it \
is invalid. run.paused, tenants.X.paused, the Firestore document ops/ingest_control and the variables EXECUTION_HALTED and \
INGEST_ENABLED pause writing.

A dry run of a replay at speed max prints the documents to standard output as JSON lines. It depends only on the \
recording's time, so the same files always give the same lines.")]
pub(super) struct RunArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Stop after this many seconds
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    stop_after: Option<String>,
}

pub(super) async fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    let stop_after = args.stop_after.map(|seconds| setting("run.stop_after_s", seconds, "--stop-after"));
    let sources = args.settings.sources(stop_after.into_iter().collect())?;
    let watched = sources.clone();
    let files = WatchedFiles::new(move || watched.files());
    let (loaded, _log) = load_and_log(&sources)?;
    let stop = signals::stop_on_signal()?;
    if let Some(replay) = unpaced_dry_run(&loaded.settings) {
        return dry_run(&loaded.settings, &replay.file, stop).await;
    }
    let requested = signals::reload_on_signal()?;
    let mut host = ServedHost::start(&loaded.settings).await?;
    host.host.reload_from(ReloadSource {
        load: Box::new(move || Ok(Settings::load(&sources)?)),
        files,
        requested,
        current: loaded,
    });
    host.finish(stop).await?;
    Ok(ExitCode::SUCCESS)
}

/// The recording, if this is a dry run of a replay without a speed limit.
fn unpaced_dry_run(settings: &Settings) -> Option<&ReplaySettings> {
    match &settings.source {
        Source::Replay(replay) if replay.speed.is_none() && wiring::is_dry_run(settings) => Some(replay),
        _ => None,
    }
}

/// Prints every tenant's documents, in the recording's own time.
async fn dry_run(settings: &Settings, file: &Path, stop: CancellationToken) -> Result<ExitCode, Failure> {
    let recording = Recording::open(file).map_err(anyhow::Error::from)?;
    info!(
        event_type = "startup",
        "dry run of {}, as fast as possible, in the recording's own time; printing what would be written",
        file.display()
    );
    let (tenants, limit) = simulated_tenants(settings).await?;
    let mut printer = Printer { out: BufWriter::new(stdout()), documents: 0 };
    let simulated = simulate(tenants, limit, recording, &mut printer, stop).await;
    let report = match simulated.and_then(|report| Ok(printer.out.flush().map(|()| report)?)) {
        // The reader of the documents has closed the pipe, as `head` does.
        Err(error) if output::is_broken_pipe(&error) => return Ok(ExitCode::SUCCESS),
        done => done?,
    };
    for tenant in &report.tenants {
        if let Some(stopped) = &tenant.stopped {
            warn!(event_type = "tenant_stopped", tenant = %tenant.tenant, "the plugin {} stopped the tenant: {}", stopped.plugin, stopped.error);
        }
    }
    let (documents, seconds) = (printer.documents, report.seconds);
    info!(
        event_type = "shutdown",
        documents,
        "would have written {} in {seconds:.1} s",
        counted(documents, "document")
    );
    Ok(ExitCode::SUCCESS)
}

struct Printer<W> {
    out: W,
    documents: u64,
}

impl<W: Write> Observer for Printer<W> {
    fn would_write(&mut self, write: &WouldWrite<'_>) -> anyhow::Result<()> {
        self.documents += 1;
        Ok(writeln!(self.out, "{}", write.json())?)
    }
}

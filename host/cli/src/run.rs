use std::io::{BufWriter, Write, stdout};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use quotegate_config::{ReplaySettings, Settings, Source};
use quotegate_recording::Recording;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::served::ServedHost;
use super::settings::{SettingsArgs, setting, start_log};
use super::{Failure, signals};
use quotegate_pipeline::simulation::{Observer, WouldWrite};
use quotegate_runtime::host::{Reloads, wiring};
use quotegate_runtime::simulation::{simulate, simulated_tenants};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  TENANT_ID=local DRY_RUN=1 quotegate run
  TENANT_ID=acme ALPACA_KEY_ID=… ALPACA_SECRET_KEY=… MONITORED_SYMBOLS=SPY,AAPL quotegate run
  quotegate run --config config/quotegate.toml
  quotegate run --config config/quotegate.toml --dry-run --set feed.source=replay --set feed.replay.file=day.jsonl.zst \\
    --set feed.replay.speed=max > documents.jsonl

Ends on SIGTERM or Ctrl-C after writing what is dirty, within run.shutdown_grace_s. SIGHUP, or a change of a file, loads
tenants, symbols, limits and plugins anew, without a reconnect: all of them count once all are good, else nothing
changes. A dry run of a replay at the speed max prints the documents to standard output, as JSON lines: it goes by the
recording's time alone, so that the same files come to the same lines. run.paused, tenants.X.paused and the Firestore document ops/ingest_control pause writing.")]
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
    if let Some(replay) = as_fast_as_it_goes(&loaded.settings) {
        return dry_run(&loaded.settings, &replay.file, stop).await;
    }
    let asked = signals::reload_on_signal()?;
    let mut host = ServedHost::start(&loaded.settings).await?;
    let of_files = sources.clone();
    host.host.reload_from(Reloads {
        load: Box::new(move || Ok(Settings::load(&sources)?)),
        files: Box::new(move || of_files.files()),
        asked,
        current: loaded,
    });
    host.finish(stop).await?;
    Ok(ExitCode::SUCCESS)
}

/// The recording of a dry run that nobody watches as it goes.
fn as_fast_as_it_goes(settings: &Settings) -> Option<&ReplaySettings> {
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
        "a dry run of {}, as fast as it goes: what would be written is printed, in the recording's own time",
        file.display()
    );
    let (tenants, limit) = simulated_tenants(settings).await?;
    let mut printer = Printer { out: BufWriter::new(stdout()), documents: 0 };
    let report = simulate(tenants, limit, recording, &mut printer, stop).await?;
    printer.out.flush().map_err(anyhow::Error::from)?;
    for tenant in &report.tenants {
        if let Some(stopped) = &tenant.stopped {
            warn!(event_type = "tenant_stopped", tenant = %tenant.tenant, "{} has stopped the tenant: {}", stopped.plugin, stopped.error);
        }
    }
    let (documents, seconds) = (printer.documents, report.seconds);
    info!(event_type = "shutdown", documents, "{documents} documents of {seconds:.1} s would be written");
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

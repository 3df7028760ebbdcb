use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use quotegate_feed::{FeedStatus, FrameTap, Payload};
use quotegate_market::{QuoteColumns, QuoteReceiver, SymbolTable, UnixNanos};
use quotegate_recording::{Header, RecordedFrame, RecordingWriter};
use quotegate_runtime::host::{source, wiring};
use quotegate_runtime::text::counted;
use quotegate_runtime::watchdog::Watchdog;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::watch;
use tracing::{info, warn};

use super::output::outln;
use super::overwrite::Overwrite;
use super::settings::{SettingsArgs, load_and_log, offline, setting};
use super::{Failure, signals};

/// How many frames may wait for the disk, which may pause for seconds. With 64 quotes per frame, this is about 25 MB.
const QUEUE: usize = 4096;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  TENANT_ID=acme MONITORED_SYMBOLS=SPY,AAPL quotegate record --out day.jsonl.zst
  TENANT_ID=local DRY_RUN=1 quotegate record --out simulated.jsonl --seconds 10

Records the symbols that the tenants in the settings want. Writes nothing to Firestore. To play the file back, set \
feed.source = \"replay\".")]
pub(super) struct RecordArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// The file to write; compressed if its name ends in .zst
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    overwrite: Overwrite,
    /// Stop after this many seconds
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    seconds: Option<String>,
}

pub(super) async fn record(args: RecordArgs) -> Result<ExitCode, Failure> {
    let mut extra = offline("record");
    extra.extend(args.seconds.map(|seconds| setting("run.stop_after_s", seconds, "--seconds")));
    args.overwrite.check(&args.out)?;
    let (loaded, _log) = load_and_log(&args.settings.sources(extra)?)?;
    let settings = &loaded.settings;
    let stop = signals::stop_on_signal()?;

    let header = Header::new(settings.feed.name.as_str(), &settings.feed.encoding.to_string());
    let writer = RecordingWriter::create(&args.out, &header).map_err(anyhow::Error::from)?;
    let (frames, received) = mpsc::channel(QUEUE);
    let lost = Arc::new(AtomicU64::new(0));
    let mut source = source::prepare(settings).await?.context("a relay cannot be recorded")?;
    source.tap(Box::new(Tap { frames, lost: lost.clone() }))?;
    info!(event_type = "startup", "recording {} to {}", source.describe(), args.out.display());

    let mut disk = tokio::task::spawn_blocking(move || write_all(writer, received));
    // It does not change while recording.
    let (_wanted, subscription) = watch::channel(Arc::new(wiring::subscription(&settings.tenants)));
    let mut running =
        source.start(subscription, IgnoreQuotes, Arc::new(FeedStatus::default()), Watchdog::new(true, false), None)?;
    let mut source_end = None;
    let mut written = None;
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(settings.run.stop_after.unwrap_or(Duration::MAX)), if settings.run.stop_after.is_some() => {}
        outcome = running.ended() => source_end = Some(outcome),
        outcome = &mut disk => written = Some(outcome),
    }
    running.stop();
    if source_end.is_none() {
        source_end = tokio::time::timeout(settings.run.shutdown_grace, running.ended()).await.ok();
    }
    running.end_services().await;
    let written = match written {
        Some(written) => written,
        None => disk.await,
    };
    let count = written.context("the thread that writes the file panicked")??;
    if let Some(Err(error)) = source_end {
        return Err(error.context("the feed failed").into());
    }
    let lost = lost.load(Ordering::Relaxed);
    if lost > 0 {
        warn!(lost, "the disk was too slow: {} not in the file", counted(lost, "frame"));
    }
    outln!("{} in {}", counted(count, "frame"), args.out.display());
    Ok(ExitCode::SUCCESS)
}

/// Writes until every sender is gone. Returns the number of frames.
fn write_all(mut writer: RecordingWriter, mut received: Receiver<RecordedFrame>) -> anyhow::Result<u64> {
    let mut count = 0;
    while let Some(frame) = received.blocking_recv() {
        writer.write(&frame)?;
        count += 1;
    }
    writer.finish()?;
    Ok(count)
}

/// Passes frames to the thread that writes them. The reader never waits for it.
struct Tap {
    frames: Sender<RecordedFrame>,
    lost: Arc<AtomicU64>,
}

impl FrameTap for Tap {
    fn frame(&mut self, received_time: UnixNanos, payload: Payload<'_>) {
        let payload = match payload {
            Payload::Text(text) => quotegate_recording::Payload::Text(text.to_owned()),
            Payload::Binary(bytes) => quotegate_recording::Payload::Binary(bytes.to_vec()),
        };
        if self.frames.try_send(RecordedFrame { received_time, payload }).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Only the frames are recorded, so decoded quotes are not used.
struct IgnoreQuotes;

impl QuoteReceiver for IgnoreQuotes {
    fn receive(&mut self, _: &QuoteColumns, _: &SymbolTable) {}
}

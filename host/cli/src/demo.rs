use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use quotegate_config::Sources;
use tokio_util::sync::CancellationToken;

use super::output::outln;
use super::served::ServedHost;
use super::settings::{load_and_log, setting};
use super::{Failure, progress, signals};

#[derive(Debug, Args)]
#[command(after_help = "\
An embedded simulator serves Alpaca's protocol on a loopback websocket. Two tenants ingest its quotes: `alpha` filters \
three symbols and writes each at most twice per second. `omega` maps all symbols to smaller documents, and writes at most \
eight of them per second. Both use standard plugins. Documents are not written (`--show` prints them), unless \
FIRESTORE_EMULATOR_HOST is set.

Examples:
  quotegate demo                                         Ctrl-C stops it and prints a summary
  quotegate demo --show --seconds 5
  FIRESTORE_EMULATOR_HOST=127.0.0.1:8080 quotegate demo")]
pub(super) struct DemoArgs {
    /// Print every document that would be written
    #[arg(long)]
    show: bool,
    /// Stop after this many seconds
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    seconds: Option<String>,
    /// Simulated quotes per second
    #[arg(long, value_name = "Q/S", default_value = "2000", allow_negative_numbers = true)]
    rate: String,
}

pub(super) async fn demo(args: DemoArgs) -> Result<ExitCode, Failure> {
    let emulator = std::env::var("FIRESTORE_EMULATOR_HOST").ok().filter(|host| !host.is_empty());
    let (loaded, _log) = load_and_log(&sources(&args, emulator.as_deref()))?;
    let stop = signals::stop_on_signal()?;

    match &emulator {
        Some(host) => outln!("demo: two tenants, simulated quotes, documents written to the emulator at {host}"),
        None => outln!("demo: two tenants, simulated quotes, nothing is written (a dry run)"),
    }
    outln!("Ctrl-C stops it and prints a summary.");
    let host = ServedHost::start(&loaded.settings).await?;
    if let Some(address) = host.address() {
        outln!("watch it at http://{address}/\n");
    }
    let ended = CancellationToken::new();
    let progress =
        tokio::spawn(progress::print(host.host.status(), Duration::from_secs(1), stop.clone(), ended.clone()));
    let summary = host.finish(stop).await;
    ended.cancel();
    let _ = progress.await;
    outln!("\n{}", progress::summary(&summary?));
    Ok(ExitCode::SUCCESS)
}

/// Refuses quotes that have a wide spread or crossed prices, or that hardly moved.
const FILTER: &str =
    r#"[{ standard = "quote-filter", config = { max_spread_bps = 2, crossed = "refuse", min_move = 0.01 } }]"#;
/// A small document for a small screen.
const MAP: &str = r#"[{ standard = "field-map", config = { fields = { symbol = "symbol", mid = { from = "mid", round = 4 }, spread_bps = { from = "spread_bps", round = 2 }, "best.bid" = "bid_price", "best.ask" = "ask_price", ts = "event_time" } } }]"#;

fn sources(args: &DemoArgs, emulator: Option<&str>) -> Sources {
    let flag = "demo";
    let mut overrides = vec![
        setting("feed.source", "sim", flag),
        setting("feed.sim.symbols", 30, flag),
        setting("feed.sim.rate", &args.rate, "--rate"),
        setting("tenants.alpha.symbols", "SPY,AAPL,MSFT", flag),
        setting("tenants.alpha.per_symbol_min_interval_ms", 500, flag),
        setting("tenants.omega.symbols", "*", flag),
        setting("tenants.omega.writes_per_second", 8, flag),
        setting("tenants.omega.burst", 8, flag),
        setting("tenants.alpha.plugins", FILTER, flag),
        setting("tenants.omega.plugins", MAP, flag),
        setting("log.level", if args.show { "info" } else { "warn" }, flag),
    ];
    match emulator {
        Some(host) => overrides.extend([
            setting("sink.kind", "firestore", flag),
            setting("sink.emulator_host", host, flag),
            setting("sink.project_id", "quotegate-demo", flag),
        ]),
        None => overrides.push(setting("sink.kind", "dry-run", flag)),
    }
    overrides.extend(args.seconds.as_ref().map(|seconds| setting("run.stop_after_s", seconds, "--seconds")));
    // Without the environment, so that the demo is always the same.
    Sources { file: None, environment: Vec::new(), overrides }
}

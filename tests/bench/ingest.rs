//! The whole path of a quote on one core: websocket → decode → router → inbox → latest table.
//!
//! ```sh
//! cargo bench --bench ingest                  # the table
//! cargo bench --bench ingest -- --seconds 1   # quicker, noisier
//! ```
//!
//! A thread writes the same frames over and over to a loopback socket. The real feed, router and tenant run on one other
//! thread, whose CPU time is measured. For comparison, in the same run: a loop that only parses the same frames with
//! serde_json, and alpaca-py with a handler that stores the quote (once `tests/run` has installed it: set
//! QUOTEGATE_TEST_PYTHON to its folder, target/tools).

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod frames;
mod msgpack;
mod server;
mod tenant;

use std::hint::black_box;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use frames::Frames;
use quotegate_document::TenantId;
use quotegate_feed::{Encoding, Feed, FeedStatus, system_clock};
use quotegate_pace::Rate;
use quotegate_pipeline::router::{Router, Wanted};
use quotegate_pipeline::tenant::TenantStatus;
use quotegate_plugin::{
    Collections, EngineSettings, OnError, PluginChain, PluginEngine, PluginLimits, PluginSpec, PreparedPlugin,
};
use rustix::time::{ClockId, clock_gettime};
use server::Server;
use tenant::{Setup, Tenant, tenant};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATIONS: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

struct Measured {
    quotes_a_second: f64,
    allocations_a_thousand_quotes: f64,
}

fn main() {
    let seconds = seconds();
    println!("the whole way of a quote on one core; {seconds} s a row; processor time of the reading thread\n");
    println!(
        "| encoding | quotes a frame | million quotes/s | ns a quote | allocations per 1000 quotes | × serde_json parse only |"
    );
    println!("|---|---|---|---|---|---|");
    let mut best = [0.0, 0.0];
    for quotes in [1, 16, 64, 512] {
        let baseline = serde_json_only(&Frames::json(quotes), seconds);
        for (at, encoding) in [Encoding::Json, Encoding::MessagePack].into_iter().enumerate() {
            let measured = median(|| ingest(encoding, quotes, seconds, None));
            best[at] = f64::max(best[at], measured.quotes_a_second);
            println!(
                "| {} | {quotes} | {:.2} | {:.0} | {:.1} | {:.1} |",
                if at == 0 { "JSON" } else { "MessagePack" },
                measured.quotes_a_second / 1e6,
                1e9 / measured.quotes_a_second,
                measured.allocations_a_thousand_quotes,
                measured.quotes_a_second / baseline,
            );
        }
    }
    with_filter(seconds);
    match alpaca_py(seconds) {
        Some(theirs) => println!(
            "\nalpaca-py, MessagePack, 64 quotes a frame: {theirs:.0} quotes/s; we are {:.0} times as fast",
            best[1] / theirs
        ),
        None => println!("\nalpaca-py: not measured, QUOTEGATE_TEST_PYTHON is not set"),
    }
}

/// The cost of the standard filter with two rules that refuse few quotes. Runs in pairs, without it and with it, so that
/// other load on the machine affects both.
fn with_filter(seconds: f64) {
    const QUOTES: usize = 64;
    let settings = EngineSettings { instances: 4, ..EngineSettings::default() };
    let engine = PluginEngine::new(&settings).unwrap();
    let bytes = include_bytes!("../../plugins/components/quote-filter.wasm");
    let plugin = PreparedPlugin::new(&engine, "quote-filter", bytes, None).unwrap();
    let spec = || PluginSpec {
        plugin: plugin.clone(),
        config: r#"{"max_spread_bps": 500, "min_price": 1}"#.into(),
        limits: PluginLimits { share_of_time: 1.0, ..PluginLimits::default() },
        on_error: OnError::Drop,
        chain: false,
        collections: Collections::new("live_quotes", &[]).unwrap(),
    };
    let chain = || PluginChain::start(TenantId::new("bench").unwrap(), vec![spec()]).unwrap();
    let mut pairs: Vec<_> = (0..5)
        .map(|_| {
            let without = ingest(Encoding::MessagePack, QUOTES, seconds, None).quotes_a_second;
            let with = ingest(Encoding::MessagePack, QUOTES, seconds, Some(chain())).quotes_a_second;
            (with / without, without, with)
        })
        .collect();
    pairs.sort_by(|left, right| left.0.total_cmp(&right.0));
    let (ratio, without, with) = pairs[2];
    println!(
        "\nwith the standard filter (two rules), MessagePack, {QUOTES} quotes a frame: {:.2} of {:.2} million quotes/s, {:.0}% \
         (median of 5 pairs; {:.0}% to {:.0}%)",
        with / 1e6,
        without / 1e6,
        100.0 * ratio,
        100.0 * pairs[0].0,
        100.0 * pairs[4].0,
    );
}

fn seconds() -> f64 {
    let mut args = std::env::args().skip_while(|arg| arg != "--seconds").skip(1);
    args.next().and_then(|seconds| seconds.parse().ok()).unwrap_or(2.0)
}

fn median(mut run: impl FnMut() -> Measured) -> Measured {
    let mut runs: Vec<_> = (0..3).map(|_| run()).collect();
    runs.sort_by(|left, right| left.quotes_a_second.total_cmp(&right.quotes_a_second));
    runs.swap_remove(1)
}

/// Runs feed, router and a tenant on this thread while another one sends.
fn ingest(encoding: Encoding, quotes: usize, seconds: f64, chain: Option<PluginChain>) -> Measured {
    let frames = if encoding == Encoding::Json { Frames::json(quotes) } else { Frames::msgpack(quotes) };
    let server = Server::start(frames);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let status = Arc::new(TenantStatus::default());
        let (mut router, _deadline) = start_tenant(&status, &stop, chain);
        let (_subscription, subscribed) = watch::channel(Arc::new(router.subscription()));
        let measure = async {
            // After the handshake and the first growth of every buffer.
            wait_for(|| status.snapshot().counters.quotes > 100_000).await;
            let before = (status.snapshot().counters.quotes, thread_time(), ALLOCATIONS.stats().allocations);
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            let after = (status.snapshot().counters.quotes, thread_time(), ALLOCATIONS.stats().allocations);
            stop.cancel();
            let done = (after.0 - before.0) as f64;
            Measured {
                quotes_a_second: done / (after.1 - before.1).as_secs_f64(),
                allocations_a_thousand_quotes: 1000.0 * (after.2 - before.2) as f64 / done,
            }
        };
        let feed_status = Arc::new(FeedStatus::default());
        let settings = server.feed_settings(encoding);
        let feed = Feed {
            settings,
            subscription: subscribed,
            status: feed_status,
            clock: system_clock(),
            tap: None,
            snapshots: None,
            stop: stop.clone(),
        };
        let (measured, ended) = tokio::join!(measure, feed.run(&mut router));
        ended.expect("the feed runs until it is told to stop");
        measured
    })
}

/// Starts a tenant that wants every symbol and whose writes are answered at once.
fn start_tenant(
    status: &Arc<TenantStatus>,
    stop: &CancellationToken,
    chain: Option<PluginChain>,
) -> (Router, watch::Sender<Option<Instant>>) {
    let (writes, mut received) = mpsc::channel::<quotegate_sink::DocumentWrite>(100);
    tokio::spawn(async move {
        while let Some(write) = received.recv().await {
            write.answer(quotegate_sink::Outcome::Written);
        }
    });
    let budget = Rate::new(20.0, 40).unwrap();
    let setup = Setup { wanted: Wanted::All, budget, chain, writes, status: status.clone(), counts_latencies: true };
    let Tenant { router, task, deadline } = tenant(setup, stop);
    tokio::spawn(task.run());
    (router, deadline)
}

async fn wait_for(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(60), "no quotes arrive");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The speed of a loop that only parses the frames into typed, borrowing structs.
fn serde_json_only(frames: &Frames, seconds: f64) -> f64 {
    let began = thread_time();
    let (mut quotes, mut at) = (0, 0);
    while (thread_time() - began).as_secs_f64() < seconds {
        for _ in 0..100 {
            let parsed = frames::parse_with_serde_json(&frames.payloads[at]);
            quotes += black_box(parsed).len();
            at = (at + 1) % frames.payloads.len();
        }
    }
    quotes as f64 / (thread_time() - began).as_secs_f64()
}

fn alpaca_py(seconds: f64) -> Option<f64> {
    let python = PathBuf::from(std::env::var_os("QUOTEGATE_TEST_PYTHON")?).join("alpaca_py/bin/python");
    let server = Server::start(Frames::msgpack(64));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/alpaca_py/throughput.py");
    let output = Command::new(python)
        .args([script, "--url", &server.url(), "--seconds", &(seconds * 3.0).to_string()])
        .stderr(Stdio::inherit())
        .output()
        .ok()?;
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    result["quotes_a_second"].as_f64()
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

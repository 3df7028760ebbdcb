//! What a relay would carry: the batches that a reader would have published of a recording.

use std::sync::Arc;

use quotegate_config::{RelaySettings, Settings, TenantSettings};
use quotegate_feed::{FeedStatus, Replay, ReplaySpeed};
use quotegate_lease::shard_of;
use quotegate_market::{QuoteColumns, QuoteReceiver, SymbolTable};
use quotegate_recording::{Recording, RecordingError};
use quotegate_relay::{WireBytes, WireSize};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::host::source::ReplayFrame;
use crate::host::wiring;

/// Bytes per second on the wire, in the mean of the recording.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct WireRate {
    /// Not compressed.
    pub raw: f64,
    /// Compressed with zstd.
    pub zstd: f64,
}

/// A relay between a reader and workers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RelayEstimate {
    /// The number of workers.
    pub workers: u16,
    /// Quotes per second that the reader publishes.
    pub quotes_per_second: f64,
    /// What the reader sends to the broker.
    pub published: WireRate,
    /// What the broker sends to all workers together.
    pub delivered: WireRate,
    /// What the worker with the most gets.
    pub busiest_worker: WireRate,
}

/// Plays a recording with the symbols of all tenants through the batches of a relay to this many workers, of which each has
/// as many shards as the others.
pub async fn relay_traffic(
    settings: &Settings,
    workers: u16,
    recording: Recording,
    seconds: f64,
) -> anyhow::Result<RelayEstimate> {
    let mut counting = Counting(WireSize::new(settings.feed.name));
    let replay =
        Replay { speed: ReplaySpeed::Unpaced, status: Arc::new(FeedStatus::default()), stop: CancellationToken::new() };
    let frames = recording.map(|frame| Ok::<_, RecordingError>(ReplayFrame(frame?)));
    replay.run(frames, &mut counting).await?;
    let mut size = counting.0;
    let published = size.received(&wiring::subscription(&settings.tenants));
    let shards = settings.relay.as_ref().map_or(RelaySettings::DEFAULT_SHARDS, |relay| relay.shards);
    let mut each = |worker: u16| {
        let is_here = |tenant: &&TenantSettings| shard_of(tenant.id.as_str(), shards) % workers == worker;
        size.received(&wiring::subscription(settings.tenants.iter().filter(is_here)))
    };
    let received: Vec<WireBytes> = (0..workers).map(&mut each).collect();
    let mut delivered = WireBytes::default();
    received.iter().for_each(|bytes| delivered += *bytes);
    let busiest = received.into_iter().max_by_key(|bytes| bytes.raw).unwrap_or_default();
    let rate = |bytes: WireBytes| WireRate { raw: bytes.raw as f64 / seconds, zstd: bytes.zstd as f64 / seconds };
    Ok(RelayEstimate {
        workers,
        quotes_per_second: size.quotes() as f64 / seconds,
        published: rate(published),
        delivered: rate(delivered),
        busiest_worker: rate(busiest),
    })
}

struct Counting(WireSize);

impl QuoteReceiver for Counting {
    fn receive(&mut self, quotes: &QuoteColumns, symbols: &SymbolTable) {
        self.0.add(quotes, symbols);
    }
}

//! What the settings mean to each room. Settings are checked already; what can still fail here is the outside world.

use std::sync::Arc;

use anyhow::Context;
use quotegate_config::{Settings, SinkKind, SinkSettings, SymbolChoice, TenantSettings, WriteMode};
use quotegate_pace::{Backoff, Rate};
use quotegate_sink::{BatcherSettings, DryRunSink, FirestoreSettings, FirestoreSink, Heartbeats, Sink, SinkStatus};

use crate::router::Wanted;
use crate::tenant::TenantPlan;

pub(super) fn is_dry_run(settings: &Settings) -> bool {
    settings.sink.kind == SinkKind::DryRun
}

pub(super) async fn sink(settings: &SinkSettings, status: &Arc<SinkStatus>) -> anyhow::Result<Arc<dyn Sink>> {
    if settings.kind == SinkKind::DryRun {
        return Ok(Arc::new(DryRunSink::new()));
    }
    let firestore = FirestoreSettings {
        project_id: settings.project_id.clone(),
        database_id: settings.database_id.clone(),
        emulator_host: settings.emulator_host.clone(),
        credentials_file: settings.credentials_file.clone(),
        request_timeout: settings.request_timeout,
        mode: match settings.mode {
            WriteMode::Merge => quotegate_sink::WriteMode::Merge,
            WriteMode::Replace => quotegate_sink::WriteMode::Replace,
        },
    };
    let sink = FirestoreSink::connect(firestore, status.clone()).await?;
    Ok(Arc::new(sink))
}

/// Room for documents between tenants and batches: one batch beyond those in flight. More would let documents age.
pub(super) fn sink_room(settings: &SinkSettings) -> usize {
    settings.batch_size as usize
}

pub(super) fn batcher(settings: &Settings) -> BatcherSettings {
    BatcherSettings {
        batch_size: settings.sink.batch_size as usize,
        max_in_flight: settings.sink.max_in_flight as usize,
        flush_interval: settings.pace.flush_interval,
        request_timeout: settings.sink.request_timeout,
        ramp: settings.sink.ramp,
    }
}

pub(super) fn heartbeats(sink: Arc<dyn Sink>, settings: &SinkSettings) -> Heartbeats {
    Heartbeats::new(sink, settings.batch_size as usize, settings.request_timeout)
}

pub(super) fn rate(per_second: f64, burst: u32) -> anyhow::Result<Rate> {
    Rate::new(per_second, burst).context("pace.writes_per_second and pace.burst")
}

pub(super) fn wanted(symbols: &SymbolChoice) -> Wanted {
    match symbols {
        SymbolChoice::All => Wanted::All,
        SymbolChoice::List(symbols) => Wanted::Symbols(symbols.clone()),
    }
}

pub(super) fn tenant(settings: &TenantSettings, sink: &SinkSettings) -> anyhow::Result<TenantPlan> {
    Ok(TenantPlan {
        id: settings.id.clone(),
        per_symbol_min_interval: settings.per_symbol_min_interval,
        rate: settings.rate.map(|own| rate(own.per_second, own.burst)).transpose()?,
        collection: settings.collection.clone().into(),
        retry: Backoff::new(sink.retry_base, sink.retry_max).context("sink.retry_base_ms and sink.retry_max_s")?,
    })
}

/// A name for this host: Cloud Run's revision where there is one, and a random part that tells two hosts apart.
pub(super) fn instance() -> String {
    let name = std::env::var("K_REVISION").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_else(|_| "quotegate".into());
    format!("{name}-{:08x}", fastrand::u32(..))
}

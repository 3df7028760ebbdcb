//! Translates settings for each part of the host. They are checked already; only the outside world can still fail here.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;

use anyhow::Context;
use quotegate_config::{
    Calendar, Credentials, RelayAuth, RelayCompression, Role, Settings, SimSymbols, SinkKind, SinkSettings, Source,
    SymbolChoice, TenantSettings,
};
use quotegate_document::{FieldPath, RootMirror};
use quotegate_feed::{
    FeedSettings, HOST, ReconnectBackoff, RootCerts, SnapshotSettings, feed_calendar, feed_url, rest_url,
};
use quotegate_lease::InstanceRole;
use quotegate_market::{FeedName, Subscription};
use quotegate_pace::{Backoff, Rate};
use quotegate_pipeline::router::Wanted;
use quotegate_pipeline::tenant::TenantSpec;
use quotegate_plugin::PluginThreads;
use quotegate_relay::{Authentication, ClientCertificate, Compression};
use quotegate_sim::{SimSettings, Universe};
use quotegate_sink::{BatcherSettings, DryRunSink, FenceSettings, FirestoreSettings, FirestoreSink, Heartbeats, Sink};
use secrecy::{ExposeSecret, SecretString};

use crate::text::counted;

/// True if nothing is written.
pub fn is_dry_run(settings: &Settings) -> bool {
    settings.sink.kind == SinkKind::DryRun
}

/// True if a lease decides whether this host reads the feed, and without a relay, whether it writes.
pub fn has_lease(settings: &Settings) -> bool {
    let is_shared = settings.lease.enabled || settings.relay.is_some();
    is_shared && !is_dry_run(settings) && !matches!(settings.source, Source::Replay(_) | Source::Relay { .. })
}

/// This host's part of the work, if a relay divides it.
pub(crate) fn role(settings: &Settings) -> InstanceRole {
    match settings.run.role {
        Role::All => InstanceRole::All,
        Role::Reader => InstanceRole::Reader,
        Role::Worker => InstanceRole::Worker,
    }
}

/// True if this host runs tenants.
pub(crate) fn works(settings: &Settings) -> bool {
    settings.relay.is_none() || settings.run.role != Role::Reader
}

/// How to reach the broker.
pub(crate) fn relay(
    settings: &quotegate_config::RelaySettings,
    feed: FeedName,
    instance: &str,
) -> quotegate_relay::RelaySettings {
    quotegate_relay::RelaySettings {
        authentication: match &settings.auth {
            None => Authentication::None,
            Some(RelayAuth::CredentialsFile(file)) => Authentication::CredentialsFile(file.clone()),
            Some(RelayAuth::Token(token)) => Authentication::Token(token.clone()),
            Some(RelayAuth::Nkey(seed)) => Authentication::Nkey(seed.clone()),
        },
        ca_file: settings.ca_file.clone(),
        client_certificate: settings
            .certificate
            .clone()
            .map(|[certificate, key]| ClientCertificate { certificate, key }),
        name: instance.to_owned(),
        compression: match settings.compression {
            RelayCompression::None => Compression::None,
            RelayCompression::Zstd => Compression::Zstd,
        },
        ..quotegate_relay::RelaySettings::new(settings.url.clone(), feed)
    }
}

/// Where the embedded simulator listens. Any free port will do, because only this process connects to it.
pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How to connect to Alpaca.
pub(crate) fn feed(
    settings: &quotegate_config::FeedSettings,
    credentials: &Credentials,
) -> anyhow::Result<FeedSettings> {
    let url = settings.url.clone().unwrap_or_else(|| feed_url(settings.name, HOST));
    let credentials = quotegate_feed::Credentials {
        key_id: credentials.key_id.expose_secret().to_owned(),
        secret_key: credentials.secret_key.clone(),
        by: settings.auth_by,
    };
    connection(settings, url, credentials, calendar(settings.calendar, settings.name))
}

/// How to connect to the embedded simulator, which accepts any key and is always open.
pub(crate) fn simulated_feed(settings: &quotegate_config::FeedSettings, url: String) -> anyhow::Result<FeedSettings> {
    let credentials = quotegate_feed::Credentials {
        key_id: "simulated".to_owned(),
        secret_key: SecretString::from("simulated"),
        by: quotegate_feed::AuthBy::Message,
    };
    connection(settings, url, credentials, quotegate_feed::Calendar::Always)
}

/// How to ask for the latest quotes over REST, if the settings say so.
pub(crate) fn snapshots(
    settings: &quotegate_config::FeedSettings,
    feed: &FeedSettings,
) -> anyhow::Result<Option<SnapshotSettings>> {
    if !settings.snapshot {
        return Ok(None);
    }
    let url = settings.rest_url.clone().unwrap_or_else(|| rest_url(&feed.url));
    let snapshots = SnapshotSettings::new(url, settings.name, feed.credentials.clone(), feed.root_certs.clone())?;
    Ok(Some(snapshots))
}

fn connection(
    settings: &quotegate_config::FeedSettings,
    url: String,
    credentials: quotegate_feed::Credentials,
    calendar: quotegate_feed::Calendar,
) -> anyhow::Result<FeedSettings> {
    let defaults = FeedSettings::new(url, credentials)?;
    let feed = FeedSettings {
        root_certs: match &settings.ca_file {
            Some(file) => RootCerts::public_and(file)?,
            None => defaults.root_certs.clone(),
        },
        encoding: settings.encoding,
        backoff: ReconnectBackoff::new(settings.reconnect_backoff_base, settings.reconnect_backoff_max)?,
        ping_interval: settings.ping_interval,
        pong_timeout: settings.pong_timeout,
        stale_after: settings.stale_after,
        calendar,
        step_timeout: settings.handshake_timeout,
        subscribe_chunk: settings.subscribe_chunk as usize,
        ..defaults
    };
    feed.check()?;
    Ok(feed)
}

pub(crate) fn calendar(choice: Calendar, name: FeedName) -> quotegate_feed::Calendar {
    match choice {
        Calendar::Auto => feed_calendar(name),
        Calendar::UsEquities => quotegate_feed::Calendar::UsEquities { extended_hours: false },
        Calendar::Always => quotegate_feed::Calendar::Always,
    }
}

/// The symbols and rates of the embedded simulator.
pub(crate) fn simulator(settings: &quotegate_config::SimSettings) -> SimSettings {
    SimSettings {
        universe: match &settings.symbols {
            SimSymbols::Count(count) => Universe::Count(*count),
            SimSymbols::List(symbols) => Universe::List(symbols.clone()),
        },
        any_symbol: true,
        rate: settings.rate.map_or(quotegate_sim::Rate::Max, quotegate_sim::Rate::PerSecond),
        seed: settings.seed,
        ..SimSettings::default()
    }
}

/// Where documents go, and where the document that pauses writing is read. A dry run does not read it.
pub(crate) async fn sink(settings: &SinkSettings) -> anyhow::Result<(Arc<dyn Sink>, Option<Arc<FirestoreSink>>)> {
    if settings.kind == SinkKind::DryRun {
        return Ok((Arc::new(DryRunSink::new()), None));
    }
    let sink = Arc::new(FirestoreSink::connect(firestore(settings)).await?);
    Ok((sink.clone(), Some(sink)))
}

pub(crate) fn firestore(settings: &SinkSettings) -> FirestoreSettings {
    FirestoreSettings {
        project_id: settings.project_id.clone(),
        database_id: settings.database_id.clone(),
        emulator_host: settings.emulator_host.clone(),
        credentials_file: settings.credentials_file.clone(),
        request_timeout: settings.request_timeout,
        mode: settings.mode,
    }
}

/// What is lost without the fence.
pub const WITHOUT_FENCE: &str = "sink.fence is off: a second host, a host that was frozen, or a request that Firestore \
     applies late can put an older quote over a newer one, and nothing counts it";

/// How writes to Firestore are fenced; `None` if they are not.
pub(crate) fn fence(settings: &SinkSettings) -> anyhow::Result<Option<FenceSettings>> {
    if settings.kind == SinkKind::DryRun || !settings.fence {
        return Ok(None);
    }
    Ok(Some(FenceSettings { order_field: order_field(settings)?, ..FenceSettings::default() }))
}

/// The field that the host adds to documents of maps. In a dry run too, which shows what would be written.
fn order_field(settings: &SinkSettings) -> anyhow::Result<Option<FieldPath>> {
    let is_added = settings.fence && !settings.order_field.is_empty();
    let path = is_added.then(|| FieldPath::new(settings.order_field.clone()));
    path.transpose().context("sink.order_field")
}

/// Where others can reach this host's page.
pub(crate) fn page_address(settings: &Settings) -> Option<String> {
    let own = || {
        let (address, port) = (settings.ops.address, settings.ops.port?);
        let is_own = !address.is_loopback() && !address.is_unspecified();
        is_own.then(|| SocketAddr::new(address, port).to_string())
    };
    settings.lease.address.clone().or_else(own)
}

/// How many documents may wait between tenants and batches: one batch beyond those in flight. More would let documents
/// age.
pub(crate) fn sink_capacity(settings: &SinkSettings) -> usize {
    settings.batch_size as usize
}

pub(crate) fn batcher(settings: &Settings, limit: Rate) -> BatcherSettings {
    BatcherSettings {
        limit: Some(limit),
        batch_size: settings.sink.batch_size as usize,
        max_in_flight: settings.sink.max_in_flight as usize,
        flush_interval: settings.pace.flush_interval,
        request_timeout: settings.sink.request_timeout,
        ramp: settings.sink.ramp,
    }
}

pub(crate) fn heartbeats(sink: Arc<dyn Sink>, settings: &SinkSettings) -> Heartbeats {
    Heartbeats::new(sink, settings.batch_size as usize, settings.request_timeout)
}

pub(crate) fn rate(per_second: f64, burst: u32) -> anyhow::Result<Rate> {
    Rate::new(per_second, burst).context("pace.writes_per_second and pace.burst")
}

pub(crate) fn wanted(symbols: &SymbolChoice) -> Wanted {
    match symbols {
        SymbolChoice::All => Wanted::All,
        SymbolChoice::List(symbols) => Wanted::Symbols(symbols.iter().cloned().collect()),
    }
}

/// The symbols that at least one of these tenants wants.
pub fn subscription<'a>(tenants: impl IntoIterator<Item = &'a TenantSettings>) -> Subscription {
    let wants: Vec<Wanted> = tenants.into_iter().map(|tenant| wanted(&tenant.symbols)).collect();
    Wanted::union(&wants)
}

pub(crate) fn tenant(settings: &TenantSettings, sink: &SinkSettings, feed: FeedName) -> anyhow::Result<TenantSpec> {
    Ok(TenantSpec {
        id: settings.id.clone(),
        per_symbol_min_interval: settings.per_symbol_min_interval,
        rate: settings.rate.map(|own| rate(own.per_second, own.burst)).transpose()?,
        destinations: settings.collections.clone(),
        // The settings name one tenant, so no two can have it.
        mirror: (sink.root_mirror.as_ref() == Some(&settings.id)).then(RootMirror::new),
        asset_class: feed.asset_class(),
        order_field: order_field(sink)?,
        retry: Backoff::new(sink.retry_base, sink.retry_max).context("sink.retry_base_ms and sink.retry_max_s")?,
    })
}

/// The threads of the tenants, which their plugins may block.
pub(crate) fn threads(settings: &Settings) -> anyhow::Result<PluginThreads> {
    let wanted = settings.plugins.threads.and_then(|count| NonZeroUsize::new(count as usize));
    let count = wanted.unwrap_or_else(PluginThreads::default_count);
    PluginThreads::start_with(count, settings.run.wake_delay, &tokio::runtime::Handle::current()).with_context(|| {
        format!("could not start {} for tenants; lower plugins.threads", counted(count.get(), "thread"))
    })
}

/// A name for this host: Cloud Run's revision or the host name, and a random part that distinguishes instances.
pub(crate) fn instance() -> String {
    let name =
        std::env::var("K_REVISION").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_else(|_| "quotegate".into());
    format!("{name}-{:08x}", fastrand::u32(..))
}

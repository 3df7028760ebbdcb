//! How many documents the settings allow per day, how many are likely according to a recording, and what they cost.
//!
//! Pure arithmetic, but for [`relay_traffic`]. [`crate::simulation`] plays the recording.

mod relay;
#[cfg(test)]
mod tests;

pub use relay::{RelayEstimate, WireRate, relay_traffic};

use quotegate_config::{PluginCode, PluginSettings, Settings, SymbolChoice, TenantSettings};
use quotegate_document::Destination;
use quotegate_lease::Timing;
use serde::Serialize;

use quotegate_pipeline::simulation::SimulationReport;

/// The regular session of the US stock exchanges, 9:30 to 16:00.
const SESSION: f64 = 6.5 * 3600.0;
const DAY: f64 = 24.0 * 3600.0;
/// Recordings with fewer seconds than this are too short to estimate a day from.
pub const MIN_SECONDS: f64 = 1.0;

/// Writes per day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Writes {
    /// If quotes arrive only in the regular session.
    pub session: u64,
    /// If quotes arrive day and night.
    pub day: u64,
}

/// The limit that a tenant reaches first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitedBy {
    /// Each of its symbols is written once per interval.
    Symbols,
    /// Its own `writes_per_second`.
    OwnRate,
    /// `pace.writes_per_second`, if no other tenant used it.
    GlobalRate,
}

/// The estimate of one tenant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TenantEstimate {
    /// The tenant's id.
    pub id: String,
    /// `None`: every symbol.
    pub symbols: Option<usize>,
    /// Between two writes of one symbol.
    pub interval_seconds: f64,
    /// The most documents that one quote may become, over all its collections and the mirror.
    pub documents_per_quote: u32,
    /// Documents that the fence reads after each start, the heartbeat included: one for each document that the tenant has.
    /// `None` if their number is not known, because it has every symbol.
    pub start_reads: Option<u64>,
    /// The most that intervals and rates allow.
    pub highest: Writes,
    /// The limit that it reaches first.
    pub limited_by: LimitedBy,
    /// Writes in the recording.
    pub recorded: Option<u64>,
    /// The recording's rate, for a whole day.
    pub likely: Option<Writes>,
}

/// The estimate of all tenants.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Goes up when a field is removed or changes its meaning.
    pub schema: u32,
    /// Each tenant, in the order of the settings.
    pub tenants: Vec<TenantEstimate>,
    /// The limit of all tenants.
    pub global_writes_per_second: f64,
    /// All tenants' quotes together, within the global limit.
    pub highest_quotes: Writes,
    /// The same at the recording's rate.
    pub likely_quotes: Option<Writes>,
    /// Heartbeats of all tenants.
    pub heartbeats: u64,
    /// Renewals of the lease, if it is enabled or workers need it.
    pub lease_renewals: u64,
    /// Renewals of the workers' own leases.
    pub worker_renewals: u64,
    /// Reports of each host that shares the lease.
    pub reports_per_host: u64,
    /// Quotes, heartbeats and renewals.
    pub highest: Writes,
    /// The same at the recording's rate.
    pub likely: Option<Writes>,
    /// Reads of the document that pauses writing. They have their own price.
    pub control_reads: u64,
    /// Documents that the fence reads after each start or takeover, of the tenants for which their number is known.
    /// Everyone else's change of a document costs one more.
    pub start_reads: u64,
    /// The length of the recording.
    pub recorded_seconds: Option<f64>,
    /// What a relay would carry, with workers and a recording.
    pub relay: Option<RelayEstimate>,
}

impl Writes {
    fn at(per_second: f64) -> Self {
        // Rounded up, because this is an upper bound, but not because of a rounding error.
        let whole = |seconds: f64| (per_second * seconds - 1e-6).ceil().max(0.0) as u64;
        Self { session: whole(SESSION), day: whole(DAY) }
    }

    fn plus(self, other: u64) -> Self {
        Self { session: self.session + other, day: self.day + other }
    }

    fn at_most(self, limit: Self) -> Self {
        Self { session: self.session.min(limit.session), day: self.day.min(limit.day) }
    }

    fn sum(all: impl Iterator<Item = Self>) -> Self {
        all.fold(Self { session: 0, day: 0 }, |sum, writes| Self {
            session: sum.session.saturating_add(writes.session),
            day: sum.day.saturating_add(writes.day),
        })
    }

    /// The cost of both numbers, if 100,000 writes cost `price`.
    pub fn cost(self, price: f64) -> [f64; 2] {
        [self.session, self.day].map(|writes| writes as f64 / 100_000.0 * price)
    }
}

/// Estimates from the settings, and from the simulation of a recording if there is one. `workers`: how many hosts share the
/// tenants, if they do.
pub fn estimate(settings: &Settings, report: Option<&SimulationReport>, workers: Option<u16>) -> Estimate {
    let global = settings.pace.writes_per_second;
    let tenants: Vec<TenantEstimate> = (0..settings.tenants.len()).map(|at| of_tenant(settings, at, report)).collect();
    let limit = Writes::at(global);
    let highest_quotes = Writes::sum(tenants.iter().map(|tenant| tenant.highest)).at_most(limit);
    let likely_quotes = report.map(|_| Writes::sum(tenants.iter().filter_map(|tenant| tenant.likely)).at_most(limit));
    let beats = per_day(settings.heartbeat.interval.as_secs_f64());
    let heartbeats = beats * settings.tenants.len() as u64;
    let renewals = per_day(Timing::new(settings.lease.ttl).renew_every().as_secs_f64());
    let is_shared = settings.lease.enabled || workers.is_some();
    let lease_renewals = if is_shared { renewals } else { 0 };
    let worker_renewals = u64::from(workers.unwrap_or(0)) * renewals;
    let others = heartbeats + lease_renewals + worker_renewals;
    Estimate {
        schema: 1,
        start_reads: tenants.iter().filter_map(|tenant| tenant.start_reads).sum(),
        tenants,
        global_writes_per_second: global,
        highest_quotes,
        likely_quotes,
        heartbeats,
        lease_renewals,
        worker_renewals,
        reports_per_host: if is_shared { beats } else { 0 },
        highest: highest_quotes.plus(others),
        likely: likely_quotes.map(|quotes| quotes.plus(others)),
        control_reads: settings.run.control_interval.map_or(0, |interval| per_day(interval.as_secs_f64())),
        recorded_seconds: report.map(|report| report.seconds),
        relay: None,
    }
}

fn of_tenant(settings: &Settings, at: usize, report: Option<&SimulationReport>) -> TenantEstimate {
    let (tenant, global) = (&settings.tenants[at], settings.pace.writes_per_second);
    let symbols = match &tenant.symbols {
        SymbolChoice::All => None,
        SymbolChoice::List(symbols) => Some(symbols.len()),
    };
    let interval = tenant.per_symbol_min_interval.as_secs_f64();
    let documents_per_quote = documents_per_quote(tenant, settings.sink.root_mirror.as_ref() == Some(&tenant.id));
    let mut limits = vec![(global, LimitedBy::GlobalRate)];
    limits.extend(tenant.rate.map(|rate| (rate.per_second, LimitedBy::OwnRate)));
    if let Some(symbols) = symbols.filter(|_| interval > 0.0) {
        limits.push((symbols as f64 * f64::from(documents_per_quote) / interval, LimitedBy::Symbols));
    }
    let narrowest = limits.into_iter().min_by(|left, right| left.0.total_cmp(&right.0));
    let (per_second, limited_by) = narrowest.unwrap_or((global, LimitedBy::GlobalRate));
    let highest = Writes::at(per_second);
    let recorded = report.and_then(|report| report.tenants.get(at).map(|tenant| tenant.writes));
    let likely = recorded.zip(report).map(|(writes, of)| {
        // A burst in a short recording may exceed what the limits allow in the long run.
        Writes::at(writes as f64 / of.seconds).at_most(highest)
    });
    TenantEstimate {
        id: tenant.id.as_str().to_owned(),
        symbols,
        interval_seconds: interval,
        documents_per_quote,
        start_reads: if settings.sink.fence { start_reads(symbols, documents_per_quote) } else { Some(0) },
        highest,
        limited_by,
        recorded,
        likely,
    }
}

fn start_reads(symbols: Option<usize>, documents_per_quote: u32) -> Option<u64> {
    Some(symbols? as u64 * u64::from(documents_per_quote) + 1)
}

/// One document for each collection, and for the mirror. Collections without a shape get what the plugins make: one
/// document of a standard plugin; any other plugin is only bounded by its limits.
fn documents_per_quote(tenant: &TenantSettings, is_mirrored: bool) -> u32 {
    let of = |plugin: &PluginSettings| match plugin.code {
        PluginCode::Standard(_) => 1,
        PluginCode::File(_) => u32::try_from(plugin.limits.documents_per_quote).unwrap_or(u32::MAX),
    };
    let mapped = tenant.plugins.iter().map(of).max().unwrap_or(1);
    let of_collection = |collection: &Destination| if collection.shape.is_some() { 1 } else { mapped };
    tenant.collections.iter().map(of_collection).fold(u32::from(is_mirrored), u32::saturating_add)
}

/// How often something that repeats at this interval happens per day.
fn per_day(interval_seconds: f64) -> u64 {
    (DAY / interval_seconds).ceil() as u64
}

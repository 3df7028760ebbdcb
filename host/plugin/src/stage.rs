use std::time::{Duration, Instant};

use fastrand::Rng;
use quotegate_document::{Document, TenantId};
use quotegate_market::{QuoteColumns, Symbol};

use crate::OnError;
use crate::bindings::{MapQuote, RawDocument};
use crate::degraded::Degraded;
use crate::documents::{Collections, KnownPaths, check};
use crate::escape::escape;
use crate::failure::PluginFailure;
use crate::health::HealthTracker;
use crate::instance::PluginInstance;
use crate::limits::PluginLimits;
use crate::prepare::PreparedPlugin;
use crate::snapshot::{PluginSnapshot, PluginState};
use crate::state::Reported;
use crate::time_share::{OverShare, SharedBucket, TimeShares};

/// One plugin of a tenant's chain, from the settings.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginSpec {
    /// The compiled component.
    pub plugin: PreparedPlugin,
    /// Its configuration, a JSON object.
    pub config: String,
    /// What it may use.
    pub limits: PluginLimits,
    /// What happens to quotes when it fails.
    pub on_error: OnError,
    /// For a map: pass its documents to the next map instead of writing them.
    pub chain: bool,
    /// The collections that it may write to.
    pub collections: Collections,
}

/// The longest that the first quarantine lasts, and the longest that any lasts.
const QUARANTINE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// A running plugin of a chain.
#[derive(Debug)]
pub(crate) struct Stage {
    tenant: TenantId,
    pub(crate) spec: PluginSpec,
    instance: Option<PluginInstance>,
    health: HealthTracker,
    time: TimeShares,
    /// What the host counts. [`Self::snapshot`] adds what is true at the moment.
    counted: PluginSnapshot,
    /// From past instances; the current one holds its own.
    reported: Reported,
    degraded: Degraded,
    rng: Rng,
    known_paths: KnownPaths,
    retired_fuel: u64,
}

impl Stage {
    /// Starts the first instance. The caller reports its failure.
    pub(crate) fn start(
        tenant: TenantId,
        spec: PluginSpec,
        tenant_time: SharedBucket,
        now: Instant,
    ) -> Result<Self, PluginFailure> {
        let health = HealthTracker::new(QUARANTINE.0, QUARANTINE.1)
            .map_err(|error| PluginFailure::Manifest(error.to_string()))?;
        let total = spec.plugin.inner.engine.inner.time.clone();
        let time = TimeShares::new(spec.limits.share_of_time, tenant_time, total, now);
        let counted = PluginSnapshot {
            name: spec.plugin.name().to_owned(),
            sha256: spec.plugin.sha256().to_string(),
            interface: spec.plugin.version().into(),
            ..PluginSnapshot::default()
        };
        let mut stage = Self {
            tenant,
            spec,
            instance: None,
            health,
            time,
            counted,
            reported: Reported::default(),
            degraded: Degraded::new(now),
            rng: Rng::new(),
            known_paths: KnownPaths::default(),
            retired_fuel: 0,
        };
        stage.instance = Some(stage.new_instance()?);
        Ok(stage)
    }

    /// The verdicts, or `None` if the call failed or was skipped.
    pub(crate) fn filter(&mut self, now: Instant, quotes: &QuoteColumns, names: &[Symbol]) -> Option<Vec<u8>> {
        let verdicts = self.call(now, quotes.len(), |instance| instance.filter(quotes, names))?;
        self.count_verdicts(&verdicts);
        Some(verdicts)
    }

    fn count_verdicts(&mut self, verdicts: &[u8]) {
        if verdicts.iter().all(|&verdict| verdict == 0) {
            self.counted.quotes_kept += verdicts.len() as u64;
            return;
        }
        let mut by_code = [0_u64; 256];
        for &verdict in verdicts {
            by_code[usize::from(verdict)] += 1;
        }
        self.counted.quotes_kept += by_code[0];
        for (code, &count) in (0..=u8::MAX).zip(&by_code).skip(1).filter(|(_, count)| **count > 0) {
            let name = self.reason(code).map_or_else(|| code.to_string(), str::to_owned);
            *self.counted.quotes_refused.entry(name).or_default() += count;
        }
    }

    /// The lists, or `None` if the call failed or was skipped.
    pub(crate) fn map(&mut self, now: Instant, rows: &[MapQuote<'_>]) -> Option<Vec<Vec<RawDocument>>> {
        self.call(now, rows.len(), |instance| instance.map(rows))
    }

    /// Checks and counts what [`Self::map`] returned for one quote.
    pub(crate) fn check(&mut self, now: Instant, raw: Vec<RawDocument>, symbol: &Symbol) -> Option<Vec<Document>> {
        match check(raw, symbol, &self.spec.collections, &self.spec.limits, &mut self.known_paths) {
            Ok(documents) => {
                self.counted.documents += documents.len() as u64;
                Some(documents)
            }
            Err(error) => {
                self.counted.documents_refused += 1;
                self.lost_quotes(now, escape(&error.to_string()));
                None
            }
        }
    }

    /// The current instance's name for a reason.
    pub(crate) fn reason(&self, code: u8) -> Option<&str> {
        self.instance.as_ref().and_then(|instance| instance.reason(code))
    }

    pub(crate) fn make_repeatable(&mut self) {
        self.time.make_unlimited();
        self.rng = Rng::with_seed(0);
    }

    pub(crate) fn last_problem(&self) -> &str {
        self.counted.last_problem.as_deref().unwrap_or_default()
    }

    /// Records that quotes were lost although the instance is fine.
    fn lost_quotes(&mut self, now: Instant, error: String) {
        if self.degraded.record(now) {
            tracing::warn!(event_type = "plugin_trouble", tenant = %self.tenant, plugin = self.spec.plugin.name(), problem = error, "a plugin is losing quotes; logged at most once per minute");
        }
        self.counted.last_problem = Some(error);
    }

    fn call<T>(
        &mut self,
        now: Instant,
        quotes: usize,
        call: impl FnOnce(&mut PluginInstance) -> Result<T, PluginFailure>,
    ) -> Option<T> {
        self.degraded.advance(now);
        let exceeded = self.time.exceeded(now);
        if let Some(exceeded) = exceeded {
            self.lost_quotes(now, skipped(exceeded));
        }
        if exceeded.is_some() || !self.ensure_instance(now) {
            self.counted.calls_left_out += 1;
            return None;
        }
        let instance = self.instance.as_mut()?;
        let started = Instant::now();
        let result = call(instance);
        let took = started.elapsed();
        self.counted.calls += 1;
        self.counted.seconds += took.as_secs_f64();
        self.counted.longest_call_seconds = self.counted.longest_call_seconds.max(took.as_secs_f64());
        self.counted.quotes_seen += quotes as u64;
        self.counted.memory_peak_bytes = self.counted.memory_peak_bytes.max(instance.memory_peak());
        self.time.take(now, instance.processor_time(took));
        match result {
            Ok(value) => {
                self.health.succeeded(now);
                Some(value)
            }
            Err(failure) => {
                self.failed(now, &failure);
                None
            }
        }
    }

    /// Replaces or starts the instance if necessary. True if there is one that may be called.
    fn ensure_instance(&mut self, now: Instant) -> bool {
        if !self.health.may_call(now) {
            return false;
        }
        let used_up = |instance: &PluginInstance| {
            self.spec.limits.calls_per_instance.is_some_and(|most| instance.calls() >= most)
        };
        if self.instance.as_ref().is_some_and(used_up) {
            self.counted.instances_worn += 1;
            self.retire();
        }
        if self.instance.is_none() {
            let started = Instant::now();
            let instance = self.new_instance();
            let took = started.elapsed();
            self.counted.seconds += took.as_secs_f64();
            self.time.take(now, took);
            match instance {
                Ok(instance) => self.instance = Some(instance),
                Err(failure) => self.failed(now, &failure),
            }
        }
        self.instance.is_some()
    }

    fn new_instance(&mut self) -> Result<PluginInstance, PluginFailure> {
        self.counted.instances_started += 1;
        let PluginSpec { plugin, config, limits, .. } = &self.spec;
        PluginInstance::start_with(plugin, &self.tenant, config, limits, &mut self.reported)
    }

    fn failed(&mut self, now: Instant, failure: &PluginFailure) {
        self.retire();
        self.health.failed(now, &mut self.rng);
        *self.counted.failures.entry(failure.kind()).or_default() += 1;
        self.counted.last_problem = Some(failure.to_string());
        // Not rate-limited: the third failure leads to quarantine.
        tracing::warn!(event_type = "plugin_failed", tenant = %self.tenant, plugin = self.spec.plugin.name(), state = ?self.state(), problem = %failure, "a plugin failed; its instance is discarded");
    }

    /// Of the current and all past instances.
    pub(crate) fn fuel_used(&self) -> Option<u64> {
        let current = match &self.instance {
            Some(instance) => instance.fuel_used()?,
            None => 0,
        };
        Some(self.retired_fuel + current)
    }

    fn retire(&mut self) {
        if let Some(instance) = self.instance.take() {
            self.retired_fuel += instance.fuel_used().unwrap_or_default();
            self.reported = instance.into_reported();
        }
    }

    fn state(&self) -> PluginState {
        match self.health.state() {
            PluginState::Ready if self.degraded.is_recent() => PluginState::Degraded,
            state => state,
        }
    }

    pub(crate) fn snapshot(&self) -> PluginSnapshot {
        let reported = self.instance.as_ref().map_or(&self.reported, PluginInstance::reported);
        PluginSnapshot {
            state: self.state(),
            memory_bytes: self.instance.as_ref().map_or(0, PluginInstance::memory_bytes),
            log_lines: reported.log_lines,
            log_lines_dropped: reported.log_lines_dropped,
            metrics_refused: reported.refused_metrics,
            counts: reported.counts.clone(),
            gauges: reported.gauges.clone(),
            ..self.counted.clone()
        }
    }
}

/// Why a call is skipped, as a sentence.
fn skipped(exceeded: OverShare) -> String {
    let (what, key) = match exceeded {
        OverShare::Plugin(share) => {
            (format!("its calls take more than {:.0}% of a processor", share * 100.0), "limits.share_of_time")
        }
        OverShare::Tenant(share) => {
            (format!("the tenant's plugins take more than {:.0}% of a processor", share * 100.0), "share_of_time")
        }
        OverShare::Total => {
            ("all plugins together take more than their share of the processors".to_owned(), "plugins.share_of_time")
        }
    };
    format!("{what}, so calls are skipped; make it faster, or raise `{key}`")
}

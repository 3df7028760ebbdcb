use std::time::{Duration, Instant};

use fastrand::Rng;
use quotegate_document::{Document, TenantId};
use quotegate_market::{QuoteColumns, Symbol};

use crate::OnError;
use crate::bindings::RawDocument;
use crate::counters::{Counters, PluginSnapshot, PluginState};
use crate::documents::{Collections, KnownPaths, check};
use crate::failure::PluginFailure;
use crate::health::{Health, HealthRecord};
use crate::instance::{MapRow, PluginInstance};
use crate::limits::PluginLimits;
use crate::log_rate::escape;
use crate::prepare::PreparedPlugin;
use crate::share::TimeShare;
use crate::trouble::Trouble;

/// One plugin in a tenant's chain, as the settings name it.
#[derive(Debug, Clone)]
pub struct PluginSpec {
    /// Accepted and compiled.
    pub plugin: PreparedPlugin,
    /// Its `config` table, as a JSON object.
    pub config: String,
    /// What it may use.
    pub limits: PluginLimits,
    /// What becomes of quotes when it fails.
    pub on_error: OnError,
    /// For a map: whether its documents go on to the next map instead of being final.
    pub chain: bool,
    /// Where its documents may go.
    pub collections: Collections,
}

/// Quarantine lasts at most this long at first, and never longer than the second.
const QUARANTINE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// A plugin at work in a chain: its instance while it has one, its health, its counters.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) spec: PluginSpec,
    instance: Option<PluginInstance>,
    health: HealthRecord,
    share: TimeShare,
    counters: Counters,
    trouble: Trouble,
    rng: Rng,
    known_paths: KnownPaths,
    fuel_of_retired: u64,
}

impl Link {
    /// Starts the first instance, whose failure is the caller's to report.
    pub(crate) fn start(tenant: &TenantId, spec: PluginSpec, now: Instant) -> Result<Self, PluginFailure> {
        let health = HealthRecord::new(QUARANTINE.0, QUARANTINE.1)
            .map_err(|problem| PluginFailure::Manifest(problem.to_string()))?;
        let share = TimeShare::new(spec.limits.share_of_time, now);
        let mut link = Self {
            spec,
            instance: None,
            health,
            share,
            counters: Counters::default(),
            trouble: Trouble::new(now),
            rng: Rng::new(),
            known_paths: KnownPaths::default(),
            fuel_of_retired: 0,
        };
        link.instance = Some(link.new_instance(tenant)?);
        Ok(link)
    }

    /// The verdicts, or `None` when there are none: the call failed or was not made.
    pub(crate) fn filter(
        &mut self,
        tenant: &TenantId,
        now: Instant,
        quotes: &QuoteColumns,
        names: &[Symbol],
    ) -> Option<Vec<u8>> {
        let verdicts = self.call(tenant, now, quotes.len(), |instance| instance.filter(quotes, names))?;
        if let Some(instance) = &self.instance {
            self.counters.judged(&verdicts, instance);
        }
        Some(verdicts)
    }

    /// The lists, or `None` as above.
    pub(crate) fn map(
        &mut self,
        tenant: &TenantId,
        now: Instant,
        rows: &[MapRow<'_>],
    ) -> Option<Vec<Vec<RawDocument>>> {
        self.call(tenant, now, rows.len(), |instance| instance.map(rows))
    }

    /// Checks what [`Self::map`] gave for one quote, and counts it.
    pub(crate) fn check(
        &mut self,
        tenant: &TenantId,
        now: Instant,
        raw: Vec<RawDocument>,
        symbol: &Symbol,
    ) -> Option<Vec<Document>> {
        match check(raw, symbol, &self.spec.collections, &self.spec.limits, &mut self.known_paths) {
            Ok(documents) => {
                self.counters.documents += documents.len() as u64;
                Some(documents)
            }
            Err(problem) => {
                self.counters.documents_refused += 1;
                self.troubled(tenant, now, escape(&problem.to_string()));
                None
            }
        }
    }

    /// The name of a reason that the live instance gave.
    pub(crate) fn reason(&self, code: u8) -> Option<&str> {
        self.instance.as_ref().and_then(|instance| instance.reason(code))
    }

    pub(crate) fn make_repeatable(&mut self) {
        self.share = TimeShare::unlimited();
        self.rng = Rng::with_seed(0);
    }

    pub(crate) fn last_problem(&self) -> &str {
        self.counters.last_problem.as_deref().unwrap_or_default()
    }

    /// Notes what costs quotes but not the instance.
    fn troubled(&mut self, tenant: &TenantId, now: Instant, problem: String) {
        if self.trouble.happened(now) {
            tracing::warn!(event_type = "plugin_trouble", %tenant, plugin = self.spec.plugin.name(), problem, "quotes are lost to a plugin; the next line about it comes in a minute at the earliest");
        }
        self.counters.last_problem = Some(problem);
    }

    fn call<T>(
        &mut self,
        tenant: &TenantId,
        now: Instant,
        quotes: usize,
        call: impl FnOnce(&mut PluginInstance) -> Result<T, PluginFailure>,
    ) -> Option<T> {
        self.trouble.pass_time(now);
        let has_time = self.share.may_call(now);
        if !has_time {
            let limit = self.spec.limits.share_of_time;
            self.troubled(tenant, now, format!("its calls took more than {:.0}% of the last ten seconds, so calls are left out; make it faster, or raise `limits.share_of_time`", limit * 100.0));
        }
        if !has_time || !self.ensure_instance(tenant, now) {
            self.counters.calls_left_out += 1;
            return None;
        }
        let instance = self.instance.as_mut()?;
        let started = Instant::now();
        let answer = call(instance);
        let took = started.elapsed();
        self.counters.called(took);
        self.counters.quotes_seen += quotes as u64;
        self.counters.memory_peak = self.counters.memory_peak.max(instance.memory_peak());
        self.share.add(now, took);
        match answer {
            Ok(answer) => {
                self.health.succeeded(now);
                Some(answer)
            }
            Err(failure) => {
                self.failed(tenant, now, &failure);
                None
            }
        }
    }

    /// True once there is an instance that may be called.
    fn ensure_instance(&mut self, tenant: &TenantId, now: Instant) -> bool {
        if !self.health.may_call(now) {
            return false;
        }
        let worn = |instance: &PluginInstance| {
            self.spec.limits.calls_per_instance.is_some_and(|most| instance.calls() >= most)
        };
        if self.instance.as_ref().is_some_and(worn) {
            self.counters.instances_worn += 1;
            self.retire();
        }
        if self.instance.is_none() {
            let started = Instant::now();
            let instance = self.new_instance(tenant);
            let took = started.elapsed();
            self.counters.time += took;
            self.share.add(now, took);
            match instance {
                Ok(instance) => self.instance = Some(instance),
                Err(failure) => self.failed(tenant, now, &failure),
            }
        }
        self.instance.is_some()
    }

    fn new_instance(&mut self, tenant: &TenantId) -> Result<PluginInstance, PluginFailure> {
        self.counters.instances_started += 1;
        let PluginSpec { plugin, config, limits, .. } = &self.spec;
        PluginInstance::start_with(plugin, tenant, config, limits, &mut self.counters.reported)
    }

    fn failed(&mut self, tenant: &TenantId, now: Instant, failure: &PluginFailure) {
        self.retire();
        self.health.failed(now, &mut self.rng);
        *self.counters.failures.entry(failure.kind()).or_default() += 1;
        self.counters.last_problem = Some(failure.to_string());
        // At most three lines before a quarantine, so no flood.
        tracing::warn!(event_type = "plugin_failed", %tenant, plugin = self.spec.plugin.name(), state = ?self.state(), problem = %failure, "a plugin failed; its instance is thrown away");
    }

    /// Of the live instance and of those that are gone.
    pub(crate) fn fuel_used(&self) -> Option<u64> {
        let live = match &self.instance {
            Some(instance) => instance.fuel_used()?,
            None => 0,
        };
        Some(self.fuel_of_retired + live)
    }

    fn retire(&mut self) {
        if let Some(instance) = self.instance.take() {
            self.fuel_of_retired += instance.fuel_used().unwrap_or_default();
            self.counters.reported = instance.into_reported();
        }
    }

    fn state(&self) -> PluginState {
        match self.health.state() {
            Health::Ready if !self.trouble.is_recent() => PluginState::Ready,
            Health::Ready | Health::Degraded => PluginState::Degraded,
            Health::Quarantined { .. } => PluginState::Quarantined,
        }
    }

    pub(crate) fn snapshot(&self) -> PluginSnapshot {
        let counters = &self.counters;
        let reported = self.instance.as_ref().map_or(&counters.reported, PluginInstance::reported);
        PluginSnapshot {
            name: self.spec.plugin.name().to_owned(),
            sha256: self.spec.plugin.sha256().to_string(),
            interface: self.spec.plugin.version().into(),
            state: self.state(),
            last_problem: counters.last_problem.clone(),
            calls: counters.calls,
            calls_left_out: counters.calls_left_out,
            quotes_seen: counters.quotes_seen,
            quotes_kept: counters.quotes_kept,
            quotes_refused: counters.refused.clone(),
            documents: counters.documents,
            documents_refused: counters.documents_refused,
            seconds: counters.time.as_secs_f64(),
            longest_call_seconds: counters.longest_call.as_secs_f64(),
            memory_bytes: self.instance.as_ref().map_or(0, PluginInstance::memory_bytes),
            memory_peak_bytes: counters.memory_peak,
            failures: counters.failures.clone(),
            instances_started: counters.instances_started,
            instances_worn: counters.instances_worn,
            log_lines: reported.log_lines,
            log_lines_dropped: reported.log_lines_dropped,
            metrics_refused: reported.refused_metrics,
            counts: reported.counts.clone(),
            gauges: reported.gauges.clone(),
        }
    }
}

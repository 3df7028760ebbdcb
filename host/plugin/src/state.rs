use std::collections::BTreeMap;
use std::time::Instant;

use quotegate_pace::{Rate, TokenBucket};
use wasmtime::ResourceLimiter;

use crate::call_clock::CallClock;
use crate::escape::escape;
use crate::limits::PluginLimits;

/// The level of a guest's log line, in any version of the WIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// What a plugin has reported through host functions. Outlives its instances.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reported {
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) gauges: BTreeMap<String, f64>,
    pub(crate) log_lines: u64,
    pub(crate) log_lines_dropped: u64,
    /// Counters and gauges rejected for a bad name or value.
    pub(crate) refused_metrics: u64,
}

/// The data of a guest's store: its limits, what it uses, and what it reports through host functions.
#[derive(Debug)]
pub(crate) struct GuestState {
    /// For log lines.
    tenant: String,
    plugin: String,
    limits: PluginLimits,
    /// `None` if no log lines are allowed.
    log_rate: Option<TokenBucket>,
    pub(crate) reported: Reported,
    memory_bytes: Held,
    pub(crate) memory_peak: usize,
    table_elements: Held,
    /// More memory or table elements were refused during this call, which explains a trap that follows.
    pub(crate) refused_growth: bool,
    /// The last line of level error that the guest logged during this call. The SDKs log what a panic or an exception says,
    /// which the trap that follows does not.
    pub(crate) last_error: Option<String>,
    /// Of the current call.
    pub(crate) clock: CallClock,
    /// The current call was stopped because the host shuts down.
    pub(crate) stopped: bool,
}

/// What all memories or all tables hold together.
#[derive(Debug, Default)]
struct Held {
    total: usize,
    /// The last growth that was allowed; subtracted again if wasmtime then fails to grow.
    last_growth: usize,
}

impl Held {
    /// False if it would be more than `limit`.
    fn grow(&mut self, growth: usize, limit: usize) -> bool {
        let total = self.total.saturating_add(growth);
        let allowed = total <= limit;
        (self.total, self.last_growth) = if allowed { (total, growth) } else { (self.total, 0) };
        allowed
    }

    fn undo(&mut self) {
        self.total -= std::mem::take(&mut self.last_growth);
    }
}

/// The most names of counters, and the most of gauges. Each costs the host memory.
const MAX_METRICS: usize = 64;

impl GuestState {
    pub(crate) fn new(tenant: &str, plugin: &str, limits: &PluginLimits) -> Self {
        Self {
            tenant: tenant.into(),
            plugin: plugin.into(),
            limits: limits.clone(),
            log_rate: log_rate(limits.log_lines_per_second, Instant::now()),
            reported: Reported::default(),
            memory_bytes: Held::default(),
            memory_peak: 0,
            table_elements: Held::default(),
            refused_growth: false,
            last_error: None,
            clock: CallClock::default(),
            stopped: false,
        }
    }

    /// Bytes in all memories.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes.total
    }

    pub(crate) fn log(&mut self, level: Level, text: &str) {
        if level == Level::Error {
            self.last_error = Some(escape(text));
        }
        if !self.log_rate.as_mut().is_some_and(|bucket| bucket.take(Instant::now())) {
            self.reported.log_lines_dropped += 1;
            return;
        }
        self.reported.log_lines += 1;
        let (tenant, plugin, line) = (&self.tenant, &self.plugin, escape(text));
        match level {
            Level::Debug => tracing::debug!(event_type = "plugin_log", %tenant, %plugin, "{line}"),
            Level::Info => tracing::info!(event_type = "plugin_log", %tenant, %plugin, "{line}"),
            Level::Warn => tracing::warn!(event_type = "plugin_log", %tenant, %plugin, "{line}"),
            Level::Error => tracing::error!(event_type = "plugin_log", %tenant, %plugin, "{line}"),
        }
    }

    pub(crate) fn count(&mut self, name: String, delta: u64) {
        if !accepts(&self.reported.counts, &name) {
            self.reported.refused_metrics += 1;
            return;
        }
        let count = self.reported.counts.entry(name).or_default();
        *count = count.saturating_add(delta);
    }

    pub(crate) fn gauge(&mut self, name: String, value: f64) {
        if !value.is_finite() || !accepts(&self.reported.gauges, &name) {
            self.reported.refused_metrics += 1;
            return;
        }
        self.reported.gauges.insert(name, value);
    }
}

/// One second's lines at once, then the rate; `None` for a rate of 0.
fn log_rate(per_second: u32, now: Instant) -> Option<TokenBucket> {
    Rate::new(f64::from(per_second), per_second).ok().map(|rate| TokenBucket::new(rate, now))
}

fn accepts<T>(metrics: &BTreeMap<String, T>, name: &str) -> bool {
    metrics.contains_key(name) || (metrics.len() < MAX_METRICS && is_plain_name(name))
}

/// Only letters, digits, `-` and `_`, so that it needs no escaping as a metric label.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !name.is_empty() && name.len() <= 64 && name.bytes().all(plain)
}

/// Limits the sum over all memories and tables in the store. wasmtime's own limits are per memory, so a component could
/// evade them with many memories.
impl ResourceLimiter for GuestState {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = self.memory_bytes.grow(desired.saturating_sub(current), self.limits.memory_bytes);
        self.memory_peak = self.memory_peak.max(self.memory_bytes.total);
        self.refused_growth |= !allowed;
        Ok(allowed)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory_bytes.undo();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = self.table_elements.grow(desired.saturating_sub(current), self.limits.table_elements);
        self.refused_growth |= !allowed;
        Ok(allowed)
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.table_elements.undo();
        Ok(())
    }

    fn instances(&self) -> usize {
        self.limits.instances
    }

    fn tables(&self) -> usize {
        self.limits.instances
    }

    fn memories(&self) -> usize {
        self.limits.instances
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn state(memory_bytes: usize) -> GuestState {
        GuestState::new("t", "p", &PluginLimits { memory_bytes, ..PluginLimits::default() })
    }

    #[test]
    fn log_lines_are_limited_to_the_rate_with_one_second_of_burst() {
        let start = Instant::now();
        let mut rate = log_rate(3, start).unwrap();
        let allowed = |rate: &mut TokenBucket, at| (0..10).filter(|_| rate.take(start + at)).count();
        assert_eq!(allowed(&mut rate, Duration::ZERO), 3);
        assert_eq!(allowed(&mut rate, Duration::from_millis(400)), 1);
        assert_eq!(allowed(&mut rate, Duration::from_secs(60)), 3);
        assert!(log_rate(0, start).is_none());
    }

    #[test]
    fn all_memories_share_one_limit() {
        let mut state = state(100);
        assert!(state.memory_growing(0, 60, None).unwrap());
        assert!(!state.memory_growing(0, 60, None).unwrap(), "a second memory shares the limit");
        assert!(state.memory_growing(0, 40, None).unwrap());
        assert!(state.refused_growth);
        assert_eq!((state.memory_bytes(), state.memory_peak), (100, 100));
    }

    #[test]
    fn a_growth_that_fails_is_subtracted_once() {
        let mut state = state(100);
        assert!(state.memory_growing(0, 60, None).unwrap());
        state.memory_grow_failed(wasmtime::Error::msg("no address space")).unwrap();
        state.memory_grow_failed(wasmtime::Error::msg("no address space")).unwrap();
        assert_eq!(state.memory_bytes(), 0);
    }

    #[test]
    fn metrics_have_plain_names_finite_values_and_a_limit() {
        let mut state = state(0);
        for n in 0..100 {
            state.count(format!("c{n}"), u64::MAX);
        }
        state.count("c1".into(), 5);
        state.count("a b".into(), 1);
        state.gauge("g".into(), f64::NAN);
        state.gauge("g".into(), 1.5);
        assert_eq!((state.reported.counts.len(), state.reported.counts["c1"]), (MAX_METRICS, u64::MAX));
        assert_eq!((state.reported.refused_metrics, state.reported.gauges["g"]), (36 + 1 + 1, 1.5));
    }
}

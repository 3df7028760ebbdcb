use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::failure::FailureKind;
use crate::instance::PluginInstance;
use crate::state::Reported;

/// What the host counts of one plugin of one tenant. Written by its link only.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) calls: u64,
    pub(crate) calls_left_out: u64,
    pub(crate) quotes_seen: u64,
    pub(crate) quotes_kept: u64,
    pub(crate) refused: BTreeMap<String, u64>,
    pub(crate) documents: u64,
    pub(crate) documents_refused: u64,
    pub(crate) time: Duration,
    pub(crate) longest_call: Duration,
    pub(crate) memory_peak: usize,
    pub(crate) failures: BTreeMap<FailureKind, u64>,
    pub(crate) instances_started: u64,
    pub(crate) instances_worn: u64,
    pub(crate) last_problem: Option<String>,
    /// From instances that are gone; the live one has its own.
    pub(crate) reported: Reported,
}

impl Counters {
    pub(crate) fn called(&mut self, took: Duration) {
        self.calls += 1;
        self.time += took;
        self.longest_call = self.longest_call.max(took);
    }

    /// Counts the verdicts; `instance` knows the names of reasons.
    pub(crate) fn judged(&mut self, verdicts: &[u8], instance: &PluginInstance) {
        let mut by_code = [0_u64; 256];
        for &verdict in verdicts {
            by_code[usize::from(verdict)] += 1;
        }
        self.quotes_kept += by_code[0];
        for (code, &count) in (0..=u8::MAX).zip(&by_code).skip(1).filter(|(_, count)| **count > 0) {
            let name = instance.reason(code).map_or_else(|| code.to_string(), str::to_owned);
            *self.refused.entry(name).or_default() += count;
        }
    }
}

/// How a plugin is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginState {
    /// Nothing wrong lately.
    Ready,
    /// Failed lately, or lost quotes: its documents were refused, or calls were left out for its share of time.
    Degraded,
    /// Failed too often; not called for a while.
    Quarantined,
}

impl PluginState {
    /// The word in heartbeat and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Quarantined => "quarantined",
        }
    }
}

/// What is known of one plugin of one tenant, for heartbeat, metrics and dashboard. Counts are since the chain started.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct PluginSnapshot {
    /// Its name.
    pub name: String,
    /// The SHA-256 of its component, in hexadecimal digits.
    pub sha256: String,
    /// The version of the interface it is built for.
    pub interface: Cow<'static, str>,
    /// How it is.
    pub state: PluginState,
    /// The last failure, refused document or call left out, as a sentence.
    pub last_problem: Option<String>,
    /// Calls of filter and map.
    pub calls: u64,
    /// Calls not made: quarantine, no instance, or over its share of time.
    pub calls_left_out: u64,
    /// Quotes given to filter and map.
    pub quotes_seen: u64,
    /// Quotes that the filter kept.
    pub quotes_kept: u64,
    /// Quotes that the filter refused, by reason.
    pub quotes_refused: BTreeMap<String, u64>,
    /// Documents made by the map and accepted.
    pub documents: u64,
    /// Quotes whose documents were refused.
    pub documents_refused: u64,
    /// Seconds spent in calls and starts.
    pub seconds: f64,
    /// The longest call, in seconds.
    pub longest_call_seconds: f64,
    /// Bytes of all memories of the live instance.
    pub memory_bytes: usize,
    /// The most that any instance held.
    pub memory_peak_bytes: usize,
    /// Instances lost, by kind of failure.
    pub failures: BTreeMap<FailureKind, u64>,
    /// Instances started.
    pub instances_started: u64,
    /// Instances replaced because they reached `calls_per_instance`.
    pub instances_worn: u64,
    /// Log lines written.
    pub log_lines: u64,
    /// Log lines over the rate.
    pub log_lines_dropped: u64,
    /// Counters and gauges left out for a bad name or value.
    pub metrics_refused: u64,
    /// The plugin's own counters.
    pub counts: BTreeMap<String, u64>,
    /// The plugin's own gauges.
    pub gauges: BTreeMap<String, f64>,
}

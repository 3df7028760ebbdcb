use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::failure::FailureKind;

/// A plugin's state in the heartbeat and in metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginState {
    /// No recent failure or loss.
    #[default]
    Ready,
    /// Failed recently, or lost quotes: its documents were refused, or calls were skipped because it used its share of time.
    Degraded,
    /// Failed too often; not called for now.
    Quarantined,
}

impl PluginState {
    /// The name in the heartbeat and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Quarantined => "quarantined",
        }
    }
}

/// The state of one plugin of one tenant, for the heartbeat, metrics and the web page. Counts start with the chain.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct PluginSnapshot {
    /// The plugin's name.
    pub name: String,
    /// The SHA-256 of its component, in hexadecimal.
    pub sha256: String,
    /// The interface version that it is built for.
    pub interface: Cow<'static, str>,
    /// Whether it works.
    pub state: PluginState,
    /// The last failure, refused document or skipped call, as a sentence.
    pub last_problem: Option<String>,
    /// Calls of the filter and the map.
    pub calls: u64,
    /// Calls skipped: in quarantine, without an instance, or over its share of time.
    pub calls_left_out: u64,
    /// Quotes passed to the filter and the map.
    pub quotes_seen: u64,
    /// Quotes that the filter kept.
    pub quotes_kept: u64,
    /// Quotes that the filter refused, by reason.
    pub quotes_refused: BTreeMap<String, u64>,
    /// Documents that the map made and the host accepted.
    pub documents: u64,
    /// Quotes whose documents were refused.
    pub documents_refused: u64,
    /// Seconds spent in calls and starting instances.
    pub seconds: f64,
    /// The longest call, in seconds.
    pub longest_call_seconds: f64,
    /// Bytes in all memories of the current instance.
    pub memory_bytes: usize,
    /// The most bytes that any instance held.
    pub memory_peak_bytes: usize,
    /// Instances lost, by kind of failure.
    pub failures: BTreeMap<FailureKind, u64>,
    /// Instances started.
    pub instances_started: u64,
    /// Instances replaced after `calls_per_instance` calls.
    pub instances_worn: u64,
    /// Log lines written.
    pub log_lines: u64,
    /// Log lines dropped because they were over the rate.
    pub log_lines_dropped: u64,
    /// Counters and gauges rejected for a bad name or value.
    pub metrics_refused: u64,
    /// The plugin's own counters.
    pub counts: BTreeMap<String, u64>,
    /// The plugin's own gauges.
    pub gauges: BTreeMap<String, f64>,
}

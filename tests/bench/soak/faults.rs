//! The faults, one per minute.

use std::time::Duration;

use crate::testbed::{FirestoreMode, KEEP_ALL, Metrics, TRAP, Testbed};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    SimulatorKilled,
    FirestoreUnavailable,
    FeedSilent,
    FirestoreGone,
    InvalidFrames,
    AnswersLost,
    PluginTraps,
    DocumentsRefused,
    HostHeldUp,
}

impl Fault {
    pub(crate) const ALL: [Self; 9] = [
        Self::SimulatorKilled,
        Self::FirestoreUnavailable,
        Self::FeedSilent,
        Self::FirestoreGone,
        Self::InvalidFrames,
        Self::AnswersLost,
        Self::PluginTraps,
        Self::DocumentsRefused,
        Self::HostHeldUp,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SimulatorKilled => "the simulator is killed",
            Self::FirestoreUnavailable => "Firestore answers UNAVAILABLE",
            Self::FeedSilent => "the feed is silent",
            Self::FirestoreGone => "Firestore is gone",
            Self::InvalidFrames => "a tenth of the frames is invalid",
            Self::AnswersLost => "Firestore writes and never answers",
            Self::PluginTraps => "a plugin traps",
            Self::DocumentsRefused => "documents fail one by one",
            Self::HostHeldUp => "the host is stopped (SIGSTOP)",
        }
    }

    pub(crate) fn duration(self) -> Duration {
        // A host that is stopped for longer is killed by its platform.
        Duration::from_secs(if self == Self::HostHeldUp { 3 } else { 20 })
    }

    pub(crate) fn begin(self, testbed: &mut Testbed) {
        match self {
            Self::SimulatorKilled => testbed.kill_sim(),
            Self::FirestoreUnavailable => testbed.set_firestore_mode(FirestoreMode::Unavailable),
            Self::FeedSilent => testbed.start_sim(Some("silent")),
            Self::FirestoreGone => testbed.end_firestore(),
            Self::InvalidFrames => testbed.start_sim(Some("garbage")),
            Self::AnswersLost => testbed.set_firestore_mode(FirestoreMode::Silent),
            Self::PluginTraps => testbed.set_filter(TRAP),
            Self::DocumentsRefused => testbed.set_firestore_mode(FirestoreMode::FailingDocuments),
            Self::HostHeldUp => testbed.host.signal("STOP"),
        }
    }

    pub(crate) fn end(self, testbed: &mut Testbed) {
        match self {
            Self::SimulatorKilled | Self::FeedSilent | Self::InvalidFrames => testbed.start_sim(None),
            Self::FirestoreUnavailable | Self::AnswersLost | Self::DocumentsRefused => {
                testbed.set_firestore_mode(FirestoreMode::Healthy);
            }
            Self::FirestoreGone => testbed.start_firestore(),
            Self::PluginTraps => testbed.set_filter(KEEP_ALL),
            Self::HostHeldUp => testbed.host.signal("CONT"),
        }
    }

    /// The host's counter for this fault, to prove that the host noticed it. `None` if it should not notice.
    pub(crate) fn count(self, metrics: &Metrics) -> Option<f64> {
        let reconnects = |cause: &str| metrics.get(&format!("quotegate_feed_reconnects_total{{cause=\"{cause}\"}}"));
        match self {
            Self::SimulatorKilled => Some(reconnects("connect")),
            Self::FeedSilent => Some(reconnects("stale")),
            Self::InvalidFrames => Some(metrics.get("quotegate_feed_skipped_total{reason=\"malformed\"}")),
            Self::FirestoreUnavailable | Self::FirestoreGone | Self::AnswersLost => {
                Some(metrics.sum("writes_retried_total"))
            }
            Self::DocumentsRefused => Some(metrics.sum("writes_refused_total")),
            Self::PluginTraps => Some(metrics.of("hooli", "lost_total")),
            Self::HostHeldUp => None,
        }
    }
}

use std::time::Duration;

use wasmtime::Trap;

use crate::log_rate::escape;
use crate::state::GuestState;

/// Why a call, or the start of an instance, failed. The instance is thrown away after each of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PluginFailure {
    /// The epoch deadline passed.
    #[error(
        "it ran longer than {limit:?} and was stopped; make it faster, or raise `limits.time_per_call_ms` (at its start `limits.time_to_start_ms`)"
    )]
    Time {
        /// The limit that it broke.
        limit: Duration,
    },
    /// It trapped after more memory or tables were refused.
    #[error("it needed more memory than its limit allows; make it use less, or raise `limits.memory_mib`")]
    Memory,
    /// It handed the host more than the host takes in one call.
    #[error("it handed over more in one call than its limit allows; answer less, or raise `limits.answer_kib`")]
    HostBytes,
    /// Recursion without end.
    #[error("it used up its stack, mostly by a recursion without end")]
    Stack,
    /// Any other trap: unreachable, out of bounds, division by zero, invalid values.
    #[error("it trapped: {0}")]
    Trap(String),
    /// An answer of the wrong length.
    #[error("it answered {found} entries for {expected} quotes")]
    Length {
        /// Quotes of the call.
        expected: usize,
        /// Entries of the answer.
        found: usize,
    },
    /// `configure` said no.
    #[error("it refuses its configuration: {0}")]
    Configuration(String),
    /// A manifest that breaks its rules.
    #[error("its manifest is wrong: {0}")]
    Manifest(String),
}

/// [`PluginFailure`] without its details, for counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Too long.
    Time,
    /// Too much memory.
    Memory,
    /// Too much handed over.
    HostBytes,
    /// Too deep.
    Stack,
    /// Any other trap.
    Trap,
    /// A wrong answer.
    Answer,
    /// A refused configuration or a wrong manifest.
    Configuration,
}

impl FailureKind {
    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Memory => "memory",
            Self::HostBytes => "host-bytes",
            Self::Stack => "stack",
            Self::Trap => "trap",
            Self::Answer => "answer",
            Self::Configuration => "configuration",
        }
    }
}

impl PluginFailure {
    /// Which kind it is.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Time { .. } => FailureKind::Time,
            Self::Memory => FailureKind::Memory,
            Self::HostBytes => FailureKind::HostBytes,
            Self::Stack => FailureKind::Stack,
            Self::Trap(_) => FailureKind::Trap,
            Self::Length { .. } => FailureKind::Answer,
            Self::Configuration(_) | Self::Manifest(_) => FailureKind::Configuration,
        }
    }

    /// Reads wasmtime's error together with what the limiter saw.
    pub(crate) fn of(error: &wasmtime::Error, state: &GuestState, limit: Duration) -> Self {
        match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => return Self::Time { limit },
            Some(Trap::StackOverflow) => return Self::Stack,
            _ => {}
        }
        if state.refused_growth {
            return Self::Memory;
        }
        let text = format!("{:#}", error.root_cause());
        // wasmtime has no type for this one; the hostile guest of the tests notices if the words change.
        if text.contains("too much data is being copied") {
            return Self::HostBytes;
        }
        Self::Trap(escape(&text))
    }
}

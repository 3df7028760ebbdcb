use std::time::Duration;

use wasmtime::Trap;

use crate::escape::escape;
use crate::state::GuestState;

/// Why a call or the start of an instance failed. The instance is discarded after any of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PluginFailure {
    /// Longer than this limit.
    #[error(
        "it ran longer than {0:?} and was stopped; make it faster, or raise `limits.time_per_call_ms` (`limits.time_to_start_ms` for its start)"
    )]
    Time(Duration),
    /// It ran when the host's time to shut down was over.
    #[error("it was still running when the host shut down, and was stopped")]
    Shutdown,
    /// It trapped after it was refused more memory or table elements.
    #[error("it needed more memory than its limit allows; make it use less, or raise `limits.memory_mib`")]
    Memory,
    /// It returned more than the host accepts from one call.
    #[error("it returned more from one call than its limit allows; return less, or raise `limits.answer_kib`")]
    HostBytes,
    /// Usually endless recursion.
    #[error("it ran out of stack, usually because of endless recursion")]
    Stack,
    /// Any other trap: unreachable, out of bounds, division by zero.
    #[error("it trapped: {0}")]
    Trap(String),
    /// A call that failed without a trap: invalid values, or no room for another instance.
    #[error("the call failed: {0}")]
    Call(String),
    /// A result of the wrong length.
    #[error("it returned {found} entries for {expected} quotes")]
    Length {
        /// Quotes in the call.
        expected: usize,
        /// Entries returned.
        found: usize,
    },
    /// `configure` returned an error.
    #[error("it rejected its configuration: {0}")]
    Configuration(String),
    /// A manifest that breaks the rules.
    #[error("its manifest is invalid: {0}")]
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
    /// Too much returned.
    HostBytes,
    /// Out of stack.
    Stack,
    /// Any other trap.
    Trap,
    /// A result of the wrong length.
    Answer,
    /// A rejected configuration or an invalid manifest.
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
    /// Its kind.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Time(_) | Self::Shutdown => FailureKind::Time,
            Self::Memory => FailureKind::Memory,
            Self::HostBytes => FailureKind::HostBytes,
            Self::Stack => FailureKind::Stack,
            Self::Trap(_) | Self::Call(_) => FailureKind::Trap,
            Self::Length { .. } => FailureKind::Answer,
            Self::Configuration(_) | Self::Manifest(_) => FailureKind::Configuration,
        }
    }

    /// From wasmtime's error and the resource limiter's state.
    pub(crate) fn new(error: &wasmtime::Error, state: &GuestState, limit: Duration) -> Self {
        let trap = error.downcast_ref::<Trap>();
        match trap {
            Some(Trap::Interrupt) if state.stopped => return Self::Shutdown,
            Some(Trap::Interrupt) => return Self::Time(limit),
            Some(Trap::StackOverflow) => return Self::Stack,
            _ => {}
        }
        if state.refused_growth {
            return Self::Memory;
        }
        let text = format!("{:#}", error.root_cause());
        // wasmtime has no type for this error. A test with a hostile guest fails if its message changes.
        if text.contains("too much data is being copied") {
            return Self::HostBytes;
        }
        match (trap, &state.last_error) {
            (None, _) => Self::Call(escape(&text)),
            (Some(_), None) => Self::Trap(escape(&text)),
            (Some(_), Some(logged)) => Self::Trap(format!("{}; its last error line: {logged}", escape(&text))),
        }
    }
}

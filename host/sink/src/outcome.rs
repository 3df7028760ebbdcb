use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tonic::Code;

/// What became of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Written.
    Written,
    /// Not written; try again later with this document or a newer one.
    Retry {
        /// Why.
        reason: RetryReason,
        /// Wait for the longest delay instead of the next one of the backoff.
        longest_delay: bool,
        /// What failed, if that says more than the reason.
        cause: Option<Arc<str>>,
    },
    /// This document will never be written.
    Refused {
        /// Why.
        code: RefusedCode,
        /// The sink's message.
        message: String,
    },
    /// Not written, and not needed: the stored document is newer.
    Older,
    /// Not sent: another host has written the document too recently.
    TooEarly {
        /// Try again after this time, with this document or a newer one.
        wait: Duration,
    },
}

/// Why a write may succeed later, from its gRPC code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryReason {
    /// The sink cannot be reached.
    Unavailable,
    /// Usually too many updates of one document per second.
    Aborted,
    /// Over a quota or rate limit.
    ResourceExhausted,
    /// No answer in time. The document may have been written; writing it again is harmless.
    DeadlineExceeded,
    /// An error inside the sink.
    Internal,
    /// Other writers changed the document each time between reading and writing it.
    Conflict,
    /// The document had changed, and this host does not hold the lease (any more).
    NotOwner,
}

/// Why a document is refused for good, from the gRPC code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusedCode {
    /// The document is invalid.
    InvalidArgument,
    /// The service account may not write here.
    PermissionDenied,
    /// The credentials are invalid.
    Unauthenticated,
    /// No such project or database.
    NotFound,
    /// The database is in the wrong state.
    FailedPrecondition,
    /// Any other code.
    Other(i32),
}

impl Outcome {
    /// A retry with the delay that the reason calls for.
    pub fn retry(reason: RetryReason) -> Self {
        Self::Retry { reason, longest_delay: reason == RetryReason::ResourceExhausted, cause: None }
    }

    /// A retry after a request that did not reach the sink, because of `cause`.
    pub(crate) fn unreachable(cause: &str) -> Self {
        Self::Retry { reason: RetryReason::Unavailable, longest_delay: false, cause: Some(cause.into()) }
    }

    /// What went wrong, for people; `None` if the document was written, or need not be.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Written | Self::Older | Self::TooEarly { .. } => None,
            Self::Retry { reason, cause: None, .. } => Some(reason.to_string()),
            Self::Retry { reason, cause: Some(cause), .. } => Some(format!("{reason}: {cause}")),
            Self::Refused { code, message } => Some(format!("{code}: {message}; {}", code.remedy())),
        }
    }

    /// True if the write may have been applied, or may still be: the request got no answer.
    pub(crate) fn is_unknown(&self) -> bool {
        match self {
            Self::Written | Self::Older | Self::TooEarly { .. } => false,
            Self::Retry { reason, .. } => {
                matches!(reason, RetryReason::Unavailable | RetryReason::DeadlineExceeded | RetryReason::Internal)
            }
            Self::Refused { code, .. } => matches!(code, RefusedCode::Other(_)),
        }
    }

    /// From the number of a gRPC code (`google.rpc.Code`). If it is unknown whether the document was written, it is
    /// retried, because writing it twice is harmless.
    pub fn from_code(code: i32, message: &str) -> Self {
        let refused = |code| Self::Refused { code, message: message.to_owned() };
        match Code::from(code) {
            Code::Ok => Self::Written,
            Code::DeadlineExceeded | Code::Cancelled => Self::retry(RetryReason::DeadlineExceeded),
            Code::ResourceExhausted => Self::retry(RetryReason::ResourceExhausted),
            Code::Aborted => Self::retry(RetryReason::Aborted),
            Code::Internal | Code::Unknown => Self::retry(RetryReason::Internal),
            Code::Unavailable => Self::retry(RetryReason::Unavailable),
            Code::InvalidArgument => refused(RefusedCode::InvalidArgument),
            Code::NotFound => refused(RefusedCode::NotFound),
            Code::PermissionDenied => refused(RefusedCode::PermissionDenied),
            Code::FailedPrecondition => refused(RefusedCode::FailedPrecondition),
            Code::Unauthenticated => refused(RefusedCode::Unauthenticated),
            _ => refused(RefusedCode::Other(code)),
        }
    }
}

impl fmt::Display for RetryReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "the sink cannot be reached",
            Self::Aborted => "too many updates of one document",
            Self::ResourceExhausted => "over a quota or rate limit of the sink",
            Self::DeadlineExceeded => "no answer in time",
            Self::Internal => "the sink failed internally",
            Self::Conflict => "other writers keep changing the document",
            Self::NotOwner => "this host does not hold the lease",
        })
    }
}

impl RefusedCode {
    /// What an operator can do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::InvalidArgument => "inspect the document with a dry run",
            Self::PermissionDenied => "give the service account the role roles/datastore.user in the project",
            Self::Unauthenticated => "replace the credentials in GOOGLE_APPLICATION_CREDENTIALS",
            Self::NotFound => "check FIRESTORE_PROJECT_ID and sink.database_id, and that the database exists",
            Self::FailedPrecondition => "check that the database is in native mode",
            Self::Other(_) => "see the message",
        }
    }
}

impl fmt::Display for RefusedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidArgument => f.write_str("invalid argument"),
            Self::PermissionDenied => f.write_str("permission denied"),
            Self::Unauthenticated => f.write_str("unauthenticated"),
            Self::NotFound => f.write_str("not found"),
            Self::FailedPrecondition => f.write_str("failed precondition"),
            Self::Other(code) => write!(f, "code {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transient_codes_are_retried_and_permanent_ones_are_not() {
        for code in [1, 2, 4, 8, 10, 13, 14] {
            assert!(matches!(Outcome::from_code(code, ""), Outcome::Retry { .. }), "{code}");
        }
        for code in [3, 5, 6, 7, 9, 11, 12, 15, 16] {
            assert!(matches!(Outcome::from_code(code, ""), Outcome::Refused { .. }), "{code}");
        }
        assert_eq!(Outcome::from_code(0, ""), Outcome::Written);
    }

    #[test]
    fn only_an_exhausted_resource_asks_for_the_longest_delay() {
        for (code, expected) in [(8, true), (10, false)] {
            let Outcome::Retry { longest_delay, .. } = Outcome::from_code(code, "") else { panic!("{code}") };
            assert_eq!(longest_delay, expected, "{code}");
        }
    }

    #[test]
    fn a_sink_that_cannot_be_reached_is_named() {
        let outcome = Outcome::unreachable("connection refused by 127.0.0.1:8080");
        let problem = "the sink cannot be reached: connection refused by 127.0.0.1:8080";
        assert_eq!(outcome.problem().as_deref(), Some(problem));
    }
}

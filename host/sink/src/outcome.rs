use std::fmt;

/// What became of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is there.
    Written,
    /// Not this time; the same document or a newer one may go later.
    Retry {
        /// Why.
        reason: RetryReason,
        /// The sink asks for a long pause, not for the next one of a series.
        longest_delay: bool,
    },
    /// Not this document, however often it is tried.
    Refused {
        /// Why.
        code: RefusedCode,
        /// The sink's own words.
        message: String,
    },
}

/// Why a document may be tried again, by the gRPC code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryReason {
    /// The sink cannot be reached.
    Unavailable,
    /// Too many updates of one document a second, most likely.
    Aborted,
    /// Over a quota or a rate.
    ResourceExhausted,
    /// No answer in time: it may or may not be there, which is harmless for the latest quote.
    DeadlineExceeded,
    /// Trouble on the other side.
    Internal,
}

/// Why a document is refused for good, by the gRPC code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusedCode {
    /// The document is not as Firestore wants it.
    InvalidArgument,
    /// The service account may not write here.
    PermissionDenied,
    /// The credentials are not good.
    Unauthenticated,
    /// No such project or database.
    NotFound,
    /// The database is not in a state to take it.
    FailedPrecondition,
    /// Anything else, with its number.
    Other(i32),
}

impl Outcome {
    /// A document that may go again, with the delay that the reason asks for.
    pub fn retry(reason: RetryReason) -> Self {
        Self::Retry { reason, longest_delay: reason == RetryReason::ResourceExhausted }
    }

    /// From a status as gRPC numbers it (google.rpc.Code). Unknown outcomes (deadline, cancelled, unknown) may be
    /// tried again, because writing the same document twice does no harm.
    pub fn from_code(code: i32, message: &str) -> Self {
        let refused = |code| Self::Refused { code, message: message.to_owned() };
        match code {
            0 => Self::Written,
            4 | 1 => Self::retry(RetryReason::DeadlineExceeded),
            8 => Self::retry(RetryReason::ResourceExhausted),
            10 => Self::retry(RetryReason::Aborted),
            13 | 2 => Self::retry(RetryReason::Internal),
            14 => Self::retry(RetryReason::Unavailable),
            3 => refused(RefusedCode::InvalidArgument),
            5 => refused(RefusedCode::NotFound),
            7 => refused(RefusedCode::PermissionDenied),
            9 => refused(RefusedCode::FailedPrecondition),
            16 => refused(RefusedCode::Unauthenticated),
            other => refused(RefusedCode::Other(other)),
        }
    }
}

impl fmt::Display for RetryReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "the sink cannot be reached",
            Self::Aborted => "too many updates of one document",
            Self::ResourceExhausted => "over a quota or rate of the sink",
            Self::DeadlineExceeded => "no answer in time",
            Self::Internal => "the sink has trouble of its own",
        })
    }
}

impl RefusedCode {
    /// What an operator can do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::InvalidArgument => "look at the document in a dry run",
            Self::PermissionDenied => "give the service account the role roles/datastore.user in the project",
            Self::Unauthenticated => "renew the credentials that GOOGLE_APPLICATION_CREDENTIALS names",
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
    fn transient_codes_go_again_and_permanent_ones_do_not() {
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
        assert_eq!(
            Outcome::from_code(8, ""),
            Outcome::Retry { reason: RetryReason::ResourceExhausted, longest_delay: true }
        );
        assert_eq!(Outcome::from_code(10, ""), Outcome::Retry { reason: RetryReason::Aborted, longest_delay: false });
    }
}

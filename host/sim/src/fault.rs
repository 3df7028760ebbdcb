use std::fmt;
use std::str::FromStr;

/// A fault that the simulator injects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Answers every key with 402.
    AuthRefused,
    /// Answers every client with 406, as if another connection were open.
    ConnectionLimit,
    /// Sends 407 after 100 frames, then closes the connection.
    SlowClient,
    /// Drops each connection after this many frames of quotes.
    DropAfter(u64),
    /// After 100 quotes, answers pings but sends nothing else.
    Silent,
    /// After 100 quotes, neither reads nor writes, with the socket open.
    NoPong,
    /// Every tenth frame is random bytes, as text and as binary.
    Garbage,
    /// Every tenth frame is truncated.
    Truncated,
    /// Every tenth frame has unknown messages and keys, and unusual conditions.
    UnknownTypes,
    /// Every hundredth frame holds 50,000 quotes.
    HugeFrame,
    /// Acknowledges and quotes only half of the requested symbols.
    MissingAck,
    /// Answers the upgrade with HTTP 429.
    Http429,
    /// Sends 500 after 100 frames, then closes the connection.
    InternalError,
    /// Answers requests over REST with HTTP 429 and `Retry-After: 1`. The stream works.
    Rest429,
    /// Answers requests over REST with HTTP 500. The stream works.
    RestError,
    /// Does not answer requests over REST while it lasts. The stream works.
    RestSilent,
    /// A connection that ends without a close frame counts for this many more seconds, so that others get 406.
    DeadSession(u64),
}

const NAMED: [(&str, Fault); 15] = [
    ("auth-refused", Fault::AuthRefused),
    ("connection-limit", Fault::ConnectionLimit),
    ("slow-client", Fault::SlowClient),
    ("silent", Fault::Silent),
    ("no-pong", Fault::NoPong),
    ("garbage", Fault::Garbage),
    ("truncated-json", Fault::Truncated),
    ("unknown-types", Fault::UnknownTypes),
    ("huge-frame", Fault::HugeFrame),
    ("missing-ack", Fault::MissingAck),
    ("http-429", Fault::Http429),
    ("internal-error", Fault::InternalError),
    ("rest-429", Fault::Rest429),
    ("rest-error", Fault::RestError),
    ("rest-silent", Fault::RestSilent),
];
const DROP_AFTER: &str = "drop-after=";
const DEAD_SESSION: &str = "dead-session";
/// About as long as Alpaca takes.
const DEAD_SESSION_SECONDS: u64 = 90;

/// The string is not a [`Fault`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown fault {0:?}: choose one of {list}, drop-after=N, dead-session=SECONDS", list = NAMED.map(|(name, _)| name).join(", "))]
pub struct ParseFaultError(String);

impl FromStr for Fault {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = NAMED.iter().find(|(name, _)| *name == text).map(|(_, fault)| *fault);
        let counted = || text.strip_prefix(DROP_AFTER)?.parse().ok().map(Self::DropAfter);
        let held = || match text.strip_prefix(DEAD_SESSION)? {
            "" => Some(Self::DeadSession(DEAD_SESSION_SECONDS)),
            seconds => seconds.strip_prefix('=')?.parse().ok().map(Self::DeadSession),
        };
        named.or_else(counted).or_else(held).ok_or_else(|| ParseFaultError(text.to_owned()))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DropAfter(frames) => write!(f, "{DROP_AFTER}{frames}"),
            Self::DeadSession(seconds) => write!(f, "{DEAD_SESSION}={seconds}"),
            other => f.write_str(NAMED.iter().find(|(_, fault)| fault == other).map_or("", |(name, _)| name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_round_trips_through_its_name() {
        let all = NAMED.map(|(_, fault)| fault).into_iter().chain([Fault::DropAfter(3), Fault::DeadSession(5)]);
        for fault in all {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        assert_eq!("dead-session".parse(), Ok(Fault::DeadSession(90)));
        let unknown = "explode".parse::<Fault>().unwrap_err().to_string();
        assert!(unknown.contains("auth-refused") && unknown.contains("drop-after=N"));
    }
}

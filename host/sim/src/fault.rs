use std::fmt;
use std::str::FromStr;

/// What the simulator does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 402 to every key.
    AuthRefused,
    /// 406 to every client, as if another session were alive.
    ConnectionLimit,
    /// 407 after a hundred frames, then the connection is closed.
    SlowClient,
    /// The connection breaks after so many frames of quotes; so does the next one.
    DropAfter(u64),
    /// After a hundred quotes the socket stays open, answers pings and delivers nothing.
    Silent,
    /// After a hundred quotes nothing is read or written any more, and the socket stays open.
    NoPong,
    /// Every tenth frame is random bytes, as text and as binary.
    Garbage,
    /// Every tenth frame is cut in the middle.
    Truncated,
    /// Every tenth frame has unknown messages and keys, and odd conditions.
    UnknownTypes,
    /// Every hundredth frame holds 50,000 quotes.
    HugeFrame,
    /// Only half of the symbols that are asked for are acknowledged, and quoted.
    MissingAck,
    /// HTTP 429 at the upgrade.
    Http429,
    /// 500 after a hundred frames, then the connection is closed.
    InternalError,
}

const NAMED: [(&str, Fault); 12] = [
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
];
const DROP_AFTER: &str = "drop-after=";

/// A text that names no [`Fault`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no fault {0:?}: choose one of {list}, drop-after=N", list = NAMED.map(|(name, _)| name).join(", "))]
pub struct UnknownFault(String);

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = NAMED.iter().find(|(name, _)| *name == text).map(|(_, fault)| *fault);
        let counted = || text.strip_prefix(DROP_AFTER)?.parse().ok().map(Self::DropAfter);
        named.or_else(counted).ok_or_else(|| UnknownFault(text.to_owned()))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DropAfter(frames) => write!(f, "{DROP_AFTER}{frames}"),
            other => f.write_str(NAMED.iter().find(|(_, fault)| fault == other).map_or("", |(name, _)| name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_name_and_a_way_back() {
        let all = NAMED.map(|(_, fault)| fault).into_iter().chain([Fault::DropAfter(3)]);
        for fault in all {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        let unknown = "explode".parse::<Fault>().unwrap_err().to_string();
        assert!(unknown.contains("auth-refused") && unknown.contains("drop-after=N"));
    }
}

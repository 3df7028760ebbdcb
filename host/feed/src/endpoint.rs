//! Names of feeds, and what follows from each: address, encoding, calendar.

use std::fmt;
use std::str::FromStr;

use crate::Encoding;
use crate::error::SettingsProblem;
use crate::settings::Calendar;

/// One of Alpaca's real-time quote feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeedName {
    /// IEX only: free, real time.
    Iex,
    /// The consolidated tapes: paid.
    Sip,
    /// The consolidated tapes, fifteen minutes late.
    DelayedSip,
    /// Blue Ocean ATS: overnight trading.
    Boats,
    /// Alpaca's derived overnight feed.
    Overnight,
    /// One made-up symbol, `FAKEPACA`, at all hours.
    Test,
    /// Crypto on Alpaca US.
    CryptoUs,
    /// Crypto on Kraken US.
    CryptoUs1,
    /// Crypto on Kraken EU.
    CryptoEu1,
    /// Options, indicative prices.
    Indicative,
    /// Options, the consolidated tape.
    Opra,
}

/// A text that names no feed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no feed {name:?}: choose one of {}", FeedName::ALL.map(FeedName::as_str).join(", "))]
pub struct UnknownFeed {
    name: String,
}

impl FeedName {
    /// Every feed, in the order in which people are told of them.
    pub const ALL: [Self; 11] = [
        Self::Iex,
        Self::Sip,
        Self::DelayedSip,
        Self::Boats,
        Self::Overnight,
        Self::Test,
        Self::CryptoUs,
        Self::CryptoUs1,
        Self::CryptoEu1,
        Self::Indicative,
        Self::Opra,
    ];

    /// Where Alpaca serves the feeds.
    pub const HOST: &'static str = "wss://stream.data.alpaca.markets";

    /// The name as settings write it; also what [`FromStr`] reads.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Iex => "iex",
            Self::Sip => "sip",
            Self::DelayedSip => "delayed_sip",
            Self::Boats => "boats",
            Self::Overnight => "overnight",
            Self::Test => "test",
            Self::CryptoUs => "crypto-us",
            Self::CryptoUs1 => "crypto-us-1",
            Self::CryptoEu1 => "crypto-eu-1",
            Self::Indicative => "indicative",
            Self::Opra => "opra",
        }
    }

    /// The feed's path on `host` (see [`FeedName::HOST`]).
    pub fn url(self, host: &str) -> String {
        let version = match self {
            Self::Iex | Self::Sip | Self::DelayedSip | Self::Test => "v2",
            Self::CryptoUs | Self::CryptoUs1 | Self::CryptoEu1 => "v1beta3",
            Self::Boats | Self::Overnight | Self::Indicative | Self::Opra => "v1beta1",
        };
        // `crypto-us` is `crypto/us` on the wire: a name in settings should not look like a path.
        format!("{}/{version}/{}", host.trim_end_matches('/'), self.as_str().replacen("crypto-", "crypto/", 1))
    }

    /// The only encoding that the feed speaks; `None` where either will do.
    pub fn demanded_encoding(self) -> Option<Encoding> {
        matches!(self, Self::Indicative | Self::Opra).then_some(Encoding::MessagePack)
    }

    /// Refuses an encoding that the feed does not speak, before the server does (412).
    pub fn check_encoding(self, encoding: Encoding) -> Result<(), SettingsProblem> {
        match self.demanded_encoding() {
            Some(demands) if demands != encoding => Err(SettingsProblem::Encoding { feed: self, demands }),
            _ => Ok(()),
        }
    }

    /// When silence of the whole feed is a fault.
    pub fn calendar(self) -> Calendar {
        match self {
            Self::Sip => Calendar::UsEquities { extended_hours: true },
            // IEX is all but empty before the open; the delayed tape starts its day fifteen minutes late.
            Self::Iex | Self::DelayedSip | Self::Indicative | Self::Opra => {
                Calendar::UsEquities { extended_hours: false }
            }
            Self::Test | Self::CryptoUs | Self::CryptoUs1 | Self::CryptoEu1 => Calendar::Always,
            // Their nights are thin and not in the calendar: silence proves nothing.
            Self::Boats | Self::Overnight => Calendar::Never,
        }
    }
}

impl fmt::Display for FeedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FeedName {
    type Err = UnknownFeed;

    fn from_str(name: &str) -> Result<Self, UnknownFeed> {
        let found = Self::ALL.into_iter().find(|feed| feed.as_str() == name);
        found.ok_or_else(|| UnknownFeed { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for feed in FeedName::ALL {
            assert_eq!(feed.to_string().parse(), Ok(feed));
        }
    }

    #[test]
    fn paths_are_those_of_the_documentation() {
        let path = |feed: FeedName| feed.url("wss://host/").replace("wss://host", "");
        assert_eq!(path(FeedName::Iex), "/v2/iex");
        assert_eq!(path(FeedName::DelayedSip), "/v2/delayed_sip");
        assert_eq!(path(FeedName::Boats), "/v1beta1/boats");
        assert_eq!(path(FeedName::CryptoEu1), "/v1beta3/crypto/eu-1");
        assert_eq!(path(FeedName::Opra), "/v1beta1/opra");
    }

    #[test]
    fn options_in_json_are_refused_with_the_remedy() {
        let problem = FeedName::Opra.check_encoding(Encoding::Json).unwrap_err();
        assert_eq!(problem.to_string(), "the opra feed speaks msgpack only: set the feed's encoding to msgpack");
        assert_eq!(FeedName::Iex.check_encoding(Encoding::Json), Ok(()));
    }

    #[test]
    fn a_wrong_name_is_told_the_right_ones() {
        let problem = "siip".parse::<FeedName>().unwrap_err().to_string();
        assert!(problem.starts_with("there is no feed \"siip\": choose one of iex, sip,"), "{problem}");
    }
}

//! Control messages and what each error code means for us. Facts: docs.alpaca.markets/docs/streaming-market-data.

use serde_json::Value;

use crate::error::FeedError;

/// A message about the session, not about the market.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// `success`, `connected`: the server's welcome.
    Connected,
    /// `success`, `authenticated`.
    Authenticated,
    /// A `success` that the documentation does not name.
    OtherSuccess(String),
    /// `error`.
    Error {
        /// Alpaca's number, see [`Verdict::of`].
        code: u16,
        /// Alpaca's words.
        message: String,
    },
    /// `subscription`: the symbols whose quotes the session now has, all of them; `*` stands for every one. The lists of
    /// other channels do not concern us, and a list may be missing, which means empty.
    Subscription(Vec<String>),
}

impl Control {
    /// Reads a control message; `None` when it lacks what it must have.
    pub(crate) fn from_value(value: &Value) -> Option<Self> {
        let message = || value.get("msg").and_then(Value::as_str);
        match value.get("T")?.as_str()? {
            "success" => Some(match message()? {
                "connected" => Self::Connected,
                "authenticated" => Self::Authenticated,
                other => Self::OtherSuccess(other.to_owned()),
            }),
            "error" => Some(Self::Error {
                code: value.get("code")?.as_u64()?.try_into().ok()?,
                message: message().unwrap_or_default().to_owned(),
            }),
            "subscription" => match value.get("quotes") {
                None | Some(Value::Null) => Some(Self::Subscription(Vec::new())),
                Some(Value::Array(names)) => names
                    .iter()
                    .map(|name| name.as_str().map(str::to_owned))
                    .collect::<Option<_>>()
                    .map(Self::Subscription),
                Some(_) => None,
            },
            _ => None,
        }
    }
}

/// What an error code asks of us.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// No retry can help: the account, the key or the settings must change first.
    Fatal(FeedError),
    /// 406: another session of this account is alive. Retry slowly.
    HeldElsewhere,
    /// Close the socket, come back after a pause.
    Reconnect,
    /// 400: the request, or a symbol in it, is badly formed. The session and what it holds stay as they were.
    BadRequest,
    /// 405: the plan allows fewer symbols. The session and what it holds stay as they were.
    SymbolLimit,
    /// Counted, nothing else.
    Ignore,
}

impl Verdict {
    pub(crate) fn of(code: u16) -> Self {
        match code {
            400 => Self::BadRequest,
            402 => Self::Fatal(FeedError::AuthenticationFailed),
            405 => Self::SymbolLimit,
            406 => Self::HeldElsewhere,
            408 => Self::Fatal(FeedError::NotEnabled),
            409 => Self::Fatal(FeedError::InsufficientSubscription),
            // We only ever ask for quotes, so no later request could fare better.
            410 => Self::Fatal(FeedError::NoQuotes),
            411 => Self::Fatal(FeedError::InsufficientScope),
            412 => Self::Fatal(FeedError::MessagePackOnly),
            413 => Self::Fatal(FeedError::WildcardRefused),
            401 | 404 | 407 | 500..=599 => Self::Reconnect,
            _ => Self::Ignore,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_missing_list_in_an_acknowledgement_is_an_empty_one() {
        let ack = json!({"T": "subscription", "trades": ["SPY"]});
        assert_eq!(Control::from_value(&ack), Some(Control::Subscription(Vec::new())));
        let ack = json!({"T": "subscription", "quotes": ["SPY", "*"]});
        assert_eq!(Control::from_value(&ack), Some(Control::Subscription(vec!["SPY".into(), "*".into()])));
    }

    #[test]
    fn a_control_message_without_its_point_is_none() {
        for value in [
            json!({"T": "error", "msg": "x"}),
            json!({"T": "error", "code": 70000}),
            json!({"T": "success"}),
            json!({"T": "subscription", "quotes": "SPY"}),
            json!({"T": "subscription", "quotes": [1]}),
            json!({}),
        ] {
            assert_eq!(Control::from_value(&value), None, "{value}");
        }
    }

    #[test]
    fn every_code_that_only_a_person_can_mend_is_fatal() {
        let fatal: Vec<_> = (400..=600).filter(|&code| matches!(Verdict::of(code), Verdict::Fatal(_))).collect();
        assert_eq!(fatal, [402, 408, 409, 410, 411, 412, 413]);
    }
}

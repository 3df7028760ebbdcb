//! Control messages and how the feed reacts to each error code. Protocol: docs.alpaca.markets/docs/streaming-market-data.

use serde_json::Value;

use crate::error::FeedError;

/// A message from the server about the connection rather than the market.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlMessage {
    /// `success`, `connected`: the server's welcome.
    Connected,
    /// `success`, `authenticated`.
    Authenticated,
    /// A `success` message that is not documented.
    OtherSuccess(String),
    /// `error`.
    Error {
        /// Alpaca's error code.
        code: u16,
        /// Alpaca's text.
        message: String,
    },
    /// `subscription`: every symbol whose quotes are now subscribed; `*` means all symbols. Other channels are ignored.
    /// A missing list means an empty one.
    Subscription(Vec<String>),
}

impl ControlMessage {
    /// Parses a control message; `None` if a required field is missing or invalid.
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

/// How the feed reacts to an error code.
#[derive(Debug)]
pub(crate) enum ErrorAction {
    /// Retrying is pointless: the account, the key or the settings must change first.
    Fatal(FeedError),
    /// 406: another connection of this account is open. Retry slowly.
    HeldElsewhere,
    /// Close the socket and reconnect after a delay.
    Reconnect,
    /// 400: the request, or a symbol in it, is malformed. The connection and its subscriptions are unchanged.
    BadRequest,
    /// 405: the plan allows fewer symbols. The connection and its subscriptions are unchanged.
    SymbolLimit,
    /// Only count it.
    Ignore,
}

impl ErrorAction {
    pub(crate) fn for_code(code: u16) -> Self {
        match code {
            400 => Self::BadRequest,
            402 => Self::Fatal(FeedError::AuthenticationFailed),
            405 => Self::SymbolLimit,
            406 => Self::HeldElsewhere,
            408 => Self::Fatal(FeedError::NotEnabled),
            409 => Self::Fatal(FeedError::InsufficientSubscription),
            // We only ever request quotes, so no other request could succeed.
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
    fn a_missing_list_in_an_acknowledgement_is_empty() {
        let ack = json!({"T": "subscription", "trades": ["SPY"]});
        assert_eq!(ControlMessage::from_value(&ack), Some(ControlMessage::Subscription(Vec::new())));
        let ack = json!({"T": "subscription", "quotes": ["SPY", "*"]});
        assert_eq!(
            ControlMessage::from_value(&ack),
            Some(ControlMessage::Subscription(vec!["SPY".into(), "*".into()]))
        );
    }

    #[test]
    fn an_incomplete_control_message_is_none() {
        for value in [
            json!({"T": "error", "msg": "x"}),
            json!({"T": "error", "code": 70000}),
            json!({"T": "success"}),
            json!({"T": "subscription", "quotes": "SPY"}),
            json!({"T": "subscription", "quotes": [1]}),
            json!({}),
        ] {
            assert_eq!(ControlMessage::from_value(&value), None, "{value}");
        }
    }

    #[test]
    fn error_codes_that_a_retry_cannot_fix_are_fatal() {
        let fatal: Vec<_> =
            (400..=600).filter(|&code| matches!(ErrorAction::for_code(code), ErrorAction::Fatal(_))).collect();
        assert_eq!(fatal, [402, 408, 409, 410, 411, 412, 413]);
    }
}

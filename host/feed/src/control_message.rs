//! Control messages and how the feed reacts to each error code. Protocol: docs.alpaca.markets/docs/streaming-market-data.

use serde::Deserialize;

use crate::connection::SessionEnd;
use crate::error::FeedError;
use crate::status::RetryCause;

/// A message from the server about the connection rather than the market.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Wire")]
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

/// A control message as it is written. A missing or invalid field makes it malformed.
#[derive(Deserialize)]
#[serde(tag = "T", rename_all = "lowercase")]
enum Wire {
    Success {
        msg: String,
    },
    Error {
        code: u16,
        #[serde(default)]
        msg: String,
    },
    Subscription {
        #[serde(default)]
        quotes: Option<Vec<String>>,
    },
}

impl From<Wire> for ControlMessage {
    fn from(message: Wire) -> Self {
        match message {
            Wire::Success { msg } => match msg.as_str() {
                "connected" => Self::Connected,
                "authenticated" => Self::Authenticated,
                _ => Self::OtherSuccess(msg),
            },
            Wire::Error { code, msg } => Self::Error { code, message: msg },
            Wire::Subscription { quotes } => Self::Subscription(quotes.unwrap_or_default()),
        }
    }
}

/// How the feed reacts to an error code.
#[derive(Debug)]
pub(crate) enum ErrorAction {
    /// The connection is of no more use. Retrying is pointless if the account, the key or the settings must change first.
    End(SessionEnd),
    /// 400: the request, or a symbol in it, is malformed. The connection and its subscriptions are unchanged.
    BadRequest,
    /// 405: the plan allows fewer symbols. The connection and its subscriptions are unchanged.
    SymbolLimit,
    /// Only count it.
    Ignore,
}

impl ErrorAction {
    pub(crate) fn of(code: u16, message: &str) -> Self {
        let fatal = |error| Self::End(SessionEnd::Fatal(error));
        match code {
            400 => Self::BadRequest,
            402 => fatal(FeedError::AuthenticationFailed),
            405 => Self::SymbolLimit,
            // Another connection of this account is open.
            406 => Self::End(SessionEnd::retry(RetryCause::HeldElsewhere, message)),
            408 => fatal(FeedError::NotEnabled),
            409 => fatal(FeedError::InsufficientSubscription),
            // We only ever request quotes, so no other request could succeed.
            410 => fatal(FeedError::NoQuotes),
            411 => fatal(FeedError::InsufficientScope),
            412 => fatal(FeedError::MessagePackOnly),
            413 => fatal(FeedError::WildcardRefused),
            401 | 404 | 407 | 500..=599 => {
                Self::End(SessionEnd::retry(RetryCause::ServerError, format!("{code} {message}")))
            }
            _ => Self::Ignore,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// The message, which is the same in both encodings.
    fn read(message: &Value) -> Option<ControlMessage> {
        let json = serde_json::from_value(message.clone()).ok();
        assert_eq!(rmp_serde::from_slice(&rmp_serde::to_vec(message).unwrap()).ok(), json);
        json
    }

    #[test]
    fn a_missing_list_in_an_acknowledgement_is_empty() {
        let ack = json!({"T": "subscription", "trades": ["SPY"]});
        assert_eq!(read(&ack), Some(ControlMessage::Subscription(Vec::new())));
        let ack = json!({"T": "subscription", "quotes": ["SPY", "*"]});
        assert_eq!(read(&ack), Some(ControlMessage::Subscription(vec!["SPY".into(), "*".into()])));
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
            assert_eq!(read(&value), None, "{value}");
        }
    }

    #[test]
    fn error_codes_that_a_retry_cannot_fix_are_fatal() {
        let is_fatal = |code: &u16| matches!(ErrorAction::of(*code, ""), ErrorAction::End(SessionEnd::Fatal(_)));
        let fatal: Vec<_> = (400..=600).filter(is_fatal).collect();
        assert_eq!(fatal, [402, 408, 409, 410, 411, 412, 413]);
    }
}

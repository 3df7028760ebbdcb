use serde::{Deserialize, Serialize};

/// Why a connection ended or failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryCause {
    /// TCP, TLS or the upgrade failed, for a reason other than the two below.
    Connect,
    /// HTTP 429 at the upgrade.
    RateLimited,
    /// 406: another connection of this account is open.
    HeldElsewhere,
    /// The server did not follow the documented handshake, or took too long.
    Handshake,
    /// An error code that ends the connection: 401, 404, 407, 500.
    ServerError,
    /// The server closed the connection, or it broke.
    Closed,
    /// A request was not acknowledged in time.
    Unacknowledged,
    /// Pings went unanswered.
    Silent,
    /// No quotes for too long while the exchange was open.
    Stale,
}

impl RetryCause {
    /// The name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::RateLimited => "rate_limited",
            Self::HeldElsewhere => "held_elsewhere",
            Self::Handshake => "handshake",
            Self::ServerError => "server_error",
            Self::Closed => "closed",
            Self::Unacknowledged => "unacknowledged",
            Self::Silent => "silent",
            Self::Stale => "stale",
        }
    }
}

/// The state of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "cause")]
pub enum ConnectionState {
    /// Not started yet.
    #[default]
    Idle,
    /// Opening TCP, TLS and the websocket.
    Connecting,
    /// Waiting for the welcome or for the reply to our key.
    Authenticating,
    /// Authenticated; symbols are being subscribed and quotes may arrive.
    Streaming,
    /// Playing a recording.
    Replaying,
    /// Waiting to reconnect, for this reason.
    Waiting(RetryCause),
    /// Waiting because another host, or a dead connection that Alpaca has not noticed yet, uses the account (406).
    HeldElsewhere,
    /// Stopped on request, or gave up.
    Stopped,
}

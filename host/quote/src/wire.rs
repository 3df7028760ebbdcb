use std::fmt;

/// How Alpaca's messages are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Text frames, about 128 bytes per quote.
    Json,
    /// Binary frames, about 74 bytes per quote.
    MessagePack,
}

impl Encoding {
    /// The media type that asks for it when the websocket is opened.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::MessagePack => "application/msgpack",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::MessagePack => "msgpack",
        })
    }
}

/// How a client of Alpaca's stream authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthBy {
    /// With an `auth` message after the welcome, as Alpaca's own clients do.
    Message,
    /// With headers of the request that opens the websocket.
    Headers,
}

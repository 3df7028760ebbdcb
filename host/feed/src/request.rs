//! Messages to the server. They must use the encoding that the upgrade asked for.

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::Encoding;
use crate::settings::Credentials;
use crate::subscription::{Action, Request};

/// The `auth` message. Contains the secret: never log it.
pub(crate) fn auth(credentials: &Credentials, encoding: Encoding) -> Message {
    let (key, secret) = (credentials.key_id.as_str(), credentials.secret_key.expose_secret());
    message(&json!({"action": "auth", "key": key, "secret": secret}), encoding)
}

/// A `subscribe` or `unsubscribe` message for quotes.
pub(crate) fn subscription(request: &Request, encoding: Encoding) -> Message {
    let action = match request.action {
        Action::Subscribe => "subscribe",
        Action::Unsubscribe => "unsubscribe",
    };
    let names: Vec<&str> = request.names.iter().map(AsRef::as_ref).collect();
    message(&json!({"action": action, "quotes": names}), encoding)
}

fn message(request: &Value, encoding: Encoding) -> Message {
    match encoding {
        Encoding::Json => Message::text(request.to_string()),
        // Writing JSON values to a vector cannot fail.
        Encoding::MessagePack => Message::binary(rmp_serde::to_vec(request).unwrap_or_default()),
    }
}

//! Messages to the server. They must use the encoding that the upgrade asked for.

use secrecy::ExposeSecret;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::Encoding;
use crate::settings::Credentials;
use crate::subscription::{Action, Request};

/// The `auth` message. Contains the secret: never log it.
pub(crate) fn auth(credentials: &Credentials, encoding: Encoding) -> Message {
    let (key, secret) = (credentials.key_id.as_str(), credentials.secret_key.expose_secret());
    match encoding {
        Encoding::Json => Message::text(json!({"action": "auth", "key": key, "secret": secret}).to_string()),
        Encoding::MessagePack => {
            let mut out = vec![0x83];
            for part in ["action", "auth", "key", key, "secret", secret] {
                push_text(&mut out, part);
            }
            Message::binary(out)
        }
    }
}

/// A `subscribe` or `unsubscribe` message for quotes.
pub(crate) fn subscription(request: &Request, encoding: Encoding) -> Message {
    let action = match request.action {
        Action::Subscribe => "subscribe",
        Action::Unsubscribe => "unsubscribe",
    };
    match encoding {
        Encoding::Json => {
            let names: Vec<&str> = request.names.iter().map(AsRef::as_ref).collect();
            Message::text(json!({"action": action, "quotes": names}).to_string())
        }
        Encoding::MessagePack => {
            let mut out = vec![0x82];
            push_text(&mut out, "action");
            push_text(&mut out, action);
            push_text(&mut out, "quotes");
            out.push(0xdd);
            push_length(&mut out, request.names.len());
            request.names.iter().for_each(|name| push_text(&mut out, name));
            Message::binary(out)
        }
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(length @ 0..=31) => out.push(0xa0 | length),
        Ok(length) => out.extend([0xd9, length]),
        Err(_) => {
            out.push(0xdb);
            push_length(out, text.len());
        }
    }
    out.extend(text.as_bytes());
}

fn push_length(out: &mut Vec<u8>, length: usize) {
    out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

pub(crate) mod rule;

use std::net::IpAddr;
use std::path::PathBuf;

use figment::value::Value;
use quotegate_document::TenantId;
use secrecy::SecretString;
use serde_json::{Value as Json, json};

use super::{ValueError, ValueKind};
use rule::Rule;

/// A string that follows a rule.
pub(crate) struct Text {
    pub(crate) expects: &'static str,
    pub(crate) rule: Rule,
}

impl ValueKind for Text {
    type Value = String;

    fn expects(&self) -> String {
        self.expects.into()
    }

    fn schema(&self) -> Json {
        self.rule.schema()
    }

    fn parse(&self, value: &Value) -> Result<String, Vec<ValueError>> {
        let Value::String(_, text) = value else { return Err(self.wrong_type(value)) };
        let invalid = |why| {
            let error = ValueError::new(value, why, format!("Use {}.", self.expects));
            // What looks like `user:password@host` is not shown, though no setting should hold a password.
            let shown = error.shown.filter(|_| !text.contains('@'));
            vec![ValueError { shown, ..error }]
        };
        (self.rule.check)(text).map(|()| text.clone()).map_err(invalid)
    }

    fn show(&self, value: &String) -> String {
        format!("{value:?}")
    }
}

/// The id of a tenant.
pub(crate) struct TenantName;

const TENANT_ID: Text = Text { expects: "a tenant ID such as \"acme\"", rule: rule::FIRESTORE_ID };

impl ValueKind for TenantName {
    type Value = TenantId;

    fn expects(&self) -> String {
        TENANT_ID.expects()
    }

    fn schema(&self) -> Json {
        TENANT_ID.schema()
    }

    fn parse(&self, value: &Value) -> Result<TenantId, Vec<ValueError>> {
        let id = TENANT_ID.parse(value)?;
        TenantId::new(&id).map_err(|error| vec![ValueError::new(value, error.to_string(), TENANT_ID.expects)])
    }

    fn show(&self, value: &TenantId) -> String {
        format!("{value:?}")
    }
}

/// An IP address without a port.
pub(crate) struct IpAddress;

impl ValueKind for IpAddress {
    type Value = IpAddr;

    fn expects(&self) -> String {
        "an IP address such as \"0.0.0.0\"".into()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": "^[0-9A-Fa-f.:]+$" })
    }

    fn parse(&self, value: &Value) -> Result<IpAddr, Vec<ValueError>> {
        let Value::String(_, text) = value else { return Err(self.wrong_type(value)) };
        text.parse().map_err(|_| self.invalid(value, "This is not an IP address."))
    }

    fn show(&self, value: &IpAddr) -> String {
        format!("\"{value}\"")
    }
}

/// A path in the file system. A relative one starts at the working directory, wherever it was written.
pub(crate) struct FilePath;

impl ValueKind for FilePath {
    type Value = PathBuf;

    fn expects(&self) -> String {
        "a path".into()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "minLength": 1 })
    }

    fn parse(&self, value: &Value) -> Result<PathBuf, Vec<ValueError>> {
        match value {
            Value::String(_, text) if text.is_empty() => {
                Err(vec![ValueError::new(value, "The path is empty.", "Use a path, or remove the key.")])
            }
            Value::String(_, text) => Ok(PathBuf::from(text)),
            _ => Err(self.wrong_type(value)),
        }
    }

    fn show(&self, value: &PathBuf) -> String {
        format!("{:?}", value.display().to_string())
    }
}

/// A string that is never shown, not even in an error.
pub(crate) struct Secret;

impl ValueKind for Secret {
    type Value = SecretString;

    fn expects(&self) -> String {
        "a string, which is never printed".into()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": "\\S" })
    }

    fn parse(&self, value: &Value) -> Result<SecretString, Vec<ValueError>> {
        let invalid =
            |sentence: &str| Err(vec![ValueError::hidden(sentence, "Put the secret in quotes, or remove the key.")]);
        match value {
            Value::String(_, text) if text.trim().is_empty() => invalid("The secret is empty."),
            Value::String(_, text) => Ok(SecretString::from(text.trim())),
            _ => invalid("A secret must be a string."),
        }
    }

    fn show(&self, _: &SecretString) -> String {
        "set".into()
    }

    fn is_secret(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::rule::*;

    fn accepts(rule: Rule, text: &str) -> bool {
        (rule.check)(text).is_ok()
    }

    #[test]
    fn a_url_is_a_websocket_without_credentials() {
        for good in ["ws://127.0.0.1:8181", "wss://stream.data.alpaca.markets/v2/iex", "ws://[::1]:80/x", "ws://[::1]/"]
        {
            assert!(accepts(WEBSOCKET_URL, good), "{good}");
        }
        for bad in
            ["http://a", "ws://", "ws://:80", "wss://u:p@host", "ws://h:0", "ws://h:99999", "ws://h /", "ws:///x"]
        {
            assert!(!accepts(WEBSOCKET_URL, bad), "{bad}");
        }
    }

    #[test]
    fn a_rest_url_has_a_host_and_no_query() {
        for good in ["https://data.alpaca.markets", "http://127.0.0.1:8181/", "http://[::1]:80/alpaca"] {
            assert!(accepts(HTTP_URL, good), "{good}");
        }
        for bad in ["ws://a", "http://", "https://u:p@host", "http://h:0", "https://h/?a=b", "http://h /"] {
            assert!(!accepts(HTTP_URL, bad), "{bad}");
        }
    }

    #[test]
    fn a_broker_is_a_host_without_credentials_or_nothing() {
        for good in ["nats://127.0.0.1:4222", "tls://nats.example", "nats://[::1]:4222/", "nats://a:1,nats://b:2", ""] {
            assert!(accepts(NATS_URLS_OR_NONE, good), "{good}");
        }
        for bad in [
            "127.0.0.1:4222",
            "http://a",
            "nats://",
            "nats://token@host",
            "nats://h:0",
            "nats://h/x",
            "tls://h?a",
            "nats://a,",
        ] {
            assert!(!accepts(NATS_URLS_OR_NONE, bad), "{bad}");
        }
    }

    #[test]
    fn an_emulator_is_a_host_and_a_port() {
        assert!(accepts(HOST_AND_PORT, "localhost:8080"));
        assert!(accepts(HOST_AND_PORT, "[::1]:8080"));
        for bad in ["localhost", "http://localhost:8080", ":8080", "localhost:", "[::1]", "a/b:80"] {
            assert!(!accepts(HOST_AND_PORT, bad), "{bad}");
        }
    }

    #[test]
    fn a_field_may_be_nested_and_may_be_missing() {
        for good in ["_event_time", "host.event_time", ""] {
            assert!(accepts(FIELD_PATH_OR_NONE, good), "{good}");
        }
        for bad in ["event time", "1st", "a..b", "__time__", "a."] {
            assert!(!accepts(FIELD_PATH_OR_NONE, bad), "{bad}");
        }
    }

    #[test]
    fn a_misspelled_level_is_not_taken_for_a_target() {
        assert!(accepts(LOG_FILTER, "info,quotegate_feed=debug, hyper=OFF"));
        for bad in ["inof", "info,", "a=b", ""] {
            assert!(!accepts(LOG_FILTER, bad), "{bad}");
        }
    }
}

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

/// The rules that strings follow.
pub(crate) mod rule {
    use quotegate_document::{FieldPath, check_collection_path, check_id};
    use serde_json::{Value as Json, json};

    /// A check, and what a JSON Schema can say of it. The patterns are those that JavaScript and Rust's regex crate
    /// both understand, so they have no look-around.
    #[derive(Clone, Copy)]
    pub(crate) struct Rule {
        /// Says why a string is not valid.
        pub(crate) check: fn(&str) -> Result<(), String>,
        /// What every valid string matches.
        pub(crate) pattern: &'static str,
        /// What no valid string matches.
        pub(crate) never: Option<&'static str>,
    }

    impl Rule {
        pub(crate) fn schema(self) -> Json {
            let mut schema = json!({ "type": "string", "pattern": self.pattern });
            if let Some(never) = self.never {
                schema["not"] = json!({ "pattern": never });
            }
            schema
        }
    }

    /// A legal Firestore id.
    pub(crate) const FIRESTORE_ID: Rule = Rule {
        check: |text| check_id(text).map_err(|error| format!("Firestore does not accept this: {error}.")),
        pattern: r"^[^/\x00-\x1f\x7f]+$",
        never: Some(r"^(\.|\.\.|__.*__)$"),
    };

    /// The path of a collection below a tenant that is not reserved.
    pub(crate) const COLLECTION_PATH: Rule = Rule {
        check: |text| check_collection_path(text).map_err(|error| format!("This is not a collection: {error}.")),
        pattern: r"^[^/\x00-\x1f\x7f]+(/[^/\x00-\x1f\x7f]+/[^/\x00-\x1f\x7f]+)*$",
        never: Some(r"^(ops|users)(/|$)|(^|/)(\.|\.\.|__[^/]*__)(/|$)"),
    };

    /// A Firestore field whose names need no quoting, or nothing.
    pub(crate) const FIELD_PATH_OR_NONE: Rule = Rule {
        check: |text| match text {
            "" => Ok(()),
            _ => FieldPath::new(text.to_owned()).map(drop).map_err(|error| format!("This is not a field: {error}.")),
        },
        pattern: r"^([A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*)?$",
        never: Some(r"(^|\.)__.*__(\.|$)"),
    };

    /// What logs, metrics, and a field of the heartbeat can hold.
    pub(crate) const PLUGIN_NAME: Rule = Rule { check: plugin_name, pattern: "^[a-z][a-z0-9-]{0,63}$", never: None };

    pub(crate) fn plugin_name(text: &str) -> Result<(), String> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        match text.chars().find(|c| !allowed(*c)) {
            Some(wrong) => Err(format!("It contains {wrong:?}.")),
            None if !text.starts_with(|c: char| c.is_ascii_lowercase()) => {
                Err("It does not begin with a letter.".into())
            }
            None if text.len() > 64 => Err("It is longer than 64 characters.".into()),
            None => Ok(()),
        }
    }

    /// A hash as `sha256sum` prints it.
    pub(crate) const SHA256: Rule = Rule { check: sha256, pattern: "^[0-9A-Fa-f]{64}$", never: None };

    fn sha256(text: &str) -> Result<(), String> {
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(());
        }
        Err("This is not a SHA-256 hash.".into())
    }

    /// Something that a resource name can hold as one part.
    pub(crate) const ONE_WORD: Rule = Rule { check: one_word, pattern: r"^[^\s\x00-\x1f\x7f/]+$", never: None };

    fn one_word(text: &str) -> Result<(), String> {
        match text.chars().find(|c| c.is_whitespace() || c.is_control() || *c == '/') {
            Some(wrong) => Err(format!("It contains {wrong:?}.")),
            None if text.is_empty() => Err("It is empty.".into()),
            None => Ok(()),
        }
    }

    /// `ws://host[:port][/path]`, or `wss`. Credentials in it would be shown by `check` and in logs.
    pub(crate) const WEBSOCKET_URL: Rule =
        Rule { check: websocket_url, pattern: r"^wss?://[^\s/?#@:][^\s/?#@]*([/?#]\S*)?$", never: None };

    fn websocket_url(text: &str) -> Result<(), String> {
        url(text, ["ws://", "wss://"])
    }

    /// The same with `http` or `https`, and without a query.
    pub(crate) const HTTP_URL: Rule =
        Rule { check: http_url, pattern: r"^https?://[^\s/?#@:][^\s/?#@]*(/[^\s?#]*)?$", never: None };

    fn http_url(text: &str) -> Result<(), String> {
        if text.contains(['?', '#']) {
            return Err("It contains a query or a fragment.".into());
        }
        url(text, ["http://", "https://"])
    }

    /// The same with `nats` or `tls` and without a path, several separated by commas, or nothing.
    pub(crate) const NATS_URLS_OR_NONE: Rule = Rule {
        check: nats_urls_or_none,
        pattern: r"^((nats|tls)://[^\s/?#@:,][^\s/?#@,]*/?(,(nats|tls)://[^\s/?#@:,][^\s/?#@,]*/?)*)?$",
        never: None,
    };

    fn nats_urls_or_none(text: &str) -> Result<(), String> {
        let one = |text: &str| match text.split_once("://") {
            Some((_, rest)) if rest.trim_end_matches('/').contains(['/', '?', '#']) => {
                Err("It contains more than a host and a port.".into())
            }
            _ => url(text, ["nats://", "tls://"]),
        };
        if text.is_empty() { Ok(()) } else { text.split(',').try_for_each(one) }
    }

    fn url(text: &str, schemes: [&str; 2]) -> Result<(), String> {
        let Some(rest) = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)) else {
            return Err(format!("It does not begin with {} or {}.", schemes[0], schemes[1]));
        };
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("It contains whitespace or a control character.".into());
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err("It contains a user name or password.".into());
        }
        host_and_optional_port(authority)
    }

    /// `host:port`.
    pub(crate) const HOST_AND_PORT: Rule = Rule { check: host_and_port, pattern: r"^[^\s/]+:\+?[0-9]+$", never: None };

    fn host_and_port(text: &str) -> Result<(), String> {
        if text.contains("://") {
            return Err("It contains a scheme.".into());
        }
        match text.rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => host_and_optional_port(text),
            _ => Err("It has no port.".into()),
        }
    }

    fn host_and_optional_port(authority: &str) -> Result<(), String> {
        let (host, port) = match authority.rsplit_once(':') {
            // The last colon of `[::1]` is inside the address.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err("It has no host.".into());
        }
        match port.map(str::parse::<u16>) {
            None => Ok(()),
            Some(Ok(port)) if port != 0 => Ok(()),
            Some(_) => Err("Its port is not a number from 1 to 65535.".into()),
        }
    }

    /// Levels, for everything or for one part of the program: `info,quotegate_feed=debug`. A bare word must be a
    /// level, since a misspelled level would otherwise be taken for the name of a part and silence everything else.
    pub(crate) const LOG_FILTER: Rule = Rule {
        check: log_filter,
        // Levels in any case; JavaScript has no inline flag for that.
        pattern: r"^([^,]*=)?\s*([Oo][Ff][Ff]|[Ee][Rr][Rr][Oo][Rr]|[Ww][Aa][Rr][Nn]|[Ii][Nn][Ff][Oo]|[Dd][Ee][Bb][Uu][Gg]|[Tt][Rr][Aa][Cc][Ee])\s*(,([^,]*=)?\s*([Oo][Ff][Ff]|[Ee][Rr][Rr][Oo][Rr]|[Ww][Aa][Rr][Nn]|[Ii][Nn][Ff][Oo]|[Dd][Ee][Bb][Uu][Gg]|[Tt][Rr][Aa][Cc][Ee])\s*)*$",
        never: None,
    };

    fn log_filter(text: &str) -> Result<(), String> {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        for directive in text.split(',').map(str::trim) {
            let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
            if !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
                return Err(format!("{level:?} is not a log level. The levels are {}.", LEVELS.join(", ")));
            }
        }
        Ok(())
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

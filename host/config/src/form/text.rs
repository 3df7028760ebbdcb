use std::path::PathBuf;

use figment::value::Value;
use secrecy::SecretString;

use super::{Form, Refusal};

/// Says why a text is no good.
pub(crate) type Rule = fn(&str) -> Result<(), String>;

/// A text that follows a rule.
pub(crate) struct Text {
    pub(crate) expects: &'static str,
    pub(crate) rule: Rule,
}

impl Form for Text {
    type Value = String;

    fn expects(&self) -> String {
        self.expects.into()
    }

    fn parse(&self, value: &Value) -> Result<String, Vec<Refusal>> {
        let Value::String(_, text) = value else { return Err(vec![Refusal::kind(self, value)]) };
        let refused = |why| {
            let refusal = Refusal::new(value, why, format!("Give {}.", self.expects));
            // What has the form of `user:password@host` is not shown, though no text should hold a password.
            let shown = refusal.shown.filter(|_| !text.contains('@'));
            vec![Refusal { shown, ..refusal }]
        };
        (self.rule)(text).map(|()| text.clone()).map_err(refused)
    }

    fn show(&self, value: &String) -> String {
        format!("{value:?}")
    }
}

/// A path of the file system. A relative one starts at the working directory, wherever it was written.
pub(crate) struct PathText;

impl Form for PathText {
    type Value = PathBuf;

    fn expects(&self) -> String {
        "a path".into()
    }

    fn parse(&self, value: &Value) -> Result<PathBuf, Vec<Refusal>> {
        match value {
            Value::String(_, text) if text.is_empty() => {
                Err(vec![Refusal::new(value, "The path is empty.", "Give a path, or leave the key out.")])
            }
            Value::String(_, text) => Ok(PathBuf::from(text)),
            _ => Err(vec![Refusal::kind(self, value)]),
        }
    }

    fn show(&self, value: &PathBuf) -> String {
        format!("{:?}", value.display().to_string())
    }
}

/// A text that is never shown, not even in a refusal.
pub(crate) struct Secret;

impl Form for Secret {
    type Value = SecretString;

    fn expects(&self) -> String {
        "a text that is never shown".into()
    }

    fn parse(&self, value: &Value) -> Result<SecretString, Vec<Refusal>> {
        let refused = |sentence: &str| {
            let refusal = Refusal::new(value, sentence, "Give the secret as a text in quotes, or leave the key out.");
            vec![Refusal { shown: None, ..refusal }]
        };
        match value {
            Value::String(_, text) if text.trim().is_empty() => Err(refused("The secret is empty.")),
            Value::String(_, text) => Ok(SecretString::from(text.trim())),
            _ => Err(refused("A secret is a text, and this is none.")),
        }
    }

    fn show(&self, _: &SecretString) -> String {
        "set".into()
    }

    fn is_secret(&self) -> bool {
        true
    }
}

/// The rules that texts follow.
pub(crate) mod rule {
    use quotegate_document::check_id;

    /// A legal Firestore id.
    pub(crate) fn firestore_id(text: &str) -> Result<(), String> {
        check_id(text).map_err(|problem| format!("Firestore does not take this: {problem}."))
    }

    /// What log, metrics and a field of the heartbeat can hold.
    pub(crate) fn plugin_name(text: &str) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        match text.chars().find(|c| !plain(*c)) {
            Some(wrong) => Err(format!("It contains {wrong:?}.")),
            None if !text.starts_with(|c: char| c.is_ascii_lowercase()) => {
                Err("It does not begin with a letter.".into())
            }
            None if text.len() > 64 => Err("It is longer than 64 characters.".into()),
            None => Ok(()),
        }
    }

    /// An address without a port.
    pub(crate) fn ip_address(text: &str) -> Result<(), String> {
        text.parse::<std::net::IpAddr>().map(drop).map_err(|_| "This is no IP address.".into())
    }

    /// A hash as `sha256sum` prints it.
    pub(crate) fn sha256(text: &str) -> Result<(), String> {
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(());
        }
        Err("This is no SHA-256.".into())
    }

    /// Something that a resource name can hold as one part.
    pub(crate) fn one_word(text: &str) -> Result<(), String> {
        match text.chars().find(|c| c.is_whitespace() || c.is_control() || *c == '/') {
            Some(wrong) => Err(format!("It contains {wrong:?}.")),
            None if text.is_empty() => Err("It is empty.".into()),
            None => Ok(()),
        }
    }

    /// `ws://host[:port][/path]`, or `wss`. Credentials in it would be shown by `check` and in logs.
    pub(crate) fn websocket_url(text: &str) -> Result<(), String> {
        let Some(rest) = text.strip_prefix("wss://").or_else(|| text.strip_prefix("ws://")) else {
            return Err("It does not begin with ws:// or wss://.".into());
        };
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("It contains a blank or a control character.".into());
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err("It holds a user name or password.".into());
        }
        host_and_maybe_port(authority)
    }

    /// `host:port`.
    pub(crate) fn host_and_port(text: &str) -> Result<(), String> {
        if text.contains("://") {
            return Err("It begins with a scheme.".into());
        }
        match text.rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => host_and_maybe_port(text),
            _ => Err("It has no port.".into()),
        }
    }

    fn host_and_maybe_port(authority: &str) -> Result<(), String> {
        let (host, port) = match authority.rsplit_once(':') {
            // The last colon of `[::1]` is inside the address.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err("It names no host.".into());
        }
        match port.map(str::parse::<u16>) {
            None => Ok(()),
            Some(Ok(port)) if port != 0 => Ok(()),
            Some(_) => Err("Its port is not a number from 1 to 65535.".into()),
        }
    }

    /// Levels, for everything or for one part of the program: `info,quotegate_feed=debug`. A bare word must be a
    /// level, since a misspelt level would otherwise be taken for a part's name and silence everything else.
    pub(crate) fn log_filter(text: &str) -> Result<(), String> {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        for directive in text.split(',').map(str::trim) {
            let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
            if !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
                return Err(format!("{level:?} is not a level; the levels are {}.", LEVELS.join(", ")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::rule::*;

    #[test]
    fn a_url_is_a_websocket_without_credentials() {
        for good in ["ws://127.0.0.1:8181", "wss://stream.data.alpaca.markets/v2/iex", "ws://[::1]:80/x", "ws://[::1]/"]
        {
            assert_eq!(websocket_url(good), Ok(()), "{good}");
        }
        for bad in
            ["http://a", "ws://", "ws://:80", "wss://u:p@host", "ws://h:0", "ws://h:99999", "ws://h /", "ws:///x"]
        {
            assert!(websocket_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_emulator_is_a_host_and_a_port() {
        assert_eq!(host_and_port("localhost:8080"), Ok(()));
        assert_eq!(host_and_port("[::1]:8080"), Ok(()));
        for bad in ["localhost", "http://localhost:8080", ":8080", "localhost:", "[::1]", "a/b:80"] {
            assert!(host_and_port(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_misspelt_level_is_not_taken_for_a_target() {
        assert_eq!(log_filter("info,quotegate_feed=debug, hyper=OFF"), Ok(()));
        for bad in ["inof", "info,", "a=b", ""] {
            assert!(log_filter(bad).is_err(), "{bad}");
        }
    }
}

//! The rules that strings follow.

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
        None if !text.starts_with(|c: char| c.is_ascii_lowercase()) => Err("It does not begin with a letter.".into()),
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

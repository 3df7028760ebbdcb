//! Parses one client's requests and keeps its subscriptions. Pure: knows nothing of sockets or time.

use std::collections::{BTreeMap, BTreeSet};

use quotegate_market::Symbol;
use serde_json::{Map, Value, json};

/// The channels in every acknowledgement. The last two come with trades.
const CHANNELS: [&str; 9] =
    ["trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds", "corrections", "cancelErrors"];
/// Channels of other feeds, and of stocks since 2024. They are acknowledged once they were asked for.
const RARE_CHANNELS: [&str; 3] = ["orderbooks", "news", "imbalances"];

/// An error message of the protocol.
pub(crate) fn error(code: u16, text: &str) -> Value {
    json!({"T": "error", "code": code, "msg": text})
}

/// One client's login and subscriptions.
#[derive(Debug, Default)]
pub(crate) struct ClientState {
    pub(crate) authenticated: bool,
    sets: BTreeMap<&'static str, BTreeSet<String>>,
}

/// A client's request.
#[derive(Debug, PartialEq)]
pub(crate) enum Request {
    /// The key and the secret.
    Authenticate(String, String),
    /// Adds or removes these symbols by channel.
    Change { subscribe: bool, lists: Vec<(&'static str, Vec<String>)> },
    /// Invalid; answered with this error.
    Invalid(u16, &'static str),
}

/// Parses a request. `None` is a message that was neither JSON nor MessagePack.
pub(crate) fn read(message: Option<&Value>) -> Request {
    let syntax = Request::Invalid(400, "invalid syntax");
    let Some(Value::Object(message)) = message else { return syntax };
    let text = |key: &str| message.get(key).and_then(Value::as_str).unwrap_or_default();
    match text("action") {
        "auth" => Request::Authenticate(text("key").to_owned(), text("secret").to_owned()),
        action @ ("subscribe" | "unsubscribe") => match lists(message) {
            Ok(lists) if lists.is_empty() => syntax,
            Ok(lists) => Request::Change { subscribe: action == "subscribe", lists },
            Err(invalid) => invalid,
        },
        _ => syntax,
    }
}

fn lists(message: &Map<String, Value>) -> Result<Vec<(&'static str, Vec<String>)>, Request> {
    let mut lists = Vec::new();
    for (key, names) in message.iter().filter(|(key, _)| *key != "action") {
        let Some(channel) = CHANNELS.iter().chain(&RARE_CHANNELS).find(|channel| *channel == key) else {
            return Err(Request::Invalid(410, "invalid subscribe action for this feed"));
        };
        let names = names.as_array().map(|names| names.iter().map(name).collect::<Option<Vec<_>>>());
        match names.flatten() {
            Some(names) => lists.push((*channel, names)),
            // One invalid symbol makes the whole request invalid.
            None => return Err(Request::Invalid(400, "invalid syntax")),
        }
    }
    Ok(lists)
}

fn name(value: &Value) -> Option<String> {
    let name = value.as_str()?;
    (name == "*" || Symbol::new(name).is_ok()).then(|| name.to_owned())
}

impl ClientState {
    /// Changes the subscriptions, unless they would have more than `limit` symbols.
    pub(crate) fn change(
        &mut self,
        subscribe: bool,
        lists: Vec<(&'static str, Vec<String>)>,
        limit: Option<usize>,
    ) -> Result<(), Value> {
        let mut sets = self.sets.clone();
        for (channel, names) in lists {
            let set = sets.entry(channel).or_default();
            for name in names {
                if subscribe {
                    set.insert(name);
                } else {
                    set.remove(&name);
                }
            }
        }
        let held: BTreeSet<_> = sets.values().flatten().collect();
        // `*` is every symbol, and so above any limit.
        let wildcard = held.iter().any(|name| *name == "*");
        if limit.is_some_and(|limit| wildcard || held.len() > limit) {
            return Err(error(405, "symbol limit exceeded"));
        }
        self.sets = sets;
        Ok(())
    }

    /// All subscriptions, which is how every change is acknowledged.
    pub(crate) fn acknowledgement(&self) -> Value {
        let mut message = Map::new();
        message.insert("T".to_owned(), json!("subscription"));
        let rare = RARE_CHANNELS.into_iter().filter(|channel| self.sets.contains_key(channel));
        for channel in CHANNELS.into_iter().chain(rare) {
            let mut names = self.sets.get(channel).cloned().unwrap_or_default();
            if ["corrections", "cancelErrors"].contains(&channel) {
                names.extend(self.sets.get("trades").into_iter().flatten().cloned());
            }
            message.insert(channel.to_owned(), json!(names));
        }
        Value::Object(message)
    }

    /// True if the client is subscribed to quotes of `symbol`.
    pub(crate) fn wants(&self, symbol: &Symbol) -> bool {
        let quotes = self.sets.get("quotes");
        quotes.is_some_and(|quotes| quotes.contains("*") || quotes.contains(symbol.as_str()))
    }

    /// The symbols whose quotes are subscribed; may include `*`.
    pub(crate) fn quotes(&self) -> impl Iterator<Item = &String> {
        self.sets.get("quotes").into_iter().flatten()
    }

    /// Removes every other symbol, for [`crate::Fault::MissingAck`].
    pub(crate) fn forget_half(&mut self) {
        if let Some(quotes) = self.sets.get_mut("quotes") {
            let mut keep = false;
            quotes.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(state: &mut ClientState, message: &Value, limit: Option<usize>) -> Value {
        match read(Some(message)) {
            Request::Change { subscribe, lists } => match state.change(subscribe, lists, limit) {
                Ok(()) => state.acknowledgement(),
                Err(error) => error,
            },
            Request::Invalid(code, text) => error(code, text),
            Request::Authenticate(..) => json!("auth"),
        }
    }

    #[test]
    fn an_acknowledgement_has_all_subscriptions() {
        let mut state = ClientState::default();
        ask(&mut state, &json!({"action": "subscribe", "quotes": ["SPY"], "trades": ["AAPL"]}), None);
        let whole = ask(&mut state, &json!({"action": "subscribe", "quotes": ["AAPL"]}), None);
        assert_eq!(whole["quotes"], json!(["AAPL", "SPY"]));
        assert_eq!((&whole["corrections"], &whole["cancelErrors"]), (&json!(["AAPL"]), &json!(["AAPL"])));
        let left = ask(&mut state, &json!({"action": "unsubscribe", "quotes": ["SPY", "NEVER"]}), None);
        assert_eq!(left["quotes"], json!(["AAPL"]));
    }

    #[test]
    fn a_bad_request_changes_nothing() {
        let mut state = ClientState::default();
        ask(&mut state, &json!({"action": "subscribe", "quotes": ["SPY"]}), Some(2));
        for (message, code) in [
            (json!({"action": "subscribe", "quotes": ["A B"]}), 400),
            (json!({"action": "subscribe"}), 400),
            (json!({"action": "explode"}), 400),
            (json!([]), 400),
            (json!({"action": "subscribe", "gossip": ["SPY"]}), 410),
            (json!({"action": "subscribe", "quotes": ["A", "B"]}), 405),
        ] {
            assert_eq!(ask(&mut state, &message, Some(2))["code"], code, "{message}");
        }
        assert_eq!(state.quotes().collect::<Vec<_>>(), ["SPY"]);
    }

    #[test]
    fn empty_lists_and_channels_without_data_are_acknowledged() {
        let mut state = ClientState::default();
        let all = json!({
            "action": "subscribe", "trades": [], "quotes": ["SPY"], "bars": [], "updatedBars": ["SPY"], "dailyBars": [],
            "statuses": ["*"], "lulds": [], "corrections": ["SPY"], "cancelErrors": [], "orderbooks": [], "news": ["*"],
        });
        let set = ask(&mut state, &all, None);
        assert_eq!(
            (&set["quotes"], &set["updatedBars"], &set["statuses"]),
            (&json!(["SPY"]), &json!(["SPY"]), &json!(["*"]))
        );
        assert_eq!(
            (&set["orderbooks"], &set["news"], &set["corrections"]),
            (&json!([]), &json!(["*"]), &json!(["SPY"]))
        );
        let unchanged = ask(&mut state, &json!({"action": "unsubscribe", "quotes": [], "orderbooks": []}), None);
        assert_eq!(unchanged, set);
        assert_eq!(set.get("imbalances"), None);
    }
}

//! What one client may do, and what it is told. Pure: knows nothing of sockets or time.

use std::collections::{BTreeMap, BTreeSet};

use quotegate_market::Symbol;
use serde_json::{Map, Value, json};

/// Every list of an acknowledgement. The last two cannot be asked for: they come with trades.
const CHANNELS: [&str; 9] =
    ["trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds", "corrections", "cancelErrors"];
/// How many of them a client may ask for.
const ASKABLE: usize = 7;

/// An error message of the protocol.
pub(crate) fn error(code: u16, text: &str) -> Value {
    json!({"T": "error", "code": code, "msg": text})
}

/// One client's session.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) authenticated: bool,
    sets: BTreeMap<&'static str, BTreeSet<String>>,
}

/// What a client wants.
#[derive(Debug, PartialEq)]
pub(crate) enum Request {
    /// With this key and secret.
    Authenticate(String, String),
    /// These lists, to be added or removed.
    Change { subscribe: bool, lists: Vec<(&'static str, Vec<String>)> },
    /// Something that is answered with this error.
    Wrong(u16, &'static str),
}

/// Understands a message; `None`: it was no JSON or MessagePack at all.
pub(crate) fn read(message: Option<&Value>) -> Request {
    let syntax = Request::Wrong(400, "invalid syntax");
    let Some(Value::Object(message)) = message else { return syntax };
    let text = |key: &str| message.get(key).and_then(Value::as_str).unwrap_or_default();
    match text("action") {
        "auth" => Request::Authenticate(text("key").to_owned(), text("secret").to_owned()),
        action @ ("subscribe" | "unsubscribe") => match lists(message) {
            Ok(lists) if lists.iter().all(|(_, names)| names.is_empty()) => syntax,
            Ok(lists) => Request::Change { subscribe: action == "subscribe", lists },
            Err(wrong) => wrong,
        },
        _ => syntax,
    }
}

fn lists(message: &Map<String, Value>) -> Result<Vec<(&'static str, Vec<String>)>, Request> {
    let mut lists = Vec::new();
    for (key, names) in message.iter().filter(|(key, _)| *key != "action") {
        let Some(channel) = CHANNELS[..ASKABLE].iter().find(|channel| *channel == key) else {
            return Err(Request::Wrong(410, "invalid subscribe action for this feed"));
        };
        let names = names.as_array().map(|names| names.iter().map(name).collect::<Option<Vec<_>>>());
        match names.flatten() {
            Some(names) => lists.push((*channel, names)),
            // One bad symbol refuses the whole request.
            None => return Err(Request::Wrong(400, "invalid syntax")),
        }
    }
    Ok(lists)
}

fn name(value: &Value) -> Option<String> {
    let name = value.as_str()?;
    (name == "*" || Symbol::new(name).is_ok()).then(|| name.to_owned())
}

impl Session {
    /// Adds or removes what is asked for, unless more than `limit` symbols would be held.
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
        // `*` is every symbol there is, and so over any limit.
        let everything = held.iter().any(|name| *name == "*");
        if limit.is_some_and(|limit| everything || held.len() > limit) {
            return Err(error(405, "symbol limit exceeded"));
        }
        self.sets = sets;
        Ok(())
    }

    /// The whole of what is subscribed, as each change is acknowledged.
    pub(crate) fn acknowledgement(&self) -> Value {
        let mut message = Map::new();
        message.insert("T".to_owned(), json!("subscription"));
        for channel in CHANNELS {
            // Trades bring their corrections along.
            let source = if CHANNELS[ASKABLE..].contains(&channel) { "trades" } else { channel };
            message.insert(channel.to_owned(), json!(self.sets.get(source).cloned().unwrap_or_default()));
        }
        Value::Object(message)
    }

    /// True if quotes of `symbol` are subscribed.
    pub(crate) fn wants(&self, symbol: &Symbol) -> bool {
        let quotes = self.sets.get("quotes");
        quotes.is_some_and(|quotes| quotes.contains("*") || quotes.contains(symbol.as_str()))
    }

    /// The names in the list of quotes; `*` is one.
    pub(crate) fn quotes(&self) -> impl Iterator<Item = &String> {
        self.sets.get("quotes").into_iter().flatten()
    }

    /// Forgets every other symbol that `names` asks for: the fault of an incomplete acknowledgement.
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

    fn ask(session: &mut Session, message: &Value, limit: Option<usize>) -> Value {
        match read(Some(message)) {
            Request::Change { subscribe, lists } => match session.change(subscribe, lists, limit) {
                Ok(()) => session.acknowledgement(),
                Err(error) => error,
            },
            Request::Wrong(code, text) => error(code, text),
            Request::Authenticate(..) => json!("auth"),
        }
    }

    #[test]
    fn an_acknowledgement_holds_the_whole_set() {
        let mut session = Session::default();
        ask(&mut session, &json!({"action": "subscribe", "quotes": ["SPY"], "trades": ["AAPL"]}), None);
        let whole = ask(&mut session, &json!({"action": "subscribe", "quotes": ["AAPL"]}), None);
        assert_eq!(whole["quotes"], json!(["AAPL", "SPY"]));
        assert_eq!((&whole["corrections"], &whole["cancelErrors"]), (&json!(["AAPL"]), &json!(["AAPL"])));
        let left = ask(&mut session, &json!({"action": "unsubscribe", "quotes": ["SPY", "NEVER"]}), None);
        assert_eq!(left["quotes"], json!(["AAPL"]));
    }

    #[test]
    fn a_bad_request_changes_nothing() {
        let mut session = Session::default();
        ask(&mut session, &json!({"action": "subscribe", "quotes": ["SPY"]}), Some(2));
        for (message, code) in [
            (json!({"action": "subscribe", "quotes": ["A B"]}), 400),
            (json!({"action": "subscribe", "quotes": []}), 400),
            (json!({"action": "explode"}), 400),
            (json!([]), 400),
            (json!({"action": "subscribe", "orderbooks": ["SPY"]}), 410),
            (json!({"action": "subscribe", "quotes": ["A", "B"]}), 405),
        ] {
            assert_eq!(ask(&mut session, &message, Some(2))["code"], code, "{message}");
        }
        assert_eq!(session.quotes().collect::<Vec<_>>(), ["SPY"]);
    }
}

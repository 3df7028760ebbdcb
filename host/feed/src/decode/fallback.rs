//! The fallback for JSON: decodes one message with serde_json if the fast path cannot.

use std::borrow::Cow;
use std::collections::BTreeMap;

use quotegate_market::conditions;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::fields::{Fields, Kind, Optional, letter};
use super::number;
use super::timestamp::{DateCache, rfc3339};

/// The members of an object, values unparsed: numbers keep their text, so that they can be read exactly. Of two with the same
/// key, the last counts.
#[derive(Deserialize)]
pub(super) struct Members<'a>(#[serde(borrow)] BTreeMap<Key<'a>, &'a RawValue>);

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The JSON value that starts at the beginning of `text`, and its length. `None` if it is broken or truncated.
pub(super) fn value(text: &str) -> Option<(&RawValue, usize)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let value = values.next()?.ok()?;
    Some((value, values.byte_offset()))
}

impl<'a> Members<'a> {
    /// `None` unless `value` is an object.
    pub(super) fn of(value: &'a RawValue) -> Option<Self> {
        serde_json::from_str(value.get()).ok()
    }

    /// The members themselves.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(Key(key), value)| (key.as_ref(), *value))
    }

    /// The unescaped values of `T` and `S`, for [`Members::fields`] to borrow.
    pub(super) fn texts(&self) -> (Option<String>, Option<String>) {
        let of = |name: &'static str| self.0.get(&Key(name.into())).and_then(|value| text(value));
        (of("T"), of("S"))
    }

    /// Parses the members. `texts` comes from [`Members::texts`].
    pub(super) fn fields<'t>(&self, texts: &'t (Option<String>, Option<String>), dates: &mut DateCache) -> Fields<'t> {
        let mut fields = Fields {
            kind: texts.0.as_deref().map_or(Kind::Missing, |kind| Kind::of(kind.as_bytes())),
            symbol: texts.1.as_deref().map(str::as_bytes),
            ..Fields::default()
        };
        for (key, value) in self.iter() {
            match key {
                "bx" => fields.set_letter(Optional::BidExchange, one_letter(value)),
                "ax" => fields.set_letter(Optional::AskExchange, one_letter(value)),
                "z" => fields.set_letter(Optional::Tape, one_letter(value)),
                "bp" => fields.set_number(Optional::BidPrice, number(value)),
                "bs" => fields.set_number(Optional::BidSize, number(value)),
                "ap" => fields.set_number(Optional::AskPrice, number(value)),
                "as" => fields.set_number(Optional::AskSize, number(value)),
                "c" => fields.set_conditions(packed_conditions(value)),
                "t" => fields.event_time = text(value).and_then(|text| rfc3339(text.as_bytes(), dates)),
                _ => {}
            }
        }
        fields
    }
}

fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

fn one_letter(value: &RawValue) -> Option<u8> {
    if is_null(value) { Some(0) } else { text(value).map(|text| letter(text.as_bytes())) }
}

fn number(value: &RawValue) -> Option<f64> {
    if is_null(value) { Some(0.0) } else { number::whole(value.get().as_bytes()) }
}

fn packed_conditions(value: &RawValue) -> Option<u32> {
    if is_null(value) {
        return Some(0);
    }
    if let Some(text) = text(value) {
        return Some(conditions::pack([text.as_bytes()]));
    }
    let texts: Vec<String> = serde_json::from_str(value.get()).ok()?;
    Some(conditions::pack(texts.iter().map(String::as_bytes)))
}

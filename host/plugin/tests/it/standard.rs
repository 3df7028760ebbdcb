//! The standard plugins' components, as they stand in the repository, are what their sources say: each is given the
//! same random quotes and settings as its source compiled natively, and must answer the same.

mod filter;
mod map;
mod readme;
use crate::common;

use std::sync::LazyLock;

use common::{FIELD_MAP, QUOTE_FILTER, engine, tenant};
use proptest::prelude::*;
use proptest::sample::select;
use quotegate_market::{Quote, Symbol};
use quotegate_plugin::{PluginEngine, PluginInstance, PluginLimits, PreparedPlugin};

/// Compiled once for all cases. The engine goes with them, because it keeps the clock of the time limits.
static PLUGINS: LazyLock<(PluginEngine, PreparedPlugin, PreparedPlugin)> = LazyLock::new(|| {
    let engine = engine();
    let prepare = |name, bytes| PreparedPlugin::new(&engine, name, bytes, None).unwrap();
    let (filter, map) = (prepare("quote-filter", QUOTE_FILTER), prepare("field-map", FIELD_MAP));
    (engine, filter, map)
});

/// Limits that a slow machine does not reach, so that the answers depend on nothing but the settings and the quotes.
fn patient() -> PluginLimits {
    let second = std::time::Duration::from_secs(10);
    PluginLimits { time_per_call: second, time_to_start: second, share_of_time: 1.0, ..PluginLimits::default() }
}

fn symbols() -> Vec<Symbol> {
    ["SPY", "QQQ", "BTC/USD", "S", "BRK.B", "__x__"].map(|name| Symbol::new(name).unwrap()).into()
}

/// Prices that are near each other, so that moves are small and sides often equal; now and then a side has none.
fn price() -> impl Strategy<Value = f64> {
    prop_oneof![
        1 => Just(0.0),
        8 => (9_500_u32..10_500).prop_map(|cents| f64::from(cents) / 100.0),
        1 => 0.0001_f64..1e6,
    ]
}

fn letter() -> impl Strategy<Value = u8> {
    select(vec![0, b'V', b'Q', b'P', b'Z'])
}

/// 2026 in New York, often on the minutes at which sessions begin and end.
fn time() -> impl Strategy<Value = i64> {
    const YEAR: i64 = 1_767_225_600;
    prop_oneof![
        (0_i64..365 * 24 * 4).prop_map(|quarters| (YEAR + quarters * 900) * 1_000_000_000),
        (0_i64..365 * 24 * 4).prop_map(|quarters| (YEAR + quarters * 900) * 1_000_000_000 - 1),
        (0_i64..365 * 86_400 * 1_000).prop_map(|millis| YEAR * 1_000_000_000 + millis * 1_000_000 + 123_456),
    ]
}

prop_compose! {
    fn quote()(
        (bid_price, ask_price) in (price(), price()),
        (bid_size, ask_size) in (0_u32..300, 0_u32..300),
        (bid_exchange, ask_exchange, tape) in (letter(), letter(), letter()),
        conditions in select(vec![*b"\0\0\0\0", *b"R\0\0\0", *b"RA\0\0", *b"RZAB"]),
        (event_time, received_time) in (time(), time()),
    ) -> Quote {
        let conditions = u32::from_le_bytes(conditions);
        Quote {
            bid_price, ask_price, bid_size: bid_size.into(), ask_size: ask_size.into(), bid_exchange, ask_exchange, tape,
            conditions, event_time, received_time,
        }
    }
}

/// A table with each of these keys or without it.
fn table(keys: Vec<(&'static str, BoxedStrategy<serde_json::Value>)>) -> impl Strategy<Value = serde_json::Value> {
    let entries: Vec<_> = keys
        .into_iter()
        .map(|(key, value)| prop::option::of(value).prop_map(move |value| value.map(|value| (key.to_owned(), value))))
        .collect();
    entries.prop_map(|entries| serde_json::Value::Object(entries.into_iter().flatten().collect()))
}

/// One of these.
fn one_of<T: Into<serde_json::Value>>(values: Vec<T>) -> BoxedStrategy<serde_json::Value> {
    select(values.into_iter().map(Into::into).collect::<Vec<serde_json::Value>>()).boxed()
}

/// How the component with this config starts: `Err` is what it says.
fn start(plugin: &PreparedPlugin, config: &str) -> Result<PluginInstance, String> {
    PluginInstance::start(plugin, &tenant(), config, &patient()).map_err(|failure| failure.to_string())
}

#[test]
fn the_components_are_accepted_for_what_they_are() {
    let (_, filter, map) = &*PLUGINS;
    assert_eq!((filter.filters(), filter.maps(), filter.version()), (true, false, "0.1.0"));
    assert_eq!((map.filters(), map.maps(), map.version()), (false, true, "0.1.0"));
}

#[test]
fn their_hashes_are_those_in_the_list() {
    let list = include_str!("../../../../plugins/components/SHA256SUMS");
    let (_, filter, map) = &*PLUGINS;
    for plugin in [filter, map] {
        let line = format!("{}  {}.wasm", plugin.sha256(), plugin.name());
        assert!(list.lines().any(|known| known == line), "{line} is not in plugins/components/SHA256SUMS");
    }
}

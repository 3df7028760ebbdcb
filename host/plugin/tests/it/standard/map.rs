use std::time::Instant;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use quotegate_document::{Document, DocumentKey, Field, FieldPath, Value};
use quotegate_field_map::FieldMap;
use quotegate_market::{Quote, Symbol};
use quotegate_plugin::{Collections, Mapped, OnError, PluginChain, PluginSpec};
use quotegate_plugin_sdk::{self as sdk, Conditions, Map, QuoteView};
use serde_json::json;

use super::{PLUGINS, one_of, patient, quote, start, symbols, table};
use crate::common::tenant;

const PATHS: [&str; 8] = ["symbol", "bid", "best.bid", "best.ask", "best.size.bid", "at", "_x9", "label"];

const SOURCES: [&str; 15] = [
    "symbol",
    "bid_exchange",
    "ask_exchange",
    "tape",
    "conditions",
    "bid_price",
    "bid_size",
    "ask_price",
    "ask_size",
    "mid",
    "spread",
    "spread_bps",
    "imbalance",
    "event_time",
    "received_time",
];

const UNITS: [&str; 7] = ["cents", "integer", "timestamp", "seconds", "milliseconds", "microseconds", "iso"];

fn constant() -> BoxedStrategy<serde_json::Value> {
    let values =
        [json!(true), json!(-7), json!(2.5), json!("é"), json!([1, 2.5]), json!(["a", ""]), json!([]), json!(null)];
    select(values.to_vec()).boxed()
}

fn field() -> BoxedStrategy<serde_json::Value> {
    let source = || one_of(SOURCES.to_vec());
    let nulls = || one_of(vec!["write", "omit"]);
    let from = (
        source(),
        table(vec![("default", constant()), ("nulls", nulls())]),
        select(vec![0_u8, 1, 2]),
        0_u8..10,
        select(UNITS.to_vec()),
    );
    let from = from.prop_map(|(source, mut field, form, digits, unit)| {
        field["from"] = source;
        match form {
            1 => field["round"] = digits.into(),
            2 => field["unit"] = unit.into(),
            _ => {}
        }
        field
    });
    let template =
        select(vec!["{symbol} on {bid_exchange}{ask_exchange}", "{date}/{tenant}", "plain", "{conditions}{tape}"]);
    prop_oneof![
        3 => source(),
        5 => from,
        1 => constant().prop_map(|value| json!({"constant": value})),
        1 => template.prop_map(|text| json!({"template": text})),
    ]
    .boxed()
}

fn config() -> impl Strategy<Value = serde_json::Value> {
    let fields = table(PATHS.iter().map(|path| (*path, field())).collect());
    table(vec![
        ("collection", one_of(vec!["mids", "quotes_{bid_exchange}", "not_allowed"])),
        ("id", one_of(vec!["{symbol}", "{tenant}-{symbol}-{date}", "__{symbol}__", "{tape}", "."])),
        ("standard", one_of(vec![true, false])),
        ("drop", subsequence(vec!["bid", "price", "best", "ts"], 0..=4).prop_map(|some| json!(some)).boxed()),
        ("nulls", one_of(vec!["write", "omit"])),
        ("fields", fields.boxed()),
    ])
}

fn collections() -> Collections {
    let others = ["mids", "quotes_", "quotes_V", "quotes_Q", "quotes_P", "quotes_Z"].map(String::from);
    Collections::new("live_quotes", &others).unwrap()
}

fn native(config: &str) -> Result<FieldMap, String> {
    FieldMap::new(tenant().as_str(), serde_json::from_str(config).unwrap())
}

/// What the source makes of a quote natively, put into the host's words as the contract has it; `None` where the host
/// must refuse it.
fn natively(map: &mut FieldMap, symbol: &Symbol, quote: &Quote, earlier: &[Document]) -> Option<Vec<Document>> {
    let letter = |byte: u8| (byte != 0).then_some(char::from(byte));
    let view = QuoteView {
        symbol: symbol.as_str(),
        bid_price: quote.bid_price,
        bid_size: quote.bid_size,
        ask_price: quote.ask_price,
        ask_size: quote.ask_size,
        bid_exchange: letter(quote.bid_exchange),
        ask_exchange: letter(quote.ask_exchange),
        tape: letter(quote.tape),
        conditions: Conditions(quote.conditions),
        event_time: quote.event_time,
        received_time: quote.received_time,
    };
    let earlier: Vec<sdk::Document> = earlier.iter().map(lower).collect();
    map.map(&view, &earlier).into_iter().map(|document| lift(document, symbol)).collect()
}

fn lift(document: sdk::Document, symbol: &Symbol) -> Option<Document> {
    let collection = document.collection.unwrap_or_else(|| "live_quotes".into());
    if collection == "not_allowed" {
        return None;
    }
    let key = DocumentKey::new(collection, document.id.unwrap_or_else(|| symbol.document_id())).ok()?;
    let field = |(path, value): (String, sdk::Value)| {
        let value = match value {
            sdk::Value::Null => Value::Null,
            sdk::Value::Boolean(value) => Value::Boolean(value),
            sdk::Value::Integer(value) => Value::Integer(value),
            sdk::Value::Double(value) => Value::Double(value),
            sdk::Value::Text(value) => Value::Text(value.into()),
            sdk::Value::Timestamp(value) => Value::Timestamp(value),
            sdk::Value::Bytes(value) => Value::Bytes(value),
            sdk::Value::Doubles(value) => Value::Doubles(value),
            sdk::Value::Texts(value) => Value::Texts(value),
        };
        Field { path: FieldPath::new(path).unwrap(), value }
    };
    Some(Document { key, fields: document.fields.into_iter().map(field).collect() })
}

fn lower(document: &Document) -> sdk::Document {
    let field = |field: &Field| {
        let value = match field.value.clone() {
            Value::Null => sdk::Value::Null,
            Value::Boolean(value) => sdk::Value::Boolean(value),
            Value::Integer(value) => sdk::Value::Integer(value),
            Value::Double(value) => sdk::Value::Double(value),
            Value::Text(value) => sdk::Value::Text(value.into_owned()),
            Value::Timestamp(value) => sdk::Value::Timestamp(value),
            Value::Bytes(value) => sdk::Value::Bytes(value),
            Value::Doubles(value) => sdk::Value::Doubles(value),
            Value::Texts(value) => sdk::Value::Texts(value),
        };
        (field.path.as_str().to_owned(), value)
    };
    sdk::Document {
        collection: Some(document.key.collection().into()),
        id: Some(document.key.id().into()),
        fields: document.fields.iter().map(field).collect(),
    }
}

fn spec(config: &str, chain: bool) -> PluginSpec {
    let (plugin, limits, collections) = (PLUGINS.2.clone(), patient(), collections());
    PluginSpec { plugin, config: config.into(), limits, on_error: OnError::Drop, chain, collections }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_component_makes_the_documents_that_its_source_makes(
        configs in prop::collection::vec(config(), 1..=2),
        quotes in prop::collection::vec((select(symbols()), quote()), 1..100),
    ) {
        let configs: Vec<String> = configs.iter().map(ToString::to_string).collect();
        let mut maps = Vec::new();
        for config in &configs {
            match native(config) {
                Ok(map) => maps.push(map),
                Err(words) => {
                    let said = start(&PLUGINS.2, config).unwrap_err();
                    prop_assert!(said.contains(&words), "{} does not say: {}", said, words);
                    return Ok(());
                }
            }
        }
        // All but the last hand their documents on.
        let specs = configs.iter().enumerate().map(|(at, config)| spec(config, at + 1 < configs.len())).collect();
        let mut chain = PluginChain::start(tenant(), specs).unwrap();
        let outcome = chain.map(Instant::now(), &quotes);
        prop_assert_eq!(outcome.stop, None);
        for ((symbol, quote), mapped) in quotes.iter().zip(outcome.quotes) {
            let first = Some(Vec::new());
            let expected = maps.iter_mut().fold(first, |earlier, map| natively(map, symbol, quote, &earlier?));
            prop_assert_eq!(mapped, expected.map_or(Mapped::Dropped, Mapped::Documents), "{:?}", configs);
        }
    }
}

#[test]
fn a_document_has_its_place_its_fields_in_order_and_their_types() {
    let config = json!({"collection": "quotes_{bid_exchange}", "id": "{tenant}-{symbol}", "fields": {
        "symbol": "symbol", "price.mid": {"from": "mid", "round": 2}, "price.ask_cents": {"from": "ask_price", "unit": "cents"},
        "tape": "tape", "at": "event_time", "source": {"constant": "alpaca"}}});
    let mut chain = PluginChain::start(tenant(), vec![spec(&config.to_string(), false)]).unwrap();
    let quote = Quote { bid_price: 10.0, ask_price: 10.02, bid_exchange: b'V', event_time: 7_000, ..Quote::default() };
    let outcome = chain.map(Instant::now(), &[(Symbol::new("BTC/USD").unwrap(), quote)]);
    let fields = [
        ("at", Value::Timestamp(7_000)),
        ("price.ask_cents", Value::Integer(1_002)),
        ("price.mid", Value::Double(10.01)),
        ("source", Value::Text("alpaca".into())),
        ("symbol", Value::Text("BTC/USD".into())),
        ("tape", Value::Null),
    ];
    let fields = fields.map(|(path, value)| Field { path: FieldPath::literal(path), value }).to_vec();
    let key = DocumentKey::new("quotes_V", "acme-BTC%2FUSD").unwrap();
    assert_eq!(outcome.quotes, [Mapped::Documents(vec![Document { key, fields }])]);
}

#[test]
fn a_wrong_setting_is_refused_with_its_name() {
    for (name, config) in [
        ("`unknown`", r#"{"standard": true, "unknown": 1}"#),
        ("`nulls`", r#"{"standard": true, "nulls": "skip"}"#),
        ("`best.bid`", r#"{"fields": {"best.bid": {"from": "bid_price", "unit": "dollars"}}}"#),
        ("`best`", r#"{"fields": {"best": {"bid": "bid_price"}}}"#),
        ("`id`", r#"{"standard": true, "id": "{mid}"}"#),
    ] {
        let problem = start(&PLUGINS.2, config).unwrap_err();
        assert!(problem.contains(name), "{problem}");
    }
}

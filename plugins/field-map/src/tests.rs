use quotegate_plugin_sdk::testing::{map, quote};
use quotegate_plugin_sdk::{Document, Map, QuoteView, Value};

use crate::FieldMap;

fn sample() -> QuoteView<'static> {
    quote("BTC/USD").bid(99.996).ask(101.0).sizes(30.0, 10.0).exchanges('V', 'Q').at(1_768_398_300_123_456_789)
}

fn one(config: &str, quote: &QuoteView<'_>) -> Document {
    map::<FieldMap>(config, quote).unwrap().remove(0)
}

/// The value of the field `x` that is made this way.
fn x(field: &str, quote: &QuoteView<'_>) -> Option<Value> {
    one(&format!(r#"{{"fields": {{"x": {field}}}}}"#), quote).get("x").cloned()
}

#[test]
fn only_the_chosen_fields_are_written_under_their_new_names_and_nested() {
    let document = one(r#"{"fields": {"name": "symbol", "best.bid": "bid_price"}}"#, &sample());
    let expected = Document::new().field("best.bid", 99.996).field("name", "BTC/USD");
    assert_eq!(document, expected);
}

#[test]
fn computed_values_are_those_of_the_quote() {
    let quote = quote("SPY").bid(99.0).ask(101.0).sizes(30.0, 10.0);
    for (source, value) in [("mid", 100.0), ("spread", 2.0), ("spread_bps", 200.0), ("imbalance", 0.5)] {
        assert_eq!(x(&format!("{source:?}"), &quote), Some(Value::Double(value)), "{source}");
    }
    let half_a_cent = quote.bid(148.39).ask(148.40);
    assert_eq!(x("\"mid\"", &half_a_cent), Some(Value::Double(148.395)));
}

#[test]
fn numbers_are_rounded_or_made_whole() {
    assert_eq!(x(r#"{"from": "bid_price", "round": 2}"#, &sample()), Some(Value::Double(100.0)));
    assert_eq!(x(r#"{"from": "bid_price", "round": 3}"#, &sample()), Some(Value::Double(99.996)));
    assert_eq!(x(r#"{"from": "bid_price", "unit": "cents"}"#, &sample()), Some(Value::Integer(10_000)));
    assert_eq!(x(r#"{"from": "ask_size", "unit": "integer"}"#, &sample()), Some(Value::Integer(10)));
}

#[test]
fn times_come_in_every_unit() {
    let time = |unit: &str| x(&format!(r#"{{"from": "event_time", "unit": "{unit}"}}"#), &sample()).unwrap();
    assert_eq!(x(r#""event_time""#, &sample()), Some(Value::Timestamp(1_768_398_300_123_456_789)));
    assert_eq!(time("timestamp"), Value::Timestamp(1_768_398_300_123_456_789));
    assert_eq!(time("seconds"), Value::Integer(1_768_398_300));
    assert_eq!(time("milliseconds"), Value::Integer(1_768_398_300_123));
    assert_eq!(time("microseconds"), Value::Integer(1_768_398_300_123_456));
    assert_eq!(time("iso"), Value::from("2026-01-14T13:45:00.123456Z"));
}

#[test]
fn constants_keep_their_type() {
    let constant = |json: &str| x(&format!(r#"{{"constant": {json}}}"#), &sample()).unwrap();
    assert_eq!(constant("true"), Value::Boolean(true));
    assert_eq!(constant("5"), Value::Integer(5));
    assert_eq!(constant("5.5"), Value::Double(5.5));
    assert_eq!(constant("\"a\""), Value::from("a"));
    assert_eq!(constant("[1, 2.5]"), Value::Doubles(vec![1.0, 2.5]));
    assert_eq!(constant(r#"["a", "b"]"#), Value::Texts(vec!["a".into(), "b".into()]));
}

#[test]
fn collection_id_and_fields_follow_their_templates() {
    let config = r#"{"collection": "quotes_{bid_exchange}", "id": "{tenant}-{symbol}",
        "fields": {"label": {"template": "{symbol} on {ask_exchange}"}}}"#;
    let expected = Document::new().collection("quotes_V").id("test-BTC%2FUSD").field("label", "BTC/USD on Q");
    assert_eq!(one(config, &sample()), expected);
}

#[test]
fn a_missing_value_is_null_or_left_out_or_replaced() {
    let one_side = quote("SPY").bid(1.0);
    assert_eq!(x(r#""ask_price""#, &one_side), Some(Value::Null));
    assert_eq!(x(r#"{"from": "mid", "nulls": "omit"}"#, &one_side), None);
    assert_eq!(x(r#"{"from": "mid", "default": -1}"#, &one_side), Some(Value::Integer(-1)));
    let document = one(r#"{"nulls": "omit", "fields": {"a": "ask_price", "b": "bid_price", "t": "tape"}}"#, &one_side);
    assert_eq!(document, Document::new().field("b", 1.0));
}

#[test]
fn the_standard_fields_come_without_those_that_are_dropped_or_replaced() {
    let config = r#"{"standard": true, "drop": ["bid_price", "ask_price", "last_update_ts", "source"],
        "fields": {"price.mid": "mid"}}"#;
    let document = one(config, &sample());
    let paths: Vec<&str> = document.fields.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["symbol", "bid", "ask", "bid_size", "ask_size", "ts", "updated_at", "price.mid"]);
}

#[test]
fn an_earlier_document_takes_the_place_of_the_standard_fields() {
    let read = |config| serde_json::from_str(config).unwrap();
    let earlier = [Document::new().id("E").field("a.b", 1.0).field("c", 2.0).field("d", 3.0)];
    let config = r#"{"standard": true, "drop": ["a"], "fields": {"c": {"constant": "new"}}}"#;
    let documents = FieldMap::new("test", read(config)).unwrap().map(&sample(), &earlier);
    assert_eq!(documents, [Document::new().id("E").field("d", 3.0).field("c", "new")]);
    let documents = FieldMap::new("test", read(r#"{"fields": {"x": "symbol"}}"#)).unwrap().map(&sample(), &earlier);
    assert_eq!(documents, [Document::new().field("x", "BTC/USD")]);
}

#[test]
fn every_problem_names_its_setting_or_field() {
    for (name, config) in [
        ("unknown", r#"{"fields": {"a": "symbol"}, "unknown": 1}"#),
        ("standard", r#"{"standard": "yes"}"#),
        ("nulls", r#"{"standard": true, "nulls": "skip"}"#),
        ("fields", r#"{"fields": ["a"]}"#),
        ("a", r#"{"fields": {"a": {"from": "symbol", "rounded": 2}}}"#),
        ("a", r#"{"fields": {"a": {"from": "bid_price", "unit": "dollars"}}}"#),
        ("a", r#"{"fields": {"a": {"b": "mid"}}}"#),
        ("a.b", r#"{"fields": {"a.b": {"template": "{mid}"}}}"#),
        ("id", r#"{"standard": true, "id": "{mid}"}"#),
        ("collection", r#"{"standard": true, "collection": "{"}"#),
    ] {
        let problem = map::<FieldMap>(config, &sample()).unwrap_err();
        assert!(problem.contains(&format!("`{name}`")), "{problem}");
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    for config in [
        "{}",
        r#"{"fields": {"a": "nothing"}}"#,
        r#"{"fields": {"a": "symbol", "a.b": "mid"}}"#,
        r#"{"fields": {"1a": "symbol"}}"#,
        r#"{"fields": {"a..b": "symbol"}}"#,
        r#"{"fields": {"__a__": "symbol"}}"#,
        r#"{"fields": {"a": {"from": "symbol", "round": 2}}}"#,
        r#"{"fields": {"a": {"from": "bid_price", "round": 10}}}"#,
        r#"{"fields": {"a": {"from": "spread_bps", "unit": "cents"}}}"#,
        r#"{"fields": {"a": {"from": "event_time", "unit": "cents"}}}"#,
        r#"{"fields": {"a": {"from": "symbol", "unknown": 2}}}"#,
        r#"{"fields": {"a": {"constant": {"b": 1}}}}"#,
        r#"{"fields": {"a": {"constant": [1, "b"]}}}"#,
        r#"{"fields": {"a": "symbol"}, "drop": ["b"]}"#,
        r#"{"fields": {"a": "symbol"}, "unknown": 1}"#,
    ] {
        assert!(map::<FieldMap>(config, &sample()).is_err(), "{config}");
    }
}

//! What the sink sends, as Google's emulator keeps it.

use crate::common;

use common::{Harness, LIMIT, document, firestore, outcomes, settings};
use quotegate_document::Value;
use quotegate_market::Symbol;
use quotegate_sink::{BatcherSettings, Outcome, RefusedCode, TenantDocument, WriteMode};
use quotegate_test_support::{Emulator, SHARED_EMULATOR};
use serde_json::json;

async fn open(emulator: &Emulator, project: &str, mode: WriteMode) -> Harness {
    Harness::open(firestore(emulator.host(), project, mode, LIMIT).await, settings())
}

/// Writes them all, and nothing goes wrong.
async fn write(harness: &mut Harness, documents: &[TenantDocument]) {
    let outcomes = harness.round(documents).await;
    assert!(outcomes.values().all(|outcome| *outcome == Outcome::Written), "{outcomes:#?}");
}

#[tokio::test]
async fn every_kind_of_value_is_read_back_as_it_was_written() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let mut harness = open(emulator, "demo-values", WriteMode::Merge).await;
    let all = document(
        "acme",
        "ALL",
        [
            ("nothing", Value::Null),
            ("yes", Value::Boolean(true)),
            ("no", Value::Boolean(false)),
            ("least", Value::Integer(i64::MIN)),
            ("most", Value::Integer(i64::MAX)),
            ("price", Value::Double(0.1)),
            ("whole", Value::Double(2.0)),
            ("smallest", Value::Double(f64::MIN_POSITIVE)),
            ("no_number", Value::Double(f64::NAN)),
            ("endless", Value::Double(f64::NEG_INFINITY)),
            ("constant", Value::Text("alpaca".into())),
            ("text", Value::Text("Zürich \"€\"\n\u{1f4b6}".to_owned().into())),
            ("empty", Value::Text("".into())),
            ("time", Value::Timestamp(1_700_000_000_123_456_789)),
            ("before_1970", Value::Timestamp(-1)),
            ("bytes", Value::Bytes(vec![0, 255, 128])),
            ("numbers", Value::Doubles(vec![1.0, -0.5])),
            ("words", Value::Texts(vec!["a".to_owned(), String::new()])),
            ("none", Value::Doubles(Vec::new())),
            ("side.bid.size", Value::Integer(3)),
            ("side.bid.price", Value::Null),
            ("side.ask", Value::Double(1.5)),
        ],
    );
    write(&mut harness, &[all]).await;

    let kept = emulator.document("demo-values", "tenants/acme/live_quotes/ALL").unwrap();
    let bid = json!({"fields": {"size": {"integerValue": "3"}, "price": {"nullValue": null}}});
    let expected = json!({
        "nothing": {"nullValue": null},
        "yes": {"booleanValue": true},
        "no": {"booleanValue": false},
        "least": {"integerValue": "-9223372036854775808"},
        "most": {"integerValue": "9223372036854775807"},
        "price": {"doubleValue": 0.1},
        // A double stays one, also where it could be an integer: UIs sort by type first.
        "whole": {"doubleValue": 2.0},
        "smallest": {"doubleValue": f64::MIN_POSITIVE},
        "no_number": {"doubleValue": "NaN"},
        "endless": {"doubleValue": "-Infinity"},
        "constant": {"stringValue": "alpaca"},
        "text": {"stringValue": "Zürich \"€\"\n\u{1f4b6}"},
        "empty": {"stringValue": ""},
        // Firestore keeps microseconds, and rounds down.
        "time": {"timestampValue": "2023-11-14T22:13:20.123456Z"},
        "before_1970": {"timestampValue": "1969-12-31T23:59:59.999999Z"},
        "bytes": {"bytesValue": "AP+A"},
        "numbers": {"arrayValue": {"values": [{"doubleValue": 1.0}, {"doubleValue": -0.5}]}},
        "words": {"arrayValue": {"values": [{"stringValue": "a"}, {"stringValue": ""}]}},
        "none": {"arrayValue": {}},
        "side": {"mapValue": {"fields": {"bid": {"mapValue": bid}, "ask": {"doubleValue": 1.5}}}},
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&kept["fields"][name], value, "{name}");
    }
    assert_eq!(kept["fields"].as_object().unwrap().len(), expected.as_object().unwrap().len());
    harness.close().await;
}

/// A document, then a second one of the same path with fewer fields; what there is then.
async fn written_over(emulator: &Emulator, project: &str, mode: WriteMode) -> serde_json::Value {
    let mut harness = open(emulator, project, mode).await;
    let first = [
        ("source", Value::Text("alpaca".into())),
        ("bid", Value::Double(1.0)),
        ("side.ask", Value::Double(2.0)),
        ("side.deep.size", Value::Integer(1)),
        ("side.deep.kept", Value::Boolean(true)),
        ("list", Value::Doubles(vec![1.0, 2.0])),
    ];
    let second = [("bid", Value::Null), ("side.deep.size", Value::Integer(2)), ("list", Value::Doubles(vec![3.0]))];
    write(&mut harness, &[document("acme", "SPY", first)]).await;
    write(&mut harness, &[document("acme", "SPY", second)]).await;
    harness.close().await;
    emulator.document(project, "tenants/acme/live_quotes/SPY").unwrap()["fields"].clone()
}

#[tokio::test]
async fn a_merge_leaves_alone_what_it_does_not_name_at_any_depth() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let deep = json!({"fields": {"size": {"integerValue": "2"}, "kept": {"booleanValue": true}}});
    let expected = json!({
        "source": {"stringValue": "alpaca"},
        "bid": {"nullValue": null},
        "side": {"mapValue": {"fields": {"ask": {"doubleValue": 2.0}, "deep": {"mapValue": deep}}}},
        "list": {"arrayValue": {"values": [{"doubleValue": 3.0}]}},
    });
    assert_eq!(written_over(emulator, "demo-merge", WriteMode::Merge).await, expected);
}

#[tokio::test]
async fn a_replacement_leaves_nothing_of_what_was_there() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let deep = json!({"fields": {"size": {"integerValue": "2"}}});
    let expected = json!({
        "bid": {"nullValue": null},
        "side": {"mapValue": {"fields": {"deep": {"mapValue": deep}}}},
        "list": {"arrayValue": {"values": [{"doubleValue": 3.0}]}},
    });
    assert_eq!(written_over(emulator, "demo-replace", WriteMode::Replace).await, expected);
}

fn numbered(tenant: &str, number: i64) -> TenantDocument {
    document(tenant, &format!("S{number:04}"), [("number", Value::Integer(number))])
}

#[tokio::test]
async fn one_request_takes_five_hundred_documents() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let sink = firestore(emulator.host(), "demo-500", WriteMode::Merge, LIMIT).await;
    let documents: Vec<_> = (0..500).map(|number| numbered("acme", number)).collect();
    assert_eq!(outcomes(&sink, &documents).await, vec![Outcome::Written; 500]);
    let kept = emulator.documents("demo-500", "tenants/acme/live_quotes");
    let numbers: Vec<_> = kept.iter().map(|kept| kept["fields"]["number"]["integerValue"].clone()).collect();
    let expected: Vec<_> = (0..500).map(|number| json!(number.to_string())).collect();
    assert_eq!(numbers, expected);
}

#[tokio::test]
async fn nothing_is_lost_or_mixed_up_between_the_requests_of_two_tenants() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let sink = firestore(emulator.host(), "demo-tenants", WriteMode::Merge, LIMIT).await;
    let mut harness = Harness::open(sink, BatcherSettings { batch_size: 7, ..settings() });
    let documents: Vec<_> = (0..300).flat_map(|n| [numbered("acme", n), numbered("globex", 1000 + n)]).collect();
    write(&mut harness, &documents).await;
    let status = harness.close().await;
    assert_eq!((status.attempted, status.written, status.in_flight), (600, 600, 0));
    for (tenant, offset) in [("acme", 0), ("globex", 1000)] {
        let kept = emulator.documents("demo-tenants", &format!("tenants/{tenant}/live_quotes"));
        let numbers: Vec<_> = kept.iter().map(|kept| kept["fields"]["number"]["integerValue"].clone()).collect();
        let expected: Vec<_> = (offset..offset + 300).map(|number: i32| json!(number.to_string())).collect();
        assert_eq!(numbers, expected, "{tenant}");
    }
}

#[tokio::test]
async fn the_last_of_many_writes_to_one_document_stays() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let mut harness = open(emulator, "demo-order", WriteMode::Merge).await;
    for number in 0..50 {
        harness.send(document("acme", "SPY", [("number", Value::Integer(number))])).await;
    }
    assert_eq!(harness.close().await.written, 50);
    let kept = emulator.document("demo-order", "tenants/acme/live_quotes/SPY").unwrap();
    assert_eq!(kept["fields"]["number"], json!({"integerValue": "49"}));
}

#[tokio::test]
async fn whatever_the_symbol_its_document_is_where_it_belongs_and_nothing_is_anywhere_else() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let mut harness = open(emulator, "demo-paths", WriteMode::Merge).await;
    let symbols = ["SPY", "BRK.B", "BTC/USD", "BTC_USD", ".", "..", "../ops", "__x__", "SPXW240327P04925000", "a-b"];
    let ids: Vec<_> = symbols.iter().map(|symbol| Symbol::new(symbol).unwrap().document_id()).collect();
    // Ids that are legal and look like something else: encoded twice, a query, a fragment, not ASCII.
    let odd = ["BTC%252FUSD", "a?b=c", "a#b", "a b", "Ünï", "tenants", "`a`", "~", "*"];
    let ids: Vec<_> = ids.iter().map(String::as_str).chain(odd).collect();
    let named_after_itself = |id: &&str| document("acme", id, [("id", Value::Text((*id).to_owned().into()))]);
    let documents: Vec<_> = ids.iter().map(named_after_itself).collect();
    write(&mut harness, &documents).await;
    harness.close().await;

    let mut expected: Vec<_> = ids.iter().map(|id| format!("tenants/acme/live_quotes/{id}")).collect();
    expected.sort();
    let mut paths = emulator.paths("demo-paths");
    paths.sort();
    assert_eq!(paths, expected);
    assert!(paths.contains(&"tenants/acme/live_quotes/BTC%2FUSD".to_owned()));
    for document in emulator.documents("demo-paths", "tenants/acme/live_quotes") {
        let name = document["name"].as_str().unwrap();
        assert!(name.ends_with(&format!("/{}", document["fields"]["id"]["stringValue"].as_str().unwrap())), "{name}");
    }
}

/// The emulator refuses the whole request for text over 1 MiB, and only the document for more than that in all.
#[tokio::test]
async fn a_document_that_is_too_large_costs_only_itself() {
    let Some(emulator) = SHARED_EMULATOR.as_ref() else { return };
    let mut harness = open(emulator, "demo-large", WriteMode::Merge).await;
    let text = |bytes| Value::Text("x".repeat(bytes).into());
    let one_field = document("globex", "ONE", [("text", text(2 << 20))]);
    let two_fields = document("globex", "TWO", [("first", text(600_000)), ("second", text(600_000))]);
    let mut documents: Vec<_> = (0..20).map(|number| numbered("acme", number)).collect();
    documents.insert(7, one_field);
    documents.insert(15, two_fields);
    let outcomes = harness.round(&documents).await;
    for (path, outcome) in outcomes {
        let refused = matches!(outcome, Outcome::Refused { code: RefusedCode::InvalidArgument, .. });
        assert_eq!(
            (refused, outcome == Outcome::Written),
            if path.contains("globex") { (true, false) } else { (false, true) }
        );
    }
    harness.close().await;
    assert_eq!(emulator.documents("demo-large", "tenants/acme/live_quotes").len(), 20);
    assert_eq!(emulator.paths("demo-large").len(), 20);
}

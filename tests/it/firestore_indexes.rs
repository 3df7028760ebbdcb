//! The queries of the UIs and services that read the documents, against config/firestore.indexes.json. The emulator
//! answers every query; Firestore refuses one that has no index.

use std::path::Path;

use serde_json::{Value, json};

const ASCENDING: &str = "ASCENDING";
const DESCENDING: &str = "DESCENDING";

/// A query of one collection.
struct Query {
    reader: &'static str,
    collection: &'static str,
    /// Fields compared with `==` or `in`.
    equal: &'static [&'static str],
    /// The field that it is ordered by or that has a range; a range without an order is ascending.
    order: Option<(&'static str, &'static str)>,
}

const fn query(reader: &'static str, collection: &'static str) -> Query {
    Query { reader, collection, equal: &[], order: None }
}

const QUERIES: &[Query] = &[
    query("live ticker, market overview, landing page", "live"),
    query("their older branches; console", "live_quotes"),
    Query { order: Some(("ts", DESCENDING)), ..query("freshness page: the newest quote", "live_quotes") },
    Query { order: Some(("ts", ASCENDING)), ..query("freshness page: quotes of 15 minutes", "live_quotes") },
    Query { order: Some(("ts", DESCENDING)), ..query("freshness page: the newest bar", "market_data_1m") },
    Query { order: Some(("ts", ASCENDING)), ..query("freshness page: bars of 15 minutes", "market_data_1m") },
    Query {
        equal: &["symbol"],
        order: Some(("ts", DESCENDING)),
        ..query("watchlist: the newest bars of its symbols", "market_data_1m")
    },
];

fn shipped(name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap()
}

/// Whether Firestore indexes a field by itself in this direction: always, unless it is exempt.
fn single(indexes: &Value, collection: &str, field: &str, direction: &str) -> bool {
    let of_field = |it: &&Value| it["collectionGroup"] == collection && it["fieldPath"] == field;
    list(indexes, "fieldOverrides").iter().find(of_field).is_none_or(|it| {
        list(it, "indexes").iter().any(|index| index["order"] == direction && index["queryScope"] == "COLLECTION")
    })
}

/// Whether there is a composite index of the query's equal fields, in any order and direction, and then its order.
fn composite(indexes: &Value, query: &Query, order: (&str, &str)) -> bool {
    list(indexes, "indexes").iter().any(|index| {
        let fields = list(index, "fields");
        let Some((last, equal)) = fields.split_last() else { return false };
        index["collectionGroup"] == query.collection
            && index["queryScope"] == "COLLECTION"
            && (&last["fieldPath"], &last["order"]) == (&json!(order.0), &json!(order.1))
            && equal.len() == query.equal.len()
            && equal.iter().all(|field| query.equal.iter().any(|name| field["fieldPath"] == *name))
    })
}

fn has_index(indexes: &Value, query: &Query) -> bool {
    match query.order {
        Some(order) if query.equal.is_empty() => single(indexes, query.collection, order.0, order.1),
        Some(order) => composite(indexes, query, order),
        // Indexes of single fields are merged for equality.
        None => query.equal.iter().all(|field| single(indexes, query.collection, field, ASCENDING)),
    }
}

fn refused(indexes: &Value) -> Vec<&'static str> {
    QUERIES.iter().filter(|query| !has_index(indexes, query)).map(|query| query.reader).collect()
}

#[test]
fn every_query_of_the_readers_has_an_index() {
    let shipped = shipped("firestore.indexes.json");
    assert_eq!(refused(&shipped), [""; 0]);

    let mut without_composite = shipped.clone();
    without_composite["indexes"] = json!([]);
    assert_eq!(refused(&without_composite), ["watchlist: the newest bars of its symbols"]);

    let mut wrong_scope = shipped.clone();
    wrong_scope["indexes"][0]["queryScope"] = json!("COLLECTION_GROUP");
    assert_eq!(refused(&wrong_scope), ["watchlist: the newest bars of its symbols"]);

    let mut descending_only = shipped;
    let descending = json!([{"order": DESCENDING, "queryScope": "COLLECTION"}]);
    descending_only["fieldOverrides"] =
        json!([{"collectionGroup": "market_data_1m", "fieldPath": "ts", "indexes": descending}]);
    assert_eq!(refused(&descending_only), ["freshness page: bars of 15 minutes"]);
}

#[test]
fn exemptions_for_high_rates_break_only_the_freshness_page() {
    let high_rate = shipped("firestore.indexes.high-rate.json");
    assert_eq!(refused(&high_rate), ["freshness page: the newest quote", "freshness page: quotes of 15 minutes"]);
    assert_eq!(high_rate["indexes"], shipped("firestore.indexes.json")["indexes"]);
    let exempt = |collection: &str| {
        let overrides = list(&high_rate, "fieldOverrides").iter();
        let fields = overrides.filter(|it| it["collectionGroup"] == collection && it["indexes"] == json!([]));
        fields.map(|it| it["fieldPath"].as_str().unwrap()).collect::<Vec<_>>()
    };
    // One indexed field that only grows is enough for the limit of 500 writes per second.
    assert_eq!(exempt("live_quotes"), ["ts", "updated_at", "last_update_ts", "_event_time"]);
    assert_eq!(exempt("live"), ["ts", "updated_at", "last_update_ts", "ingest_ts", "_event_time"]);
}

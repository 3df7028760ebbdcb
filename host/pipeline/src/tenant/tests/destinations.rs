//! Several collections, with and without maps.

use super::*;
use quotegate_document::{DocumentKey, Field, FieldPath, RootMirror};

fn spec_for(destinations: &[(&str, Option<DocumentShape>)], mirror: bool) -> TenantSpec {
    let destinations = destinations.iter().map(|(collection, shape)| destination(collection, *shape)).collect();
    TenantSpec { destinations, mirror: mirror.then(RootMirror::new), ..spec() }
}

/// A map's document with one field.
fn mapped(collection: &str, id: &str) -> Document {
    let field = Field { path: FieldPath::literal("mapped"), value: Value::Boolean(true) };
    Document { key: DocumentKey::new(collection, id).unwrap(), fields: vec![field] }
}

/// Each document's path, and what made it.
fn summary(spec: &TenantSpec, mapped: Option<Vec<Document>>) -> Vec<String> {
    let (symbol, quote) = (Symbol::new("SPY").unwrap(), Quote::default());
    let documents = match mapped {
        Some(mapped) => spec.with_mapped(mapped, &symbol, &quote),
        None => spec.documents(&symbol, &quote),
    };
    let has = |document: &Document, name: &str| document.fields.iter().any(|field| field.path.as_str() == name);
    let made_by = |document: &Document| match () {
        () if has(document, "mapped") => "map",
        () if has(document, "ingest_ts") => "streamer",
        () => "standard",
    };
    documents.iter().map(|document| format!("{} {}", document.key.path_of(&spec.id), made_by(document))).collect()
}

const STREAMER: Option<DocumentShape> = Some(DocumentShape::Streamer);
const STANDARD: Option<DocumentShape> = Some(DocumentShape::Standard);

#[test]
fn without_maps_every_collection_gets_a_document_in_its_shape() {
    let spec = spec_for(&[("live_quotes", None), ("m/quotes/live", STREAMER), ("board", STANDARD)], true);
    let expected = [
        "tenants/acme/live_quotes/SPY standard",
        "tenants/acme/m/quotes/live/SPY streamer",
        "tenants/acme/board/SPY standard",
        "live_quotes/SPY standard",
    ];
    assert_eq!(summary(&spec, None), expected);
    assert_eq!(spec.documents_per_quote(), expected.len());
}

#[test]
fn what_maps_make_is_copied_to_every_collection_without_a_shape() {
    let spec = spec_for(&[("m/quotes/live", STREAMER), ("a", None), ("b", None), ("c", None)], true);
    let documents = vec![mapped("a", "SPY"), mapped("a", "X"), mapped("other", "SPY"), mapped("c", "X")];
    let expected = [
        "tenants/acme/a/SPY map",
        "tenants/acme/a/X map",
        "tenants/acme/other/SPY map",
        "tenants/acme/c/X map",
        "tenants/acme/b/SPY map",
        "tenants/acme/b/X map",
        "tenants/acme/c/SPY map",
        "tenants/acme/m/quotes/live/SPY streamer",
        "live_quotes/SPY standard",
    ];
    assert_eq!(summary(&spec, Some(documents)), expected);
}

#[test]
fn a_map_that_makes_nothing_leaves_only_the_collections_with_a_shape() {
    let spec = spec_for(&[("live_quotes", None), ("m/quotes/live", STREAMER)], false);
    assert_eq!(summary(&spec, Some(Vec::new())), ["tenants/acme/m/quotes/live/SPY streamer"]);
}

#[test]
fn a_maps_own_document_takes_the_place_of_the_hosts() {
    let spec = spec_for(&[("live_quotes", None), ("m/quotes/live", STREAMER)], false);
    let expected = ["tenants/acme/m/quotes/live/SPY map"];
    assert_eq!(summary(&spec, Some(vec![mapped("m/quotes/live", "SPY")])), expected);
}

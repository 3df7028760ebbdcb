//! What authoring tools ask of an instance: fuel, checked documents, and the plugin's own log lines.

use crate::common;

use common::{FIELD_MAP, FOREVER, Parts, QUOTE_FILTER, bids, engine, guest, names, tenant};
use quotegate_document::Value;
use quotegate_market::{Quote, Symbol};
use quotegate_plugin::{
    Collections, DocumentError, EngineSettings, PluginEngine, PluginFailure, PluginInstance, PluginLimits,
    PreparedPlugin,
};

fn metered(cache: Option<&std::path::Path>) -> PluginEngine {
    let cache = cache.map(Into::into);
    PluginEngine::new(&EngineSettings { instances: 4, metering: true, cache, ..EngineSettings::default() }).unwrap()
}

fn start(engine: &PluginEngine, bytes: &[u8], config: &str) -> PluginInstance {
    let prepared = PreparedPlugin::new(engine, "guest", bytes, None).unwrap();
    let second = std::time::Duration::from_secs(1);
    let limits = PluginLimits { time_per_call: second, time_to_start: second, ..PluginLimits::default() };
    PluginInstance::start(&prepared, &tenant(), config, &limits).unwrap()
}

/// Fuel of the start, and of each of three calls.
fn fuel(engine: &PluginEngine, bytes: &[u8]) -> Vec<u64> {
    let mut instance = start(engine, bytes, r#"{"max_spread_bps": 20.0}"#);
    let mut fuel = vec![instance.fuel_used().unwrap()];
    for prices in [&[10.0; 1][..], &[10.0; 64], &[10.0; 64]] {
        let before = instance.fuel_used().unwrap();
        instance.filter(&bids(prices), &names()).unwrap();
        fuel.push(instance.fuel_used().unwrap() - before);
    }
    fuel
}

#[test]
fn the_same_calls_use_the_same_fuel_to_the_unit() {
    let first = fuel(&metered(None), QUOTE_FILTER);
    assert_eq!(fuel(&metered(None), QUOTE_FILTER), first);
    assert!(first[0] > 0 && first[2] > first[1] && first[1] > 0, "{first:?}");
    assert_eq!(start(&engine(), QUOTE_FILTER, "{}").fuel_used(), None, "a host at work does not meter");
}

#[test]
fn metered_code_and_the_hosts_own_do_not_meet_in_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let prepare =
        |engine: &PluginEngine| PreparedPlugin::new(engine, "guest", QUOTE_FILTER, None).unwrap().from_cache();
    let plain =
        PluginEngine::new(&EngineSettings { instances: 4, cache: Some(cache.clone()), ..EngineSettings::default() })
            .unwrap();
    let metered = metered(Some(&cache));
    assert_eq!([&plain, &metered, &plain, &metered].map(prepare), [false, false, true, true]);
}

#[test]
fn a_metered_guest_still_ends_at_its_time_limit() {
    let engine = metered(None);
    let bytes = guest(Parts { filter: Some(FOREVER), ..Parts::default() });
    let mut instance = start(&engine, &bytes, "{}");
    let failure = instance.filter(&bids(&[10.0]), &names()).unwrap_err();
    assert!(matches!(failure, PluginFailure::Time(_)), "{failure}");
}

#[test]
fn documents_come_checked_and_one_that_is_wrong_costs_only_its_quote() {
    let config = r#"{"fields": {"mid": "mid"}, "collection": "mids"}"#;
    let mut instance = start(&engine(), FIELD_MAP, config);
    let spy = Symbol::new("SPY").unwrap();
    let quotes = [(spy, Quote { bid_price: 1.0, ask_price: 2.0, ..Quote::default() })];
    let allowed = Collections::new("live_quotes", &["mids".to_owned()]).unwrap();
    let documents = instance.documents(&quotes, &allowed).unwrap().remove(0).unwrap();
    assert_eq!(documents[0].key.to_string(), "mids/SPY");
    assert_eq!(documents[0].fields[0].value, Value::Double(1.5));
    let forbidden = Collections::new("live_quotes", &[]).unwrap();
    let answer = instance.documents(&quotes, &forbidden).unwrap();
    assert_eq!(answer, [Err(DocumentError::Collection("mids".into()))]);
}

#[test]
fn a_plugin_says_what_it_reads_and_why_it_refuses() {
    let instance = start(&engine(), QUOTE_FILTER, r#"{"max_spread_bps": 20.0}"#);
    assert_eq!(instance.columns(), ["bid-price", "ask-price"]);
    assert!(instance.reasons().contains(&"spread".to_owned()), "{:?}", instance.reasons());
    assert!(instance.memory_peak() >= instance.memory_bytes() && instance.memory_bytes() > 0);
}

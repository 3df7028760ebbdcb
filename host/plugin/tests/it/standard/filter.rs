use std::collections::BTreeMap;
use std::time::Instant;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use quotegate_market::{Quote, QuoteColumns, Symbol};
use quotegate_plugin::{Collections, OnError, PluginChain, PluginSpec};
use quotegate_plugin_sdk::{ColumnFilter, Conditions, QuoteView};
use quotegate_quote_filter::{Config, REASONS, Rules};
use serde_json::{Value, json};

use super::{PLUGINS, one_of, patient, quote, start, symbols, table};
use crate::common::tenant;

/// A list of some of these.
fn some_of(values: &'static [&'static str]) -> BoxedStrategy<Value> {
    subsequence(values, 0..=values.len()).prop_map(|some| json!(some)).boxed()
}

/// Any settings: every rule on or off, at limits that some quotes keep and others break. They may contradict each other.
fn config() -> impl Strategy<Value = Value> {
    table(vec![
        ("allow_symbols", some_of(&["S*", "QQQ", "BTC/USD", "B*", "*"])),
        ("deny_symbols", some_of(&["SPY", "BRK*", "__*"])),
        ("min_price", one_of(vec![0.0, 97.0, 101.0])),
        ("max_price", one_of(vec![99.0, 103.0, 1e5])),
        ("max_spread_bps", one_of(vec![0.0, 50.0, 300.0])),
        ("min_size", one_of(vec![0.0, 20.0, 200.0])),
        ("allow_exchanges", some_of(&["V", "Q"])),
        ("deny_exchanges", some_of(&["P", "Z"])),
        ("allow_conditions", some_of(&["R", "A", "Z", "B"])),
        ("deny_conditions", some_of(&["A"])),
        ("sessions", some_of(&["pre", "regular", "post", "closed"])),
        ("min_move_bps", one_of(vec![0.0, 10.0, 100.0])),
        ("min_move", one_of(vec![0.0, 0.05, 2.0])),
        ("crossed", one_of(vec!["keep", "refuse"])),
        ("locked", one_of(vec!["keep", "refuse"])),
        ("one_sided", one_of(vec!["keep", "refuse"])),
    ])
}

/// Quotes by number of their symbol. Symbols come up in the order of their numbers, as the host gives them out; `batch`
/// marks where a batch ends.
fn stream() -> impl Strategy<Value = Vec<(u32, Quote, bool)>> {
    let rows = prop::collection::vec((any::<u32>(), quote(), prop::bool::weighted(0.05)), 1..400);
    rows.prop_map(|rows| {
        let (mut known, most) = (0, symbols().len() as u32);
        rows.into_iter()
            .map(|(random, quote, batch)| {
                let symbol = random % (known + 1).min(most);
                known = known.max(symbol + 1);
                (symbol, quote, batch)
            })
            .collect()
    })
}

fn view(quote: &Quote) -> QuoteView<'static> {
    let letter = |byte: u8| (byte != 0).then_some(char::from(byte));
    QuoteView {
        symbol: "",
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
    }
}

/// What the source says natively of the whole stream as one batch with every column: verdict bytes, in order.
fn natively(config: &str, stream: &[(u32, Quote, bool)]) -> Vec<u8> {
    let mut rules = Rules::of(Config::from_json(config).unwrap());
    symbols().iter().for_each(|symbol| rules.learn_symbol(symbol.as_str()));
    let mut columns = quotegate_plugin_sdk::QuoteColumns::default();
    stream.iter().for_each(|(symbol, quote, _)| columns.push(*symbol, &view(quote)));
    rules.judge(&columns)
}

/// What the host keeps with the component in a chain, batch by batch, and how often each reason was given. Only the
/// symbols that have come up are known, so later ones are learned on the way.
fn by_component(config: &str, stream: &[(u32, Quote, bool)]) -> (QuoteColumns, BTreeMap<String, u64>) {
    let plugin = PLUGINS.1.clone();
    let collections = Collections::new("live_quotes", &[]).unwrap();
    let limits = patient();
    let spec = PluginSpec { plugin, config: config.into(), limits, on_error: OnError::Drop, chain: false, collections };
    let mut chain = PluginChain::start(tenant(), vec![spec]).unwrap();
    let (mut kept, mut batch, mut known) = (QuoteColumns::default(), QuoteColumns::default(), 0);
    for (row, (symbol, quote, ends)) in stream.iter().enumerate() {
        batch.push(*symbol, quote);
        known = known.max(*symbol as usize + 1);
        if *ends || row + 1 == stream.len() {
            let outcome = chain.filter(Instant::now(), &mut batch, &symbols()[..known]);
            assert_eq!((outcome.dropped, outcome.stop), (0, None));
            kept.append(&batch);
            batch.clear();
        }
    }
    (kept, chain.snapshot()[0].quotes_refused.clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_component_keeps_what_its_source_keeps_and_gives_the_same_reasons(config in config(), stream in stream()) {
        let config = config.to_string();
        if let Err(words) = Config::from_json(&config) {
            let said = start(&PLUGINS.1, &config).unwrap_err();
            prop_assert!(said.contains(&words), "{said} does not say: {words}");
            return Ok(());
        }
        let (mut kept, mut refused) = (QuoteColumns::default(), BTreeMap::new());
        for (verdict, (symbol, quote, _)) in natively(&config, &stream).into_iter().zip(&stream) {
            match verdict {
                0 => kept.push(*symbol, quote),
                reason => *refused.entry(REASONS[usize::from(reason) - 1].to_owned()).or_default() += 1,
            }
        }
        prop_assert_eq!(by_component(&config, &stream), (kept, refused), "{}", config);
    }

    /// Numbers that no feed sends must not make a difference either, nor a trap.
    #[test]
    fn odd_numbers_are_judged_alike(
        config in config(),
        numbers in prop::collection::vec(select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, -5.0, f64::MIN_POSITIVE, f64::MAX, 100.0]), 4..80),
    ) {
        let config = config.to_string();
        prop_assume!(Config::from_json(&config).is_ok());
        let quote = |n: &[f64]| Quote { bid_price: n[0], ask_price: n[1], bid_size: n[2], ask_size: n[3], event_time: i64::MIN, ..Quote::default() };
        let stream: Vec<_> = numbers.chunks_exact(4).map(|n| (0, quote(n), false)).collect();
        let mut columns = QuoteColumns::default();
        stream.iter().for_each(|(symbol, quote, _)| columns.push(*symbol, quote));
        let verdicts = start(&PLUGINS.1, &config).unwrap().filter(&columns, &symbols()[..1]).unwrap();
        prop_assert_eq!(verdicts, natively(&config, &stream));
    }
}

/// The streams above prove something only if every rule comes into play.
#[test]
fn every_reason_can_be_given_by_the_component() {
    let bid = |bid_price| Quote { bid_price, ask_price: 100.0, bid_size: 9.0, ask_size: 9.0, ..Quote::default() };
    let good = bid(99.0);
    for (reason, config, quote) in [
        ("symbol", json!({"deny_symbols": ["SPY"]}), good),
        ("one_sided", json!({"one_sided": "refuse"}), bid(0.0)),
        ("crossed", json!({"crossed": "refuse"}), bid(101.0)),
        ("locked", json!({"locked": "refuse"}), bid(100.0)),
        ("price", json!({"min_price": 99.5}), good),
        ("size", json!({"min_size": 10}), good),
        ("spread", json!({"max_spread_bps": 10}), good),
        ("exchange", json!({"deny_exchanges": ["V"]}), Quote { bid_exchange: b'V', ..good }),
        ("condition", json!({"allow_conditions": ["R"]}), Quote { conditions: b'A'.into(), ..good }),
        ("session", json!({"sessions": ["regular"]}), good),
        ("move", json!({"min_move": 1}), good),
    ] {
        let (_, refused) = by_component(&config.to_string(), &[(0, good, true), (0, quote, true)]);
        assert!(refused.contains_key(reason), "{config} gives {refused:?}");
    }
}

#[test]
fn a_wrong_setting_is_refused_with_its_name() {
    for (name, config) in [
        ("the nearest is `max_spread_bps`", r#"{"max_spred_bps": 5}"#),
        ("`min_size`", r#"{"min_size": "large", "crossed": "refuse"}"#),
        ("`sessions`", r#"{"sessions": ["night"]}"#),
        ("`min_price`", r#"{"min_price": 2, "max_price": 1}"#),
        ("`deny_exchanges`", r#"{"deny_exchanges": ["NASDAQ"]}"#),
    ] {
        let problem = start(&PLUGINS.1, config).unwrap_err();
        assert!(problem.contains(name), "{problem}");
    }
    assert!(start(&PLUGINS.1, "[]").is_err());
}

#[test]
fn reasons_have_their_names_and_there_are_no_others() {
    let instance = start(&PLUGINS.1, "{}").unwrap();
    let reasons: Vec<_> = (1..=u8::MAX).map_while(|code| instance.reason(code)).collect();
    assert_eq!(reasons, REASONS);
}

#[test]
fn a_new_instance_is_told_all_symbols_again() {
    let config = r#"{"allow_symbols": ["QQQ"]}"#;
    let names: Vec<Symbol> = symbols();
    let mut quotes = QuoteColumns::default();
    (0..3).for_each(|symbol| quotes.push(symbol, &Quote::default()));
    for _ in 0..2 {
        let mut instance = start(&PLUGINS.1, config).unwrap();
        assert_eq!(instance.filter(&quotes, &names).unwrap(), [1, 0, 1]);
        assert_eq!(instance.filter(&quotes, &names).unwrap(), [1, 0, 1], "numbers keep their meaning");
    }
}

//! One rule, two ways: quotegate's columns into a component, and JSON into an Extism plugin, one call per quote, as its
//! users do. Prints the cost of a quote on one core in each, and the ratio. `tests/bench/extism/run` builds the guest
//! and starts this.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use extism::convert::Json;
use extism::{Manifest, Plugin, Wasm};
use quotegate_plugin::{EngineSettings, PluginEngine, PluginInstance, PluginLimits, PreparedPlugin};
use quotegate_document::TenantId;
use quotegate_market::{Quote, QuoteColumns, Symbol};
use serde::{Deserialize, Serialize};

const FILTER: &[u8] = include_bytes!("../../../../plugins/components/quote-filter.wasm");
/// The rule of `guest/src/lib.rs`.
const CONFIG: &str = r#"{"max_spread_bps": 50.0, "min_price": 1.0}"#;
/// Quotes per call of the component. Extism gets one per call.
const BATCHES: [usize; 2] = [64, 256];
/// Rounds of a few hundred microseconds. The two ways take turns, so that other load affects both.
const ROUNDS: usize = 501;
/// The ratio that the comparison must reach.
const AIM: f64 = 50.0;

/// A quote as JSON, with the fields of every quote of the feed.
#[derive(Serialize)]
struct JsonQuote<'a> {
    symbol: &'a str,
    bid_price: f64,
    bid_size: f64,
    ask_price: f64,
    ask_size: f64,
    bid_exchange: &'a str,
    ask_exchange: &'a str,
    conditions: &'a str,
    tape: &'a str,
    event_time: i64,
    received_time: i64,
}

#[derive(Deserialize)]
struct Verdict {
    keep: bool,
}

fn main() -> anyhow::Result<()> {
    let path = std::env::args_os().nth(1).context("Name the guest's module: see tests/bench/extism/run.")?;
    let symbols: Vec<Symbol> = (0..10).map(|number| Symbol::new(&format!("SYM{number}"))).collect::<Result<_, _>>()?;
    let mut component = component()?;
    let module = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut extism = Plugin::new(Manifest::new([Wasm::data(module)]), [], false)?;

    println!(
        "one rule (price of at least $1, spread of at most 50 basis points), one core, medians of {ROUNDS} rounds\n"
    );
    println!("| quotes a call | component, columns | extism, JSON, one call a quote | ratio |");
    println!("|---|---|---|---|");
    let mut least = f64::INFINITY;
    for rows in BATCHES {
        let quotes = mixed(rows);
        let objects: Vec<JsonQuote<'_>> = (0..rows).map(|row| json(&quotes.quote(row), &symbols[row % 10])).collect();
        let kept: Vec<bool> = component.filter(&quotes, &symbols)?.iter().map(|verdict| *verdict == 0).collect();
        let (mut ours, mut theirs) = (Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS));
        for _ in 0..ROUNDS {
            let started = Instant::now();
            for _ in 0..16_384 / rows {
                component.filter(&quotes, &symbols)?;
            }
            ours.push(started.elapsed() / u32::try_from(16_384 / rows)?);

            let started = Instant::now();
            for (object, kept) in objects.iter().zip(&kept) {
                let Json(verdict) = extism.call::<_, Json<Verdict>>("filter", Json(object))?;
                ensure!(verdict.keep == *kept, "the two guests judge a quote differently");
            }
            theirs.push(started.elapsed());
        }
        let [ours, theirs] = [ours, theirs].map(|rounds| median(rounds).as_nanos() as f64 / rows as f64);
        least = least.min(theirs / ours);
        println!("| {rows} | {ours:.1} ns a quote | {theirs:.0} ns a quote | {:.0} |", theirs / ours);
    }
    let verdict = if least >= AIM { "reached" } else { "MISSED" };
    println!("\nextism is at least {least:.0} times slower (aim {AIM}: {verdict})");
    Ok(())
}

fn component() -> anyhow::Result<PluginInstance> {
    let engine = PluginEngine::new(&EngineSettings { instances: 4, ..EngineSettings::default() })?;
    let plugin = PreparedPlugin::new(&engine, "quote-filter", FILTER, None)?;
    // On a busy machine a call may wait longer than it runs.
    let limits = PluginLimits { time_per_call: Duration::from_secs(10), ..PluginLimits::default() };
    Ok(PluginInstance::start(&plugin, &TenantId::new("bench")?, CONFIG, &limits)?)
}

/// One quote in eight is refused.
fn mixed(rows: usize) -> QuoteColumns {
    let mut columns = QuoteColumns::default();
    for row in 0..rows as u32 {
        let bid_price = if row % 16 == 3 { 0.5 } else { 100.0 + f64::from(row) };
        let ask_price = if row % 16 == 11 { bid_price * 1.02 } else { bid_price + 0.01 };
        let quote = Quote { bid_price, bid_size: 100.0, ask_price, ask_size: 200.0, ..Quote::default() };
        columns.push(row % 10, &quote);
    }
    columns
}

fn json<'a>(quote: &Quote, symbol: &'a Symbol) -> JsonQuote<'a> {
    JsonQuote {
        symbol: symbol.as_str(),
        bid_price: quote.bid_price,
        bid_size: quote.bid_size,
        ask_price: quote.ask_price,
        ask_size: quote.ask_size,
        bid_exchange: "V",
        ask_exchange: "V",
        conditions: "R",
        tape: "B",
        event_time: 1_700_000_000_123_456_789,
        received_time: 1_700_000_000_124_000_000,
    }
}

fn median(mut rounds: Vec<Duration>) -> Duration {
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}

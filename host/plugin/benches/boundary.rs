//! The cost of calling plugins: `cargo bench -p quotegate-plugin`.
//!
//! `cargo bench -p quotegate-plugin -- field-map` runs one part (bare, quote-filter, field-map, portable).
//!
//! First with the hand-written guest of the tests, which does almost nothing: the cost of the call alone. Then with the
//! standard plugins, against the goals for them.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints and may panic")]

#[path = "../tests/it/common.rs"]
mod common;

use std::time::{Duration, Instant};

use common::{FIELD_MAP, Parts, QUOTE_FILTER, bids, engine, guest, names, spec, tenant};
use quotegate_market::{Quote, QuoteColumns, Symbol};
use quotegate_plugin::{
    EngineSettings, Mapped, PluginChain, PluginEngine, PluginInstance, PluginLimits, PluginSpec, Precompiler,
    Sha256Hash,
};

const BATCHES: [u32; 5] = [1, 16, 64, 256, 1024];

const TWO_RULES: &str = r#"{"max_spread_bps": 50.0, "min_price": 1.0}"#;

/// A realistic configuration: nine fields, some renamed, nested, computed, rounded or in other units.
const NINE_FIELDS: &str = r#"{"fields": {"symbol": "symbol", "best.bid": "bid_price", "best.ask": "ask_price",
    "best.mid": {"from": "mid", "round": 4}, "ask_cents": {"from": "ask_price", "unit": "cents"}, "spread": "spread_bps",
    "at": "event_time", "at_ms": {"from": "event_time", "unit": "milliseconds"}, "source": {"constant": "alpaca"}}}"#;

/// Each round takes some hundred microseconds, so even on a busy machine most end before their thread is preempted, and
/// the median is that of an idle machine.
const ROUNDS: usize = 501;

/// The median of all rounds, for one call.
fn median(calls: u32, mut call: impl FnMut()) -> Duration {
    let mut rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            (0..calls).for_each(|_| call());
            started.elapsed() / calls
        })
        .collect();
    rounds.sort_unstable();
    rounds[ROUNDS / 2]
}

fn without_time_limits(engine: &PluginEngine, bytes: &[u8], config: &str) -> PluginSpec {
    let mut spec = spec(engine, bytes);
    // Limits count waiting, too, and on a busy machine a call may wait for longer than it runs.
    spec.limits = PluginLimits { share_of_time: 1.0, time_per_call: Duration::from_secs(10), ..spec.limits };
    spec.config = config.into();
    spec
}

fn start(spec: &PluginSpec) -> PluginInstance {
    PluginInstance::start(&spec.plugin, &tenant(), &spec.config, &spec.limits).unwrap()
}

/// Ten symbols; one quote in eight is refused by [`TWO_RULES`].
fn mixed(rows: u32) -> QuoteColumns {
    let mut columns = QuoteColumns::default();
    for row in 0..rows {
        let bid_price = if row % 16 == 3 { 0.5 } else { 100.0 + f64::from(row) };
        let ask_price = if row % 16 == 11 { bid_price * 1.02 } else { bid_price + 0.01 };
        columns.push(row % 10, &Quote { bid_price, ask_price, ..Quote::default() });
    }
    columns
}

fn filter(name: &str, spec: &PluginSpec, names: &[Symbol], quotes: impl Fn(u32) -> QuoteColumns, goals: &[(u32, f64)]) {
    let mut instance = start(spec);
    for rows in BATCHES {
        let quotes = quotes(rows);
        let each = median(20_000 / (rows + 50), || drop(instance.filter(&quotes, names).unwrap()));
        let each = each.as_nanos() as f64 / f64::from(rows);
        let goal =
            goals.iter().find(|(at, _)| *at == rows).map_or(String::new(), |(_, goal)| format!(" (goal {goal})"));
        println!("{name}, {rows:4} quotes per call: {each:7.1} ns per quote{goal}");
    }
}

fn map(name: &str, spec: PluginSpec, quotes: &[(Symbol, Quote)], goal: &str) {
    let mut chain = PluginChain::start(tenant(), vec![spec]).unwrap();
    let each = median(1 + 128 / u32::try_from(quotes.len()).unwrap(), || drop(chain.map(Instant::now(), quotes)));
    let per = each.as_nanos() as f64 / 1000.0 / quotes.len() as f64;
    println!("{name}, {} quotes per call: {per:.3} µs per quote{goal}", quotes.len());
}

fn bare_guest(engine: &PluginEngine) {
    let bare = without_time_limits(engine, &guest(Parts::default()), "{}");
    println!("bare guest, instantiate and configure: {:?}", median(3, || drop(start(&bare))));
    filter("bare guest, filter", &bare, &names(), |rows| bids(&vec![10.0; rows as usize]), &[]);
    map("bare guest, map without documents", bare, &vec![(names()[0].clone(), Quote::default()); 64], "");
}

fn quote_filter(engine: &PluginEngine, symbols: &[Symbol]) {
    let rules = without_time_limits(engine, QUOTE_FILTER, TWO_RULES);
    println!("quote-filter, instantiate and configure: {:?}", median(3, || drop(start(&rules))));
    filter("quote-filter, two rules", &rules, symbols, mixed, &[(64, 15.0), (256, 8.0)]);
}

fn field_map(engine: &PluginEngine, symbols: &[Symbol]) {
    let quotes: Vec<_> = (0..64).map(|row| (symbols[row % 10].clone(), mixed(64).quote(row))).collect();
    let fields = without_time_limits(engine, FIELD_MAP, NINE_FIELDS);
    let mut check = PluginChain::start(tenant(), vec![fields.clone()]).unwrap();
    let mapped = check.map(Instant::now(), &quotes).quotes;
    assert!(mapped.iter().all(|mapped| matches!(mapped, Mapped::Documents(documents) if documents.len() == 1)));
    println!("field-map, instantiate and configure: {:?}", median(3, || drop(start(&fields))));
    for rows in [1, 8, 64] {
        map("field-map, nine fields", fields.clone(), &quotes[..rows], " (goal 1.5)");
    }
}

/// Two calls in turn, so that what else the machine does is the same for both: the median of each, for one call.
fn in_turn(calls: u32, mut sides: [&mut dyn FnMut(); 2]) -> [Duration; 2] {
    let mut rounds = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        for (side, rounds) in sides.iter_mut().zip(&mut rounds) {
            let started = Instant::now();
            (0..calls).for_each(|_| side());
            rounds.push(started.elapsed() / calls);
        }
    }
    rounds.map(|mut rounds: Vec<Duration>| {
        rounds.sort_unstable();
        rounds[ROUNDS / 2]
    })
}

/// The standard plugins compiled for any server processor, as in an image, against the same compiled for this one.
fn portable(native: &PluginEngine, symbols: &[Symbol]) {
    let folder = tempfile::tempdir().unwrap();
    let settings = EngineSettings { instances: 16, cache: Some(folder.path().into()), ..EngineSettings::default() };
    let precompiler = Precompiler::new(folder.path(), settings.memory_bytes, &settings.component_limits).unwrap();
    for component in [QUOTE_FILTER, FIELD_MAP] {
        precompiler.add(component).unwrap();
    }
    let image = PluginEngine::new(&settings).unwrap();
    assert!([QUOTE_FILTER, FIELD_MAP].map(Sha256Hash::of).iter().all(|hash| image.has_compiled(hash)));
    let show = |name: &str, rows: u32, [portable, native]: [Duration; 2]| {
        let each = |time: Duration| time.as_nanos() as f64 / f64::from(rows);
        let times = portable.as_secs_f64() / native.as_secs_f64();
        println!(
            "{name}, {rows:4} quotes per call: {:.1} ns per quote portable, {:.1} native: {times:.2} times",
            each(portable),
            each(native)
        );
    };
    let engines = [&image, native];
    let mut filters = engines.map(|engine| start(&without_time_limits(engine, QUOTE_FILTER, TWO_RULES)));
    for rows in BATCHES {
        let quotes = mixed(rows);
        let [one, other] = &mut filters;
        let mut calls = [one, other].map(|filter| || drop(filter.filter(&quotes, symbols).unwrap()));
        let [one, other] = &mut calls;
        show("quote-filter", rows, in_turn(20_000 / (rows + 50), [one, other]));
    }
    let quotes: Vec<_> = (0..64).map(|row| (symbols[row % 10].clone(), mixed(64).quote(row))).collect();
    let mut maps = engines
        .map(|engine| PluginChain::start(tenant(), vec![without_time_limits(engine, FIELD_MAP, NINE_FIELDS)]).unwrap());
    let [one, other] = &mut maps;
    let mut calls = [one, other].map(|chain| || drop(chain.map(Instant::now(), &quotes)));
    let [one, other] = &mut calls;
    show("field-map", 64, in_turn(3, [one, other]));
}

fn main() {
    let engine = engine();
    println!("allocator: {}", engine.allocator());
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let runs = |part: &str| asked.is_empty() || asked.iter().any(|asked| asked == part);
    let symbols: Vec<Symbol> = (0..10).map(|number| Symbol::new(&format!("SYM{number}")).unwrap()).collect();
    if runs("bare") {
        bare_guest(&engine);
    }
    if runs("quote-filter") {
        quote_filter(&engine, &symbols);
    }
    if runs("field-map") {
        field_map(&engine, &symbols);
    }
    if runs("portable") {
        portable(&engine, &symbols);
    }
}

//! The sample recording: the simulator writes exactly it, and it has what plugins need for testing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::harness::{finish, quotegate};
use quotegate_market::{Quote, Symbol, conditions};
use quotegate_recording::{Payload, Recording};
use quotegate_sim::Scenario;

fn shipped() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recordings/opening-bell.jsonl.zst")
}

fn frames(path: &std::path::Path) -> Vec<(i64, String)> {
    let text = |payload| match payload {
        Payload::Text(text) => text,
        Payload::Binary(_) => panic!("its frames are text"),
    };
    Recording::open(path).unwrap().map(Result::unwrap).map(|frame| (frame.received_time, text(frame.payload))).collect()
}

#[test]
fn the_sample_recording_is_what_the_simulator_writes() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("bell.jsonl.zst");
    let finished = finish(quotegate(["sim", "--scenario", "opening-bell", "--out"]).arg(&made));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let remedy = "make it again: quotegate sim --scenario opening-bell --out tests/recordings/opening-bell.jsonl.zst";
    assert!(frames(&made) == frames(&shipped()), "{remedy}");
    let header = |path| Recording::open(path).unwrap().header().clone();
    assert_eq!(header(made.as_path()), header(&shipped()));
    assert!(std::fs::metadata(shipped()).unwrap().len() < 300 * 1024);
}

/// All quotes of the scenario, each with the number of quotes in its frame.
fn quotes() -> Vec<(Symbol, Quote, usize)> {
    let all = Scenario::OpeningBell.frames(1).flat_map(|frame| {
        let together = frame.quotes.len();
        frame.quotes.into_iter().map(move |(symbol, quote)| (symbol, quote, together))
    });
    all.collect()
}

const SECOND: i64 = 1_000_000_000;
/// 2026-01-14T14:30:00Z.
const BELL: i64 = 1_768_401_000 * SECOND;

#[test]
fn the_sample_recording_has_the_features_of_a_market_open() {
    let quotes = quotes();
    let count = |fits: &dyn Fn(&Quote) -> bool| quotes.iter().filter(|(_, quote, _)| fits(quote)).count();
    assert!((4000..9000).contains(&quotes.len()), "{}", quotes.len());
    let both = |quote: &Quote| quote.bid_price > 0.0 && quote.ask_price > 0.0;
    let locked = count(&|quote| both(quote) && quote.bid_price == quote.ask_price);
    let crossed = count(&|quote| both(quote) && quote.bid_price > quote.ask_price);
    let one_sided = count(&|quote| (quote.bid_price > 0.0) != (quote.ask_price > 0.0));
    let withdrawn = count(&|quote| quote.bid_price == 0.0 && quote.ask_price == 0.0);
    let odd = count(&|quote| quote.bid_size % 20.0 != 0.0 || quote.ask_size % 20.0 != 0.0);
    let wide = count(&|quote| both(quote) && quote.ask_price > quote.bid_price * 1.01);
    assert!((30..200).contains(&locked) && (10..100).contains(&crossed), "{locked} locked, {crossed} crossed");
    assert!((10..100).contains(&one_sided) && withdrawn == 2, "{one_sided} one-sided, {withdrawn} withdrawn");
    assert!((200..900).contains(&odd) && (20..200).contains(&wide), "{odd} odd sizes, {wide} wide");
    assert!(quotes.iter().all(|(_, quote, _)| (quote.bid_price > 0.0) == (quote.bid_size > 0.0)));

    let set = |of: &dyn Fn(&Quote) -> Vec<char>| -> String {
        quotes.iter().flat_map(|(_, quote, _)| of(quote)).collect::<std::collections::BTreeSet<_>>().iter().collect()
    };
    assert_eq!(set(&|quote| vec![char::from(quote.tape)]), "ABC");
    assert_eq!(set(&|quote| conditions::letters(quote.conditions).collect()), "ABNORY");
    assert!(set(&|quote| vec![char::from(quote.bid_exchange), char::from(quote.ask_exchange)]).len() > 10);
}

#[test]
fn the_market_is_thin_before_the_bell_then_bursts_then_calms_down() {
    let quotes = quotes();
    let between = |from: i64, to: i64| {
        let within = |(_, quote, _): &&(Symbol, Quote, usize)| {
            (BELL + from * SECOND..BELL + to * SECOND).contains(&quote.event_time)
        };
        quotes.iter().filter(within).count() as i64
    };
    let (before, burst, calm) = (between(-300, 0) / 300, between(0, 1), between(360, 420) / 60);
    assert!((1..10).contains(&before) && burst > 500 && (2..20).contains(&calm), "{before}, {burst}, {calm} a second");
    let largest = quotes.iter().map(|(_, _, together)| *together).max().unwrap();
    assert!(largest >= 20, "the largest frame has {largest} quotes");
    assert!(quotes.iter().filter(|(_, _, together)| *together == 1).count() > 1000, "most frames have one");
    let nanoseconds = quotes.iter().filter(|(_, quote, _)| quote.event_time % 1000 != 0).count();
    assert!(nanoseconds > quotes.len() / 2, "times are to the nanosecond");
}

#[test]
fn two_stocks_are_halted_and_resume_with_wide_spreads() {
    let mut gaps: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let mut back = BTreeMap::new();
    for (symbol, quote, _) in quotes() {
        let (last, longest) = gaps.entry(symbol.to_string()).or_insert((quote.event_time, 0));
        let gap = quote.event_time - *last;
        if gap > 240 * SECOND {
            back.insert(symbol.to_string(), (quote.ask_price - quote.bid_price) / quote.bid_price);
        }
        (*last, *longest) = (quote.event_time, (*longest).max(gap));
    }
    let halted: Vec<_> = back.keys().map(String::as_str).collect();
    assert_eq!(halted, ["BA", "GME"]);
    assert!(back.values().all(|spread| *spread > 0.005), "they come back wide: {back:?}");
    let others = gaps.iter().filter(|(symbol, _)| !back.contains_key(*symbol)).map(|(_, (_, longest))| *longest);
    assert!(others.max().unwrap() < 90 * SECOND, "nobody else is silent for long: {gaps:?}");
}

//! Nanoseconds per quote of the decoder, compared with a loop that only parses the same frames with serde_json.
#![allow(clippy::print_stdout)]

use std::fmt;
use std::hint::black_box;
use std::time::Instant;

use quotegate_feed::{Decoder, Payload};
use quotegate_market::SymbolTable;
use serde::Deserialize;

const NOW: i64 = 1_780_000_000_000_000_000;
const QUOTES_PER_ROUND: usize = 1 << 16;
const ROUNDS: usize = 31;

#[derive(Deserialize)]
#[allow(dead_code)]
struct Parsed<'a> {
    #[serde(rename = "T", borrow)]
    kind: &'a str,
    #[serde(rename = "S", borrow)]
    symbol: &'a str,
    #[serde(borrow)]
    bx: &'a str,
    bp: f64,
    bs: f64,
    #[serde(borrow)]
    ax: &'a str,
    ap: f64,
    #[serde(rename = "as")]
    ask_size: f64,
    #[serde(borrow)]
    c: Vec<&'a str>,
    #[serde(borrow)]
    z: &'a str,
    #[serde(borrow)]
    t: &'a str,
}

fn main() {
    println!("Nanoseconds per quote, median (best) of {ROUNDS} rounds that take turns.");
    println!("{:>8} {:>16} {:>16} {:>16} {:>8}", "a frame", "json", "msgpack", "serde_json", "ratio");
    for per_frame in [1, 16, 64, 512] {
        let json: Vec<String> = (0..QUOTES_PER_ROUND / per_frame).map(|frame| json_frame(frame, per_frame)).collect();
        let packed: Vec<Vec<u8>> =
            (0..QUOTES_PER_ROUND / per_frame).map(|frame| msgpack_frame(frame, per_frame)).collect();
        let mut decoder = Decoder::new(SymbolTable::default());
        let (mut ours, mut binary, mut serde) = (Times::default(), Times::default(), Times::default());
        for _ in 0..ROUNDS {
            ours.time(|| decode(&mut decoder, json.iter().map(|frame| Payload::Text(frame))));
            binary.time(|| decode(&mut decoder, packed.iter().map(|frame| Payload::Binary(frame))));
            serde.time(|| parse(&json));
        }
        let ratio = serde.median() / ours.median();
        println!("{per_frame:>8} {ours:>16} {binary:>16} {serde:>16} {ratio:>8.2}");
    }
}

/// Nanoseconds per quote in each round.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    fn time(&mut self, round: impl FnOnce() -> usize) {
        let start = Instant::now();
        assert_eq!(black_box(round()), QUOTES_PER_ROUND);
        self.0.push(start.elapsed().as_nanos() as f64 / QUOTES_PER_ROUND as f64);
        self.0.sort_by(f64::total_cmp);
    }

    fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.1} ({:.1})", self.median(), self.0[0]))
    }
}

fn decode<'a>(decoder: &mut Decoder, frames: impl Iterator<Item = Payload<'a>>) -> usize {
    let mut quotes = 0;
    for frame in frames {
        decoder.decode(frame, NOW);
        if decoder.quotes().len() >= 1024 {
            quotes += black_box(decoder.quotes()).len();
            decoder.clear_quotes();
        }
    }
    quotes += decoder.quotes().len();
    decoder.clear_quotes();
    assert_eq!(decoder.take_skipped().total(), 0);
    quotes
}

fn parse(frames: &[String]) -> usize {
    frames
        .iter()
        .map(|frame| serde_json::from_str::<Vec<Parsed<'_>>>(frame).map_or(0, |all| black_box(all).len()))
        .sum()
}

/// Number `n` of a made-up stream over 5,000 symbols: symbol, bid in cents, sizes, nanoseconds.
fn quote(n: usize) -> (String, usize, usize, usize, usize) {
    let mixed = n.wrapping_mul(2_654_435_761) >> 7;
    (format!("S{}", mixed % 5000), 1000 + mixed % 50_000, 1 + mixed % 900, 1 + mixed % 700, mixed % 1_000_000_000)
}

fn json_frame(frame: usize, per_frame: usize) -> String {
    let quotes = (0..per_frame).map(|n| {
        let (symbol, cents, bid_size, ask_size, nanos) = quote(frame * per_frame + n);
        format!(
            r#"{{"T":"q","S":"{symbol}","bx":"K","bp":{}.{:02},"bs":{bid_size},"ax":"Q","ap":{}.{:02},"as":{ask_size},"c":["R"],"z":"C","t":"2023-04-06T11:54:21.{nanos:09}Z"}}"#,
            cents / 100, cents % 100, cents / 100, cents % 100,
        )
    });
    format!("[{}]", quotes.collect::<Vec<_>>().join(","))
}

fn msgpack_frame(frame: usize, per_frame: usize) -> Vec<u8> {
    let mut out = vec![0xdc];
    out.extend(u16::try_from(per_frame).unwrap_or(u16::MAX).to_be_bytes());
    for n in 0..per_frame {
        let (symbol, cents, bid_size, ask_size, nanos) = quote(frame * per_frame + n);
        let price = cents as f64 / 100.0;
        out.push(0x8b);
        for (key, value) in [("T", "q"), ("S", &symbol), ("bx", "K"), ("ax", "Q"), ("z", "C")] {
            text(&mut out, key);
            text(&mut out, value);
        }
        for key in ["bp", "ap"] {
            text(&mut out, key);
            out.push(0xcb);
            out.extend(price.to_be_bytes());
        }
        for (key, size) in [("bs", bid_size), ("as", ask_size)] {
            text(&mut out, key);
            out.push(0xcd);
            out.extend(u16::try_from(size).unwrap_or(u16::MAX).to_be_bytes());
        }
        text(&mut out, "c");
        out.push(0x91);
        text(&mut out, "R");
        text(&mut out, "t");
        out.extend([0xd7, 0xff]);
        out.extend(((nanos as u64) << 34 | 1_680_782_061).to_be_bytes());
    }
    out
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(0xa0 | u8::try_from(text.len()).unwrap_or(31));
    out.extend(text.as_bytes());
}

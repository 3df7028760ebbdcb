//! The frames that the benchmark sends: realistic quotes of 100 symbols, built once.

use std::borrow::Cow;
use std::fmt::Write;

use serde::Deserialize;

use crate::msgpack::{put, put_double, put_integer, put_text};

/// Enough that the bytes are not in the CPU caches, as if they came from a network.
const QUOTES: usize = 16_384;

pub(crate) struct Frames {
    /// The quotes per message.
    pub(crate) payloads: Vec<Vec<u8>>,
    pub(crate) binary: bool,
}

struct Row {
    symbol: String,
    bid: f64,
    ask: f64,
    bid_size: u32,
    ask_size: u32,
    seconds: i64,
    nanos: u32,
}

impl Frames {
    pub(crate) fn json(quotes: usize) -> Self {
        let all = rows();
        let payloads = all.chunks(quotes).map(|rows| {
            let mut text = String::from("[");
            for row in rows {
                if text.len() > 1 {
                    text.push(',');
                }
                let time = jiff::Timestamp::new(row.seconds, row.nanos as i32).unwrap();
                let Row { symbol, bid, ask, bid_size, ask_size, .. } = row;
                write!(
                    text,
                    r#"{{"T":"q","S":"{symbol}","bx":"V","bp":{bid},"bs":{bid_size},"ax":"V","ap":{ask},"as":{ask_size},"c":["R"],"z":"B","t":"{time}"}}"#
                )
                .unwrap();
            }
            text.push(']');
            text.into_bytes()
        });
        Self { payloads: payloads.collect(), binary: false }
    }

    /// Encoded as Alpaca's Go server does: `T` first, time as extension −1, 64 bits.
    pub(crate) fn msgpack(quotes: usize) -> Self {
        let all = rows();
        let payloads = all.chunks(quotes).map(|rows| {
            let mut bytes = vec![0xdc];
            bytes.extend((rows.len() as u16).to_be_bytes());
            for row in rows {
                bytes.push(0x80 | 11);
                put_text(&mut bytes, "T", "q");
                put_text(&mut bytes, "S", &row.symbol);
                put_text(&mut bytes, "bx", "V");
                put_double(&mut bytes, "bp", row.bid);
                put_integer(&mut bytes, "bs", row.bid_size);
                put_text(&mut bytes, "ax", "V");
                put_double(&mut bytes, "ap", row.ask);
                put_integer(&mut bytes, "as", row.ask_size);
                put(&mut bytes, "c");
                bytes.extend([0x91, 0xa1, b'R']);
                put_text(&mut bytes, "z", "B");
                put(&mut bytes, "t");
                bytes.extend([0xd7, 0xff]);
                bytes.extend((u64::from(row.nanos) << 34 | row.seconds as u64).to_be_bytes());
            }
            bytes
        });
        Self { payloads: payloads.collect(), binary: true }
    }
}

fn rows() -> Vec<Row> {
    let mut rng = fastrand::Rng::with_seed(1);
    let seconds = jiff::Timestamp::now().as_second();
    let row = |_| {
        let cents = f64::from(rng.u32(500..90_000));
        let bid = cents / 100.0;
        Row {
            symbol: format!("SYM{}", rng.u8(0..100)),
            bid,
            ask: (cents + f64::from(rng.u32(1..6))) / 100.0,
            bid_size: 100 * rng.u32(1..40),
            ask_size: 100 * rng.u32(1..40),
            seconds,
            // All equal: equal times count as newer, so every quote is accepted however often the frames repeat.
            nanos: 123_456_789,
        }
    };
    (0..QUOTES).map(row).collect()
}

/// A quote for serde, borrowed where possible.
#[derive(Deserialize)]
#[allow(dead_code, non_snake_case)]
pub(crate) struct Parsed<'a> {
    #[serde(borrow)]
    T: Cow<'a, str>,
    #[serde(borrow)]
    S: Cow<'a, str>,
    #[serde(borrow)]
    bx: Cow<'a, str>,
    bp: f64,
    bs: f64,
    #[serde(borrow)]
    ax: Cow<'a, str>,
    ap: f64,
    r#as: f64,
    #[serde(borrow)]
    c: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    z: Cow<'a, str>,
    #[serde(borrow)]
    t: Cow<'a, str>,
}

pub(crate) fn parse_with_serde_json(payload: &[u8]) -> Vec<Parsed<'_>> {
    serde_json::from_slice(payload).unwrap()
}

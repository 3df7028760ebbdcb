//! Frames as Alpaca sends them, whose times are set before each is decoded.

use std::time::{Duration, Instant};

use quotegate_feed::{Decoder, Payload};

use crate::msgpack::{put, put_double, put_integer, put_text};

const SYMBOLS: usize = 5000;
const QUOTES_PER_FRAME: usize = 64;
/// Enough that the bytes are not in the CPU caches, as if they came from a network.
const FRAMES: usize = 1024;

pub(crate) struct Frames {
    frames: Vec<Vec<u8>>,
    /// Where the times are in a frame: the same in all.
    times: Vec<usize>,
    next: usize,
    /// The time of the last quote: none is older than the one before it.
    last: i64,
}

impl Frames {
    /// Each symbol's price is a random walk in cents.
    pub(crate) fn new() -> Self {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut cents: Vec<u32> = (0..SYMBOLS).map(|_| rng.u32(1000..100_000)).collect();
        let mut times = Vec::new();
        let frames = (0..FRAMES).map(|frame| {
            let mut bytes = vec![0xdc];
            bytes.extend((QUOTES_PER_FRAME as u16).to_be_bytes());
            for _ in 0..QUOTES_PER_FRAME {
                let symbol = rng.usize(..SYMBOLS);
                cents[symbol] = (cents[symbol] + rng.u32(..5)).saturating_sub(2).max(100);
                let bid = f64::from(cents[symbol]) / 100.0;
                let ask = f64::from(cents[symbol] + rng.u32(1..4)) / 100.0;
                bytes.push(0x80 | 11);
                put_text(&mut bytes, "T", "q");
                put_text(&mut bytes, "S", &format!("Q{symbol:04}"));
                put_text(&mut bytes, "bx", ["V", "Q", "P", "Z"][rng.usize(..4)]);
                put_double(&mut bytes, "bp", bid);
                put_integer(&mut bytes, "bs", rng.u32(1..50) * 100);
                put_text(&mut bytes, "ax", ["V", "Q", "P", "Z"][rng.usize(..4)]);
                put_double(&mut bytes, "ap", ask);
                put_integer(&mut bytes, "as", rng.u32(1..50) * 100);
                put(&mut bytes, "c");
                bytes.extend([0x91, 0xa1, b'R']);
                put_text(&mut bytes, "z", "B");
                put(&mut bytes, "t");
                bytes.extend([0xd7, 0xff]);
                if frame == 0 {
                    times.push(bytes.len());
                }
                bytes.extend([0; 8]);
            }
            bytes
        });
        let frames = frames.collect();
        Self { frames, times, next: 0, last: 0 }
    }

    /// Decodes frames at `rate` for `time`. After each, `deliver` gets the decoder.
    pub(crate) fn decode(&mut self, rate: f64, time: Duration, mut deliver: impl FnMut(&mut Decoder)) -> Decoder {
        let mut decoder = Decoder::new(quotegate_market::SymbolTable::default());
        let (began, mut sent) = (Instant::now(), 0.0);
        while began.elapsed() < time {
            let due = began.elapsed().as_secs_f64() * rate;
            if sent >= due {
                std::thread::sleep(Duration::from_micros(200));
                continue;
            }
            let now = crate::now();
            decoder.decode(Payload::Binary(self.next_frame(now)), now);
            deliver(&mut decoder);
            decoder.clear_quotes();
            sent += QUOTES_PER_FRAME as f64;
        }
        decoder
    }

    /// The next frame, with times just before `now`.
    fn next_frame(&mut self, now: i64) -> &[u8] {
        let frame = &mut self.frames[self.next % FRAMES];
        self.next += 1;
        self.last = self.last.max(now - 1_000_000);
        for at in &self.times {
            self.last += 137;
            let time = self.last;
            let (seconds, nanos) = (time / 1_000_000_000, time % 1_000_000_000);
            let packed = (nanos as u64) << 34 | seconds as u64;
            frame[*at..at + 8].copy_from_slice(&packed.to_be_bytes());
        }
        frame
    }
}

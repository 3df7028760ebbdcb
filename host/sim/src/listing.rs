/// A stock or fund in a scenario, roughly as it traded in January 2026.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listing {
    pub(crate) symbol: &'static str,
    pub(crate) tape: u8,
    /// The price at the start of the scenario, in cents.
    pub(crate) cents: f64,
    /// The spread in a calm market, in basis points; at least one cent.
    pub(crate) spread: f64,
    /// The typical move per second in a calm market, in basis points.
    pub(crate) volatility: f64,
    /// Its weight in the number of quotes.
    pub(crate) activity: u32,
    /// Round lots at the best price.
    pub(crate) depth: u32,
}

const fn listing(
    symbol: &'static str,
    tape: u8,
    cents: f64,
    [spread, volatility]: [f64; 2],
    activity: u32,
    depth: u32,
) -> Listing {
    Listing { symbol, tape, cents, spread, volatility, activity, depth }
}

/// Busiest first.
pub(crate) const LISTINGS: [Listing; 20] = [
    listing("SPY", b'B', 69_120.0, [0.2, 0.5], 30, 20),
    listing("QQQ", b'C', 62_180.0, [0.3, 0.7], 26, 12),
    listing("NVDA", b'C', 18_540.0, [0.6, 1.5], 24, 14),
    listing("TSLA", b'C', 44_150.0, [1.2, 2.2], 22, 4),
    listing("AAPL", b'C', 26_060.0, [0.6, 0.9], 18, 8),
    listing("AMZN", b'C', 24_210.0, [0.8, 1.2], 15, 6),
    listing("MSFT", b'C', 47_330.0, [0.8, 0.8], 14, 4),
    listing("META", b'C', 63_420.0, [2.0, 1.3], 13, 3),
    listing("AMD", b'C', 21_890.0, [1.4, 2.0], 13, 5),
    listing("GOOGL", b'C', 33_270.0, [1.0, 1.1], 12, 4),
    listing("IWM", b'B', 26_015.0, [0.4, 0.9], 12, 14),
    listing("INTC", b'C', 4_512.0, [2.2, 2.0], 10, 40),
    listing("GME", b'A', 2_104.0, [9.0, 2.6], 8, 6),
    listing("F", b'A', 1_392.0, [7.0, 1.2], 7, 120),
    listing("BA", b'A', 23_980.0, [4.0, 1.2], 7, 2),
    listing("JPM", b'A', 31_055.0, [2.0, 0.9], 6, 2),
    listing("XOM", b'A', 12_640.0, [1.6, 0.9], 6, 5),
    listing("DIS", b'A', 11_380.0, [2.2, 1.0], 5, 4),
    listing("KO", b'A', 7_045.0, [1.6, 0.6], 5, 12),
    listing("BRK.B", b'A', 49_410.0, [5.0, 0.6], 4, 2),
];

/// Exchanges with their weights, first for New York listings, then for Nasdaq's.
pub(crate) const EXCHANGES: [(&[u8; 12], [u32; 12]); 2] = [
    (b"NPKZQUVBYJHM", [26, 18, 12, 11, 10, 8, 5, 3, 2, 2, 2, 1]),
    (b"QPKZUVBYJHNX", [34, 18, 13, 11, 8, 5, 3, 2, 2, 2, 1, 1]),
];

/// Shares per round lot: since November 2025 fewer for expensive stocks (Regulation NMS, rule 600(b)(93)).
pub(crate) fn round_lot(cents: i64) -> u32 {
    match cents {
        ..=25_000 => 100,
        25_001..=100_000 => 40,
        100_001..=1_000_000 => 10,
        _ => 1,
    }
}

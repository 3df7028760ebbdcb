//! Builds components from the text in `guests/` and chains from components.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "each test file uses its part"
)]

use std::time::Duration;

use quotegate_document::TenantId;
use quotegate_market::{Quote, QuoteColumns, Symbol};
use quotegate_plugin::{
    Collections, EngineSettings, OnError, PluginChain, PluginEngine, PluginLimits, PluginSpec, PreparedPlugin,
    StartError,
};

/// The standard plugins, as they stand in the repository.
pub const QUOTE_FILTER: &[u8] = include_bytes!("../../../../plugins/components/quote-filter.wasm");
pub const FIELD_MAP: &[u8] = include_bytes!("../../../../plugins/components/field-map.wasm");

/// The text that a test puts into the frame.
#[derive(Default, Clone, Copy)]
pub struct Parts<'a> {
    pub configure: &'a str,
    pub filter: Option<&'a str>,
    pub map: Option<&'a str>,
    pub start: &'a str,
}

/// Refuses bids below one dollar for reason 1.
pub const REFUSE_CHEAP: &str = "
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
      (i32.store8 offset=1024 (local.get $i)
        (f64.lt (f64.load (i32.add (local.get $bid) (i32.shl (local.get $i) (i32.const 3)))) (f64.const 1)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))";

/// Answers no documents: 64 empty lists.
pub const NO_DOCUMENTS: &str = "(memory.fill (i32.const 32768) (i32.const 0) (i32.const 512))";

pub const FOREVER: &str = "(loop $for (br $for))";

/// A component of the frame and these parts.
pub fn guest(parts: Parts<'_>) -> Vec<u8> {
    wat::parse_str(guest_text(parts)).unwrap()
}

/// The same as text.
pub fn guest_text(parts: Parts<'_>) -> String {
    include_str!("../guests/guest.wat")
        .replace("{{configure}}", parts.configure)
        .replace("{{filter}}", parts.filter.unwrap_or(REFUSE_CHEAP))
        .replace("{{map}}", parts.map.unwrap_or(NO_DOCUMENTS))
        .replace("{{start}}", parts.start)
}

pub fn engine() -> PluginEngine {
    PluginEngine::new(&EngineSettings { instances: 16, ..EngineSettings::default() }).unwrap()
}

pub fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

pub fn spec(engine: &PluginEngine, bytes: &[u8]) -> PluginSpec {
    PluginSpec {
        plugin: PreparedPlugin::new(engine, "guest", bytes, None).unwrap(),
        config: "{}".into(),
        // Ten times the default, because time that a busy machine lets pass counts too.
        limits: PluginLimits { time_per_call: Duration::from_millis(500), ..PluginLimits::default() },
        on_error: OnError::Drop,
        chain: false,
        collections: Collections::new("live_quotes", &[]).unwrap(),
    }
}

pub fn start(engine: &PluginEngine, parts: Parts<'_>) -> Result<PluginChain, StartError> {
    PluginChain::start(tenant(), vec![spec(engine, &guest(parts))])
}

pub fn names() -> Vec<Symbol> {
    ["SPY", "QQQ"].map(|name| Symbol::new(name).unwrap()).into()
}

/// Quotes with these bids.
pub fn bids(prices: &[f64]) -> QuoteColumns {
    let mut columns = QuoteColumns::default();
    for &bid_price in prices {
        columns.push(0, &Quote { bid_price, ask_price: bid_price + 0.01, ..Quote::default() });
    }
    columns
}

/// A number as WebAssembly's binary format has it.
pub fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

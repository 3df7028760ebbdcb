//! One module per published version of the WIT. To support another version, add its folder under `wit/`, a module here,
//! and a line in [`VERSIONS`]. Nothing else in this crate depends on a version's types. `v0_2_0_test.rs` is an example.

mod v0_1_0;
#[cfg(test)]
mod v0_2_0_test;

use quotegate_document::{Document, Value};
use quotegate_market::{Quote, QuoteColumns, Symbol};
use wasmtime::component::Component;
use wasmtime::{Engine, Store};

use crate::state::GuestState;

/// How plugins of one version are recognized and linked.
pub(crate) struct Version {
    /// The text after the `@` in the names of imports and exports.
    pub(crate) number: &'static str,
    /// Its world with all interfaces, as `bindgen!` describes it.
    pub(crate) component_type: &'static [u8],
    pub(crate) prepare: fn(&Engine, &Component) -> wasmtime::Result<Box<dyn Interface>>,
}

/// All supported versions.
pub(crate) const VERSIONS: &[Version] = &[
    Version { number: "0.1.0", component_type: v0_1_0::COMPONENT_TYPE, prepare: v0_1_0::prepare },
    #[cfg(test)]
    Version { number: v0_2_0_test::NUMBER, component_type: v0_2_0_test::COMPONENT_TYPE, prepare: v0_2_0_test::prepare },
];

/// The names of a version's interfaces, without the version.
pub(crate) const HOST: &str = "quotegate:plugin/host";
pub(crate) const TYPES: &str = "quotegate:plugin/types";
pub(crate) const LIFECYCLE: &str = "quotegate:plugin/lifecycle";
pub(crate) const FILTER: &str = "quotegate:plugin/filter";
pub(crate) const MAPPING: &str = "quotegate:plugin/mapping";

/// A linked component, ready to instantiate.
pub(crate) trait Interface: Send + Sync {
    /// Also runs the component's start functions.
    fn instantiate(&self, store: &mut Store<GuestState>) -> wasmtime::Result<Box<dyn Guest>>;
}

/// An instance of any version.
pub(crate) trait Guest: Send {
    fn configure(
        &self,
        store: &mut Store<GuestState>,
        tenant: &str,
        config: &str,
    ) -> wasmtime::Result<Result<Manifest, String>>;

    /// One verdict per quote; neither their number nor their values are checked.
    fn filter(&self, store: &mut Store<GuestState>, batch: &FilterBatch<'_>) -> wasmtime::Result<Vec<u8>>;

    /// One list per quote, unchecked.
    fn map(&self, store: &mut Store<GuestState>, quotes: &[MapQuote<'_>]) -> wasmtime::Result<Vec<Vec<RawDocument>>>;
}

/// What a plugin declares in `configure`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) columns: Columns,
    pub(crate) reasons: Vec<String>,
}

/// The columns that a filter reads. The others are passed as empty lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) bid_price: bool,
    pub(crate) bid_size: bool,
    pub(crate) ask_price: bool,
    pub(crate) ask_size: bool,
    pub(crate) bid_exchange: bool,
    pub(crate) ask_exchange: bool,
    pub(crate) tape: bool,
    pub(crate) conditions: bool,
    pub(crate) event_time: bool,
    pub(crate) received_time: bool,
}

impl Columns {
    /// The WIT's names of the columns that are read.
    pub(crate) fn names(self) -> Vec<&'static str> {
        let all = [
            (self.bid_price, "bid-price"),
            (self.bid_size, "bid-size"),
            (self.ask_price, "ask-price"),
            (self.ask_size, "ask-size"),
            (self.bid_exchange, "bid-exchange"),
            (self.ask_exchange, "ask-exchange"),
            (self.tape, "tape"),
            (self.conditions, "conditions"),
            (self.event_time, "event-time"),
            (self.received_time, "received-time"),
        ];
        all.into_iter().filter_map(|(read, name)| read.then_some(name)).collect()
    }
}

/// The arguments of one filter call.
pub(crate) struct FilterBatch<'a> {
    pub(crate) quotes: &'a QuoteColumns,
    pub(crate) new_symbols: &'a [&'a str],
    pub(crate) wanted: Columns,
}

/// One quote of a map call, with the documents that earlier maps made from it.
pub(crate) struct MapQuote<'a> {
    pub(crate) symbol: &'a Symbol,
    pub(crate) quote: &'a Quote,
    pub(crate) earlier: &'a [Document],
}

/// A document as the guest returned it.
#[derive(Debug)]
pub(crate) struct RawDocument {
    pub(crate) collection: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) fields: Vec<(String, Value)>,
}

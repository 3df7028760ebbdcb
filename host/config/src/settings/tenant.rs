use std::time::Duration;

use quotegate_document::{CollectionPath, Destination, TenantId};
use quotegate_market::Symbol;

use crate::declare::settings;
use crate::key::{KeyPath, TENANT_DEFAULTS, TENANTS};
use crate::kind::{Bool, Collection, Destinations, Integer, Number, Plugins, Symbols, TimeSpan, ValueKind, ZeroIsOff};
use crate::reader::Reader;
use crate::{Origin, PluginSettings, SettingError};

/// One tenant, `[tenants.<id>]` over `[tenant_defaults]`.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantSettings {
    /// The tenant's id: its documents are below `tenants/{id}`.
    pub id: TenantId,
    /// The symbols that it subscribes to.
    pub symbols: SymbolChoice,
    /// The shortest time between two writes of one symbol.
    pub per_symbol_min_interval: Duration,
    /// The tenant's own limit; `None`: only the shared one.
    pub rate: Option<WriteRate>,
    /// The collections of its quotes below `tenants/{id}`; at least one, none twice.
    pub collections: Vec<Destination>,
    /// Its plugins, in order.
    pub plugins: Vec<PluginSettings>,
    /// The share of one processor that its plugins may use together.
    pub share_of_time: f64,
    /// Its share of processor time while others want it too.
    pub weight: u32,
    /// Nothing is written for it but its heartbeat.
    pub paused: bool,
}

/// What a tenant subscribes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SymbolChoice {
    /// Every symbol that the feed has.
    All,
    /// These symbols; at least one, none twice.
    List(Vec<Symbol>),
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WriteRate {
    /// Writes per second in the long run. Above 0, finite.
    pub per_second: f64,
    /// Writes at once. At least 1.
    pub burst: u32,
}

settings! {
    /// `[tenants.<id>]` or `[tenant_defaults]` as it is written.
    struct TenantValues from Reader {
        /// The symbols to subscribe to. Case does not matter.
        symbols: SymbolChoice = "symbols" ["MONITORED_SYMBOLS", "ALPACA_SYMBOLS"], Symbols,
            default SymbolChoice::List(Symbol::new("SPY").into_iter().collect());
        /// The shortest time between two writes of the same symbol. With sink.fence, also across a restart and from one
        /// host to the next: what another host has just written is replaced when the interval is over.
        per_symbol_min_interval: Duration = "per_symbol_min_interval_ms" ["PER_SYMBOL_MIN_INTERVAL_MS"],
            TimeSpan::milliseconds(0.0, 86_400_000.0), default Duration::from_secs(1);
        /// The tenant's own limit of quote writes per second. The shared limit, pace.writes_per_second, applies too.
        writes_per_second: Option<f64> = "writes_per_second",
            ZeroIsOff { kind: Number { min: 0.001, max: 1_000_000.0 }, meaning: "for only the shared limit" }, default None;
        /// Quote writes that may happen at once after a quiet period. This applies only if the tenant has its own
        /// writes_per_second.
        burst: u32 = "burst", Integer { min: 1, max: 1_000_000 }, default 40;
        /// The collections for the tenant's quotes, below tenants/{id}. Each quote is written to all of them, and each write
        /// takes a token of its own. A collection with the shape "standard" or "streamer" gets the host's document in that
        /// shape. One without a shape gets what the tenant's maps make, or the standard document if there is no map.
        collections: Vec<Destination> = "collections", Destinations, default live_quotes();
        /// Short for collections with this one path. A section sets one of the two, not both.
        collection: Option<CollectionPath> = "collection"
            ["FIRESTORE_LIVE_QUOTES_COLLECTION", "FIRESTORE_LATEST_COLLECTION"], Collection, example "\"live_quotes\"";
        /// WebAssembly components that filter the tenant's quotes and map them to documents, in this order.
        plugins: Vec<PluginSettings> = "plugins", Plugins, default Vec::new();
        /// The share of one CPU that the tenant's plugins may use together. Beyond it, calls are skipped.
        share_of_time: f64 = "share_of_time", Number { min: 0.001, max: 1024.0 }, default 0.5;
        /// The tenant's share of processor time when there is not enough for all, relative to that of other tenants.
        weight: u32 = "weight", Integer { min: 1, max: 10_000 }, default 100;
        /// Write nothing for the tenant but its heartbeat. A reload applies a change at once.
        paused: bool = "paused", Bool, default false;
    }
}

fn live_quotes() -> Vec<Destination> {
    CollectionPath::new("live_quotes").map(without_shape).into_iter().collect()
}

fn without_shape(collection: CollectionPath) -> Destination {
    Destination { collection, shape: None }
}

impl TenantValues {
    /// Settles which of `collection` and `collections` counts: the one that the reader's section has, or else the one that
    /// the inherited section has.
    fn resolved(mut self, from: &mut Reader<'_>, inherited: Option<&Self>) -> Self {
        let has_list = from.is_set("collections");
        if has_list && from.is_set("collection") {
            from.conflict(
                ["collection", "collections"],
                format!("Both collection and collections ({}) are set.", from.origin("collections")),
                "Remove one of the two. To write to several collections, add this one to the list collections.",
            );
            return self;
        }
        if !has_list {
            self.collection = self.collection.or_else(|| inherited?.collection.clone());
        }
        let collection = &self.collection;
        let shown = collection.as_ref().map_or_else(|| "none".to_owned(), |path| Collection.show(path));
        let origin = if collection.is_some() { from.origin("collection") } else { Origin::Default };
        from.replace_own_row("collection", &shown, origin.clone());
        if let Some(path) = collection {
            self.collections = vec![without_shape(path.clone())];
            from.replace_own_row("collections", &Destinations.show(&self.collections), origin);
        }
        self
    }

    fn into_settings(self, id: TenantId) -> TenantSettings {
        let burst = self.burst;
        TenantSettings {
            id,
            symbols: self.symbols,
            per_symbol_min_interval: self.per_symbol_min_interval,
            rate: self.writes_per_second.map(|per_second| WriteRate { per_second, burst }),
            collections: self.collections,
            plugins: self.plugins,
            share_of_time: self.share_of_time,
            weight: self.weight,
            paused: self.paused,
        }
    }
}

/// Every tenant by id. No tenant at all is an error.
pub(super) fn read_all(from: &mut Reader<'_>) -> Vec<TenantSettings> {
    from.section([TENANT_DEFAULTS], "Defaults for the tenants, which are at the end of this file.");
    let defaults = TenantValues::read(from).resolved(from, None);
    // The layers have reported ids that are not valid.
    let ids: Vec<TenantId> = from.tenant_ids().iter().filter_map(|id| TenantId::new(id).ok()).collect();
    if ids.is_empty() && !from.has_error(&[TENANTS]) {
        let remedy = "Set TENANT_ID, or add a section [tenants.<id>] or a file tenants/<id>.toml.";
        let error = SettingError::new(Origin::Default, "There are no tenants, so there is nothing to do.", remedy);
        from.error(error.of(&KeyPath::new([TENANTS])));
    }
    let mut tenant = |id: TenantId| {
        let section = from.section_inheriting([TENANTS, id.as_str()], TENANT_DEFAULTS);
        TenantValues::read_over(section, Some(&defaults)).resolved(section, Some(&defaults)).into_settings(id)
    };
    ids.into_iter().map(&mut tenant).collect()
}

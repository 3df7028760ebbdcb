use std::time::Duration;

use quotegate_document::TenantId;
use quotegate_market::Symbol;

use crate::declare::settings;
use crate::key::{KeyPath, TENANT_DEFAULTS, TENANTS};
use crate::kind::{Bool, Integer, Number, Plugins, Symbols, Text, TimeSpan, ZeroIsOff, rule};
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
    /// The collection of its quotes below `tenants/{id}`; a legal Firestore id.
    pub collection: String,
    /// Its plugins, in order.
    pub plugins: Vec<PluginSettings>,
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

const COLLECTION: Text = Text { expects: "a collection ID such as \"live_quotes\"", rule: rule::FIRESTORE_ID };

settings! {
    /// `[tenants.<id>]` or `[tenant_defaults]` as it is written.
    struct TenantValues from Reader {
        /// The symbols to subscribe to. Case does not matter.
        symbols: SymbolChoice = "symbols" ["MONITORED_SYMBOLS", "ALPACA_SYMBOLS"], Symbols,
            default SymbolChoice::List(Symbol::new("SPY").into_iter().collect());
        /// The shortest time between two writes of the same symbol.
        per_symbol_min_interval: Duration = "per_symbol_min_interval_ms" ["PER_SYMBOL_MIN_INTERVAL_MS"],
            TimeSpan::milliseconds(0.0, 86_400_000.0), default Duration::from_secs(1);
        /// The tenant's own limit of quote writes per second. The shared limit, pace.writes_per_second, applies too.
        writes_per_second: Option<f64> = "writes_per_second",
            ZeroIsOff { kind: Number { min: 0.001, max: 1_000_000.0 }, meaning: "for only the shared limit" }, default None;
        /// Quote writes that may happen at once after a quiet period. This applies only if the tenant has its own
        /// writes_per_second.
        burst: u32 = "burst", Integer { min: 1, max: 1_000_000 }, default 40;
        /// The collection for the tenant's quotes, below tenants/{id}.
        collection: String = "collection" ["FIRESTORE_LIVE_QUOTES_COLLECTION", "FIRESTORE_LATEST_COLLECTION"], COLLECTION,
            default "live_quotes".to_owned();
        /// WebAssembly components that filter the tenant's quotes and map them to documents, in this order.
        plugins: Vec<PluginSettings> = "plugins", Plugins, default Vec::new();
        /// Write nothing for the tenant but its heartbeat. A reload applies a change at once.
        paused: bool = "paused", Bool, default false;
    }
}

impl TenantValues {
    fn into_settings(self, id: TenantId) -> TenantSettings {
        let burst = self.burst;
        TenantSettings {
            id,
            symbols: self.symbols,
            per_symbol_min_interval: self.per_symbol_min_interval,
            rate: self.writes_per_second.map(|per_second| WriteRate { per_second, burst }),
            collection: self.collection,
            plugins: self.plugins,
            paused: self.paused,
        }
    }
}

/// Every tenant by id. No tenant at all is an error.
pub(super) fn read_all(from: &mut Reader<'_>) -> Vec<TenantSettings> {
    from.section([TENANT_DEFAULTS], "Defaults for the tenants, which are at the end of this file.");
    let defaults = TenantValues::read(from);
    // The layers have reported ids that are not valid.
    let ids: Vec<TenantId> = from.tenant_ids().iter().filter_map(|id| TenantId::new(id).ok()).collect();
    if ids.is_empty() && !from.has_error(&[TENANTS]) {
        let remedy = "Set TENANT_ID, or add a section [tenants.<id>] or a file tenants/<id>.toml.";
        let error = SettingError::new(Origin::Default, "There are no tenants, so there is nothing to do.", remedy);
        from.error(error.of(&KeyPath::new([TENANTS])));
    }
    let mut tenant = |id: TenantId| {
        let section = from.section_inheriting([TENANTS, id.as_str()], TENANT_DEFAULTS);
        TenantValues::read_over(section, Some(&defaults)).into_settings(id)
    };
    ids.into_iter().map(&mut tenant).collect()
}

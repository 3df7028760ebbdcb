use std::time::Duration;

use quotegate_document::TenantId;
use quotegate_market::Symbol;

use crate::form::{Flag, Number, Plugins, Span, Symbols, Text, Whole, ZeroIsOff, rule};
use crate::key::{KeyPath, TENANT_DEFAULTS, TENANTS, key};
use crate::reader::Reader;
use crate::{Origin, PluginSettings, Problem};

/// One tenant, `[tenants.<id>]` over `[tenant_defaults]`.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantSettings {
    /// The tenant's id: its documents are below `tenants/{id}`.
    pub id: TenantId,
    /// The symbols that it wants.
    pub symbols: SymbolChoice,
    /// The shortest time between two writes of one symbol.
    pub per_symbol_min_interval: Duration,
    /// The tenant's own limit; `None`: only the global one.
    pub rate: Option<WriteRate>,
    /// The collection of its quotes below `tenants/{id}`; a legal Firestore id.
    pub collection: String,
    /// Its plugins, in order.
    pub plugins: Vec<PluginSettings>,
    /// Nothing of it is written but its heartbeat.
    pub paused: bool,
}

/// What a tenant wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SymbolChoice {
    /// Every symbol that the feed has.
    All,
    /// These; at least one, none twice.
    List(Vec<Symbol>),
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WriteRate {
    /// Writes a second in the long run. Above 0, finite.
    pub per_second: f64,
    /// Writes at once. At least 1.
    pub burst: u32,
}

/// What a tenant has or inherits.
#[derive(Clone)]
struct Rules {
    symbols: SymbolChoice,
    per_symbol_min_interval: Duration,
    writes_per_second: Option<f64>,
    burst: u32,
    collection: String,
    plugins: Vec<PluginSettings>,
    paused: bool,
}

const COLLECTION: Text = Text { expects: "a collection's id such as \"live_quotes\"", rule: rule::firestore_id };

impl Rules {
    fn built_in() -> Self {
        Self {
            symbols: SymbolChoice::List(Symbol::new("SPY").into_iter().collect()),
            per_symbol_min_interval: Duration::from_secs(1),
            writes_per_second: None,
            burst: 40,
            collection: "live_quotes".into(),
            plugins: Vec::new(),
            paused: false,
        }
    }

    /// The keys of a tenant, with `inherited` for what is not there.
    fn read(from: &mut Reader<'_>, inherited: Self) -> Self {
        let symbols = key("symbols", "The symbols that the tenant wants. Small letters count as capitals.", Symbols);
        let interval = key(
            "per_symbol_min_interval_ms",
            "The shortest time between two writes of one symbol.",
            Span::milliseconds(0.0, 86_400_000.0),
        );
        let rate = key(
            "writes_per_second",
            "The tenant's own limit of quote writes a second, below the global one.",
            ZeroIsOff { form: Number { min: 0.001, max: 1_000_000.0 }, meaning: "only the global limit" },
        );
        let burst = key(
            "burst",
            "Quote writes at once after a quiet time, where the tenant has a limit of its own.",
            Whole { min: 1, max: 1_000_000 },
        );
        let collection = key("collection", "The collection of the tenant's quotes, below tenants/{id}.", COLLECTION)
            .named(&["FIRESTORE_LIVE_QUOTES_COLLECTION", "FIRESTORE_LATEST_COLLECTION"]);
        let plugins =
            key("plugins", "Components that filter the tenant's quotes and map their fields, in order.", Plugins);
        let paused =
            key("paused", "Write nothing of the tenant but its heartbeat. Counts at once when it is reloaded.", Flag);
        Self {
            symbols: from.read(symbols.named(&["MONITORED_SYMBOLS", "ALPACA_SYMBOLS"]), inherited.symbols),
            per_symbol_min_interval: from
                .read(interval.named(&["PER_SYMBOL_MIN_INTERVAL_MS"]), inherited.per_symbol_min_interval),
            writes_per_second: from.read(rate, inherited.writes_per_second),
            burst: from.read(burst, inherited.burst),
            collection: from.read(collection, inherited.collection),
            plugins: from.read(plugins, inherited.plugins),
            paused: from.read(paused, inherited.paused),
        }
    }

    fn of(self, id: TenantId) -> TenantSettings {
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

/// Every tenant by id. No tenant at all is a problem.
pub(super) fn read_all(from: &mut Reader<'_>) -> Vec<TenantSettings> {
    from.section([TENANT_DEFAULTS]);
    let defaults = Rules::read(from, Rules::built_in());
    // The layers have refused ids that are none.
    let ids: Vec<TenantId> = from.tenant_ids().iter().filter_map(|id| TenantId::new(id).ok()).collect();
    if ids.is_empty() && !from.is_doubtful(&[TENANTS]) {
        let remedy = "Set TENANT_ID, or add a section [tenants.<id>] or a file tenants/<id>.toml.";
        let problem = Problem::new(Origin::Default, "There is no tenant, so there is nothing to do.", remedy);
        from.problem_without_place(problem.of(&KeyPath::new([TENANTS])));
    }
    let mut tenant = |id: TenantId| {
        from.section_inheriting([TENANTS, id.as_str()], TENANT_DEFAULTS);
        Rules::read(from, defaults.clone()).of(id)
    };
    ids.into_iter().map(&mut tenant).collect()
}

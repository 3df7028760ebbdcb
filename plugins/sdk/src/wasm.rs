//! The code between the generated bindings and the traits.

use std::cell::RefCell;
use std::thread::LocalKey;

use crate::bindings::quotegate::plugin::{host, types};
use crate::config::in_words;
use crate::panics::log_panics;
use crate::{ColumnFilter, Conditions, Document, Map, QuoteColumns, QuoteView, Value};

pub(crate) mod host_calls {
    use super::host;
    use crate::host::Level;

    pub(crate) fn log(level: Level, text: &str) {
        let level = match level {
            Level::Debug => host::Level::Debug,
            Level::Info => host::Level::Info,
            Level::Warn => host::Level::Warn,
            Level::Error => host::Level::Error,
        };
        host::log(level, text);
    }

    pub(crate) use super::host::{count, gauge};
}

/// What a component of one of the worlds does.
pub trait Plugin: Sized {
    /// Reads the config and creates the plugin.
    fn start(tenant: &str, config: &str) -> Result<Self, String>;
    /// What the plugin reports to the host.
    fn manifest(&self) -> types::Manifest;
}

/// A plugin with a filter.
pub trait HasFilter {
    /// Its filter.
    type Filter: ColumnFilter;
    /// The filter.
    fn filter(&mut self) -> &mut Self::Filter;
}

/// A plugin with a map.
pub trait HasMap {
    /// Its map.
    type Map: Map;
    /// The map.
    fn map(&mut self) -> &mut Self::Map;
}

/// World `filter-plugin`.
pub struct FilterOnly<F>(F);
/// World `map-plugin`.
pub struct MapOnly<M>(M);
/// World `plugin`.
pub struct Both<F, M>(F, M);

fn read<T: serde::de::DeserializeOwned>(config: &str) -> Result<T, String> {
    serde_json::from_str(config).map_err(|problem| format!("The config does not fit: {}.", in_words(&problem)))
}

fn manifest<F: ColumnFilter>(filter: &F) -> types::Manifest {
    types::Manifest {
        columns: types::Columns::from_bits_retain(filter.columns().bits()),
        reasons: F::REASONS.iter().map(|&name| name.into()).collect(),
    }
}

impl<F: ColumnFilter> Plugin for FilterOnly<F> {
    fn start(tenant: &str, config: &str) -> Result<Self, String> {
        F::new(tenant, read(config)?).map(Self)
    }
    fn manifest(&self) -> types::Manifest {
        manifest(&self.0)
    }
}

impl<M: Map> Plugin for MapOnly<M> {
    fn start(tenant: &str, config: &str) -> Result<Self, String> {
        M::new(tenant, read(config)?).map(Self)
    }
    fn manifest(&self) -> types::Manifest {
        types::Manifest { columns: types::Columns::empty(), reasons: Vec::new() }
    }
}

impl<F: ColumnFilter, M: Map> Plugin for Both<F, M> {
    fn start(tenant: &str, config: &str) -> Result<Self, String> {
        Ok(Self(F::new(tenant, read(config)?)?, M::new(tenant, read(config)?)?))
    }
    fn manifest(&self) -> types::Manifest {
        manifest(&self.0)
    }
}

impl<F: ColumnFilter> HasFilter for FilterOnly<F> {
    type Filter = F;
    fn filter(&mut self) -> &mut F {
        &mut self.0
    }
}

impl<F: ColumnFilter, M> HasFilter for Both<F, M> {
    type Filter = F;
    fn filter(&mut self) -> &mut F {
        &mut self.0
    }
}

impl<M: Map> HasMap for MapOnly<M> {
    type Map = M;
    fn map(&mut self) -> &mut M {
        &mut self.0
    }
}

impl<F, M: Map> HasMap for Both<F, M> {
    type Map = M;
    fn map(&mut self) -> &mut M {
        &mut self.1
    }
}

type Slot<P> = LocalKey<RefCell<Option<P>>>;

/// The export `configure`.
pub fn configure<P: Plugin + 'static>(
    slot: &'static Slot<P>,
    tenant: &str,
    config: &str,
) -> Result<types::Manifest, String> {
    log_panics();
    let plugin = P::start(tenant, config)?;
    let manifest = plugin.manifest();
    slot.set(Some(plugin));
    Ok(manifest)
}

/// The export `filter-quotes`. The host calls `configure` first; otherwise this returns nothing, which the host notices.
pub fn filter_quotes<P: HasFilter + 'static>(slot: &'static Slot<P>, quotes: types::QuoteColumns) -> Vec<u8> {
    slot.with_borrow_mut(|slot| {
        let Some(plugin) = slot else { return Vec::new() };
        let filter = plugin.filter();
        quotes.new_symbols.iter().flatten().for_each(|name| filter.learn_symbol(name));
        filter.judge(&QuoteColumns {
            symbol: quotes.symbol,
            bid_price: quotes.bid_price.unwrap_or_default(),
            bid_size: quotes.bid_size.unwrap_or_default(),
            ask_price: quotes.ask_price.unwrap_or_default(),
            ask_size: quotes.ask_size.unwrap_or_default(),
            bid_exchange: quotes.bid_exchange.unwrap_or_default(),
            ask_exchange: quotes.ask_exchange.unwrap_or_default(),
            tape: quotes.tape.unwrap_or_default(),
            conditions: quotes.conditions.unwrap_or_default(),
            event_time: quotes.event_time.unwrap_or_default(),
            received_time: quotes.received_time.unwrap_or_default(),
        })
    })
}

/// The export `map-quotes`. Without `configure` it behaves like [`filter_quotes`].
pub fn map_quotes<P: HasMap + 'static>(slot: &'static Slot<P>, quotes: Vec<types::Quote>) -> Vec<Vec<types::Document>> {
    slot.with_borrow_mut(|slot| {
        let Some(plugin) = slot else { return Vec::new() };
        let map = plugin.map();
        quotes.into_iter().map(|quote| map_one(map, quote)).collect()
    })
}

fn map_one(map: &mut impl Map, quote: types::Quote) -> Vec<types::Document> {
    let earlier: Vec<Document> = quote.earlier.into_iter().flatten().map(Document::from).collect();
    let view = QuoteView {
        symbol: &quote.symbol,
        bid_price: quote.bid_price,
        bid_size: quote.bid_size,
        ask_price: quote.ask_price,
        ask_size: quote.ask_size,
        bid_exchange: quote.bid_exchange,
        ask_exchange: quote.ask_exchange,
        tape: quote.tape,
        conditions: Conditions::new(&quote.conditions),
        event_time: quote.event_time,
        received_time: quote.received_time,
    };
    map.map(&view, &earlier).into_iter().map(Document::into).collect()
}

impl From<types::Document> for Document {
    fn from(document: types::Document) -> Self {
        let fields = document.fields.into_iter().map(|field| (field.path, field.value.into())).collect();
        Self { collection: document.collection, id: document.id, fields }
    }
}

impl From<Document> for types::Document {
    fn from(document: Document) -> Self {
        let field = |(path, value): (String, Value)| types::Field { path, value: value.into() };
        Self {
            collection: document.collection,
            id: document.id,
            fields: document.fields.into_iter().map(field).collect(),
        }
    }
}

macro_rules! same_cases {
    ($($case:ident),*) => {
        impl From<types::Value> for Value {
            fn from(value: types::Value) -> Self {
                match value {
                    types::Value::Null => Self::Null,
                    $(types::Value::$case(value) => Self::$case(value),)*
                }
            }
        }

        impl From<Value> for types::Value {
            fn from(value: Value) -> Self {
                match value {
                    Value::Null => Self::Null,
                    $(Value::$case(value) => Self::$case(value),)*
                }
            }
        }
    };
}
same_cases!(Boolean, Integer, Double, Text, Timestamp, Bytes, Doubles, Texts);

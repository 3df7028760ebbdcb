//! `quotegate:plugin@0.1.0`.

use std::borrow::Cow;

use quotegate_document::{Document, Field, Value};
use quotegate_market::{QuoteColumns, conditions};
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};
use wasmtime::{Engine, Store};

use super::{Columns, FilterBatch, Guest, Interface, Manifest, MapQuote, RawDocument};
use crate::state::{GuestState, Level};

mod wit {
    #![allow(missing_docs, clippy::all, unreachable_pub)] // the WIT has the documentation
    wasmtime::component::bindgen!({
        path: "../../wit/0.1.0",
        world: "plugin",
        ownership: Borrowing { duplicate_if_necessary: true },
        include_component_type: true,
    });
}

pub(super) use wit::COMPONENT_TYPE;
use wit::exports::quotegate::plugin::{filter, lifecycle, mapping};
use wit::quotegate::plugin::{host, types};

pub(super) fn prepare(engine: &Engine, component: &Component) -> wasmtime::Result<Box<dyn Interface>> {
    let mut linker = Linker::new(engine);
    host::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut GuestState| state)?;
    let pre = linker.instantiate_pre(component)?;
    let has = |interface: &str| component.get_export_index(None, format!("{interface}@0.1.0")).is_some();
    let filter = has(super::FILTER).then(|| filter::GuestIndices::new(&pre)).transpose()?;
    let mapping = has(super::MAPPING).then(|| mapping::GuestIndices::new(&pre)).transpose()?;
    let lifecycle = lifecycle::GuestIndices::new(&pre)?;
    Ok(Box::new(Prepared { pre, lifecycle, filter, mapping }))
}

struct Prepared {
    pre: InstancePre<GuestState>,
    lifecycle: lifecycle::GuestIndices,
    filter: Option<filter::GuestIndices>,
    mapping: Option<mapping::GuestIndices>,
}

impl Interface for Prepared {
    fn instantiate(&self, store: &mut Store<GuestState>) -> wasmtime::Result<Box<dyn Guest>> {
        let instance = self.pre.instantiate(&mut *store)?;
        let lifecycle = self.lifecycle.load(&mut *store, &instance)?;
        let filter = self.filter.as_ref().map(|indices| indices.load(&mut *store, &instance)).transpose()?;
        let mapping = self.mapping.as_ref().map(|indices| indices.load(&mut *store, &instance)).transpose()?;
        Ok(Box::new(Live { lifecycle, filter, mapping }))
    }
}

struct Live {
    lifecycle: lifecycle::Guest,
    filter: Option<filter::Guest>,
    mapping: Option<mapping::Guest>,
}

impl Guest for Live {
    fn configure(
        &self,
        store: &mut Store<GuestState>,
        tenant: &str,
        config: &str,
    ) -> wasmtime::Result<Result<Manifest, String>> {
        let answer = self.lifecycle.call_configure(store, tenant, config)?;
        Ok(answer.map(|manifest| Manifest { columns: columns(manifest.columns), reasons: manifest.reasons }))
    }

    fn filter(&self, store: &mut Store<GuestState>, batch: &FilterBatch<'_>) -> wasmtime::Result<Vec<u8>> {
        let filter = self.filter.as_ref().ok_or_else(|| wasmtime::Error::msg("the plugin has no filter"))?;
        filter.call_filter_quotes(store, lower_columns(batch))
    }

    fn map(&self, store: &mut Store<GuestState>, quotes: &[MapQuote<'_>]) -> wasmtime::Result<Vec<Vec<RawDocument>>> {
        let mapping = self.mapping.as_ref().ok_or_else(|| wasmtime::Error::msg("the plugin has no map"))?;
        let answer = call_map(mapping, store, quotes)?;
        Ok(answer.into_iter().map(|documents| documents.into_iter().map(lift_document).collect()).collect())
    }
}

fn columns(flags: types::Columns) -> Columns {
    let has = |flag| flags.contains(flag);
    Columns {
        bid_price: has(types::Columns::BID_PRICE),
        bid_size: has(types::Columns::BID_SIZE),
        ask_price: has(types::Columns::ASK_PRICE),
        ask_size: has(types::Columns::ASK_SIZE),
        bid_exchange: has(types::Columns::BID_EXCHANGE),
        ask_exchange: has(types::Columns::ASK_EXCHANGE),
        tape: has(types::Columns::TAPE),
        conditions: has(types::Columns::CONDITIONS),
        event_time: has(types::Columns::EVENT_TIME),
        received_time: has(types::Columns::RECEIVED_TIME),
    }
}

fn lower_columns<'a>(batch: &FilterBatch<'a>) -> types::QuoteColumns<'a> {
    fn only<T>(wanted: bool, column: &[T]) -> Option<&[T]> {
        wanted.then_some(column)
    }
    let (quotes, wanted): (&'a QuoteColumns, _) = (batch.quotes, batch.wanted);
    types::QuoteColumns {
        symbol: &quotes.symbol,
        new_symbols: only(!batch.new_symbols.is_empty(), batch.new_symbols),
        bid_price: only(wanted.bid_price, &quotes.bid_price),
        bid_size: only(wanted.bid_size, &quotes.bid_size),
        ask_price: only(wanted.ask_price, &quotes.ask_price),
        ask_size: only(wanted.ask_size, &quotes.ask_size),
        bid_exchange: only(wanted.bid_exchange, &quotes.bid_exchange),
        ask_exchange: only(wanted.ask_exchange, &quotes.ask_exchange),
        tape: only(wanted.tape, &quotes.tape),
        conditions: only(wanted.conditions, &quotes.conditions),
        event_time: only(wanted.event_time, &quotes.event_time),
        received_time: only(wanted.received_time, &quotes.received_time),
    }
}

/// Lowers in three passes, because each borrows from the previous one: lists of texts, fields, documents.
fn call_map(
    mapping: &mapping::Guest,
    store: &mut Store<GuestState>,
    quotes: &[MapQuote<'_>],
) -> wasmtime::Result<Vec<Vec<types::DocumentResult>>> {
    let earlier = || quotes.iter().flat_map(|quote| quote.earlier);
    let texts: Vec<Vec<&str>> = earlier().flat_map(|document| &document.fields).map(text_list).collect();
    let mut texts = texts.iter().map(Vec::as_slice);
    let fields: Vec<Vec<types::FieldParam<'_>>> = earlier()
        .map(|document| document.fields.iter().map(|field| lower_field(field, texts.next().unwrap_or(&[]))).collect())
        .collect();
    let mut fields = fields.iter().map(Vec::as_slice);
    let documents: Vec<Vec<types::DocumentParam<'_>>> = quotes
        .iter()
        .map(|quote| {
            let lower = |document| lower_document(document, fields.next().unwrap_or(&[]));
            quote.earlier.iter().map(lower).collect()
        })
        .collect();
    let letters: Vec<String> = quotes.iter().map(|row| conditions::letters(row.quote.conditions).collect()).collect();
    let rows = quotes.iter().zip(&letters).zip(&documents);
    let lowered: Vec<_> = rows.map(|((row, letters), documents)| lower_quote(row, letters, documents)).collect();
    mapping.call_map_quotes(store, &lowered)
}

fn lower_quote<'a>(row: &MapQuote<'a>, letters: &'a str, earlier: &'a [types::DocumentParam<'a>]) -> types::Quote<'a> {
    let letter = |byte: u8| (byte != 0).then_some(char::from(byte));
    let quote = row.quote;
    types::Quote {
        symbol: row.symbol.as_str(),
        bid_price: quote.bid_price,
        bid_size: quote.bid_size,
        ask_price: quote.ask_price,
        ask_size: quote.ask_size,
        bid_exchange: letter(quote.bid_exchange),
        ask_exchange: letter(quote.ask_exchange),
        tape: letter(quote.tape),
        conditions: letters,
        event_time: quote.event_time,
        received_time: quote.received_time,
        earlier: (!earlier.is_empty()).then_some(earlier),
    }
}

fn text_list(field: &Field) -> Vec<&str> {
    match &field.value {
        Value::Texts(texts) => texts.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

fn lower_document<'a>(document: &'a Document, fields: &'a [types::FieldParam<'a>]) -> types::DocumentParam<'a> {
    types::DocumentParam { collection: Some(document.key.collection()), id: Some(document.key.id()), fields }
}

fn lower_field<'a>(field: &'a Field, texts: &'a [&'a str]) -> types::FieldParam<'a> {
    use types::ValueParam as Lowered;
    let value = match &field.value {
        Value::Null => Lowered::Null,
        Value::Boolean(value) => Lowered::Boolean(*value),
        Value::Integer(value) => Lowered::Integer(*value),
        Value::Double(value) => Lowered::Double(*value),
        Value::Text(text) => Lowered::Text(text),
        Value::Timestamp(time) => Lowered::Timestamp(*time),
        Value::Bytes(bytes) => Lowered::Bytes(bytes),
        Value::Doubles(numbers) => Lowered::Doubles(numbers),
        Value::Texts(_) => Lowered::Texts(texts),
    };
    types::FieldParam { path: field.path.as_str(), value }
}

fn lift_document(document: types::DocumentResult) -> RawDocument {
    let fields = document.fields.into_iter().map(|field| (field.path, lift_value(field.value))).collect();
    RawDocument { collection: document.collection, id: document.id, fields }
}

fn lift_value(value: types::ValueResult) -> Value {
    use types::ValueResult as Lifted;
    match value {
        Lifted::Null => Value::Null,
        Lifted::Boolean(value) => Value::Boolean(value),
        Lifted::Integer(value) => Value::Integer(value),
        Lifted::Double(value) => Value::Double(value),
        Lifted::Text(text) => Value::Text(Cow::Owned(text)),
        Lifted::Timestamp(time) => Value::Timestamp(time),
        Lifted::Bytes(bytes) => Value::Bytes(bytes),
        Lifted::Doubles(numbers) => Value::Doubles(numbers),
        Lifted::Texts(texts) => Value::Texts(texts),
    }
}

impl types::Host for GuestState {}

impl host::Host for GuestState {
    fn log(&mut self, level: types::Level, text: String) {
        let level = match level {
            types::Level::Debug => Level::Debug,
            types::Level::Info => Level::Info,
            types::Level::Warn => Level::Warn,
            types::Level::Error => Level::Error,
        };
        GuestState::log(self, level, &text);
    }

    fn count(&mut self, name: String, delta: u64) {
        GuestState::count(self, name, delta);
    }

    fn gauge(&mut self, name: String, value: f64) {
        GuestState::gauge(self, name, value);
    }
}

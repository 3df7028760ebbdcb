use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use quotegate_document::{Document, TenantId};
use quotegate_market::{Quote, QuoteColumns, Symbol};
use wasmtime::{Store, Trap, UpdateDeadline};

use crate::bindings::{FilterBatch, Guest, Manifest, MapQuote, RawDocument};
use crate::documents::{Collections, DocumentError, KnownPaths, check};
use crate::escape::escape;
use crate::failure::PluginFailure;
use crate::limits::PluginLimits;
use crate::prepare::PreparedPlugin;
use crate::state::{GuestState, Reported, is_plain_name};
use crate::ticker::RunningCall;

/// A tenant's instance of a plugin. It keeps its memory from call to call. After a failure it stays broken; start another
/// from the same [`PreparedPlugin`].
pub struct PluginInstance {
    store: Store<GuestState>,
    guest: Box<dyn Guest>,
    manifest: Manifest,
    limits: PluginLimits,
    /// How many of the tenant's symbols the guest has been given the names of.
    known_symbols: usize,
    known_paths: KnownPaths,
    calls: u64,
    broken: bool,
    prepared: PreparedPlugin,
}

/// A call of the guest.
struct Call {
    limit: Duration,
    _running: RunningCall,
}

/// More fuel than any call uses within its time limit.
const ALL_FUEL: u64 = u64::MAX;

impl PluginInstance {
    /// Instantiates and configures. `config` is a JSON object.
    pub fn start(
        prepared: &PreparedPlugin,
        tenant: &TenantId,
        config: &str,
        limits: &PluginLimits,
    ) -> Result<Self, PluginFailure> {
        Self::start_with(prepared, tenant, config, limits, &mut Reported::default())
    }

    /// Like [`Self::start`], but the guest's counters continue from `reported`, which gets them back if the start fails.
    pub(crate) fn start_with(
        prepared: &PreparedPlugin,
        tenant: &TenantId,
        config: &str,
        limits: &PluginLimits,
        reported: &mut Reported,
    ) -> Result<Self, PluginFailure> {
        let mut state = GuestState::new(tenant.as_str(), prepared.name(), limits);
        state.reported = std::mem::take(reported);
        let mut store = Store::new(&prepared.inner.engine.inner.engine, state);
        store.limiter(|state| state);
        store.set_hostcall_fuel(limits.host_bytes_per_call);
        let stops = prepared.inner.engine.inner.stops_calls.clone();
        store.epoch_deadline_callback(move |mut store| {
            let state = store.data_mut();
            state.stopped = stops.load(Relaxed);
            match state.clock.more().filter(|_| !state.stopped) {
                Some(ticks) => Ok(UpdateDeadline::Continue(ticks)),
                None => Err(Trap::Interrupt.into()),
            }
        });
        let _running = prepared.inner.engine.inner.ticker.call();
        let ticks = store.data_mut().clock.begin(limits.time_to_start);
        store.set_epoch_deadline(ticks);
        if prepared.inner.engine.inner.metering {
            store.set_fuel(ALL_FUEL).map_err(|error| PluginFailure::new(&error, store.data(), limits.time_to_start))?;
        }
        let started = instantiate(prepared, &mut store, tenant, config, limits.time_to_start);
        match started {
            Ok((guest, manifest)) => Ok(Self {
                store,
                guest,
                manifest,
                limits: limits.clone(),
                known_symbols: 0,
                known_paths: KnownPaths::default(),
                calls: 0,
                broken: false,
                prepared: prepared.clone(),
            }),
            Err(failure) => {
                *reported = std::mem::take(&mut store.data_mut().reported);
                Err(failure)
            }
        }
    }

    /// Filters a batch. Returns one verdict per quote: 0 keeps it, any other number is the reason for refusing it. The
    /// column `symbol` holds indexes into `names`, the tenant's symbols.
    pub fn filter(&mut self, quotes: &QuoteColumns, names: &[Symbol]) -> Result<Vec<u8>, PluginFailure> {
        let new: Vec<&str> = names.get(self.known_symbols..).unwrap_or(&[]).iter().map(Symbol::as_str).collect();
        let batch = FilterBatch { quotes, new_symbols: &new, wanted: self.manifest.columns };
        let call = self.begin()?;
        let result = self.guest.filter(&mut self.store, &batch);
        let verdicts = self.end(result, &call)?;
        self.known_symbols = self.known_symbols.max(names.len());
        self.check_length(quotes.len(), verdicts.len())?;
        Ok(verdicts)
    }

    /// Maps quotes. Returns one list per quote, in order, not checked yet.
    pub(crate) fn map(&mut self, quotes: &[MapQuote<'_>]) -> Result<Vec<Vec<RawDocument>>, PluginFailure> {
        let call = self.begin()?;
        let result = self.guest.map(&mut self.store, quotes);
        let lists = self.end(result, &call)?;
        self.check_length(quotes.len(), lists.len())?;
        Ok(lists)
    }

    /// Maps quotes and checks the documents, like a chain of only this plugin. Returns for each quote, in order, its
    /// documents or what is wrong with them.
    pub fn documents(
        &mut self,
        quotes: &[(Symbol, Quote)],
        collections: &Collections,
    ) -> Result<Vec<Result<Vec<Document>, DocumentError>>, PluginFailure> {
        let rows: Vec<_> = quotes.iter().map(|(symbol, quote)| MapQuote { symbol, quote, earlier: &[] }).collect();
        let lists = self.map(&rows)?.into_iter().zip(quotes);
        let check = |(list, (symbol, _)): (_, &(Symbol, _))| {
            check(list, symbol, collections, &self.limits, &mut self.known_paths)
        };
        Ok(lists.map(check).collect())
    }

    /// The reason's name in the guest's manifest.
    pub fn reason(&self, code: u8) -> Option<&str> {
        let index = usize::from(code).checked_sub(1)?;
        self.manifest.reasons.get(index).map(String::as_str)
    }

    /// The names of all reasons; the first one has number 1.
    pub fn reasons(&self) -> &[String] {
        &self.manifest.reasons
    }

    /// The WIT's names of the columns that its filter reads. It gets the others empty.
    pub fn columns(&self) -> Vec<&'static str> {
        self.manifest.columns.names()
    }

    /// The wasmtime fuel that it has used, including its start: about one per WebAssembly instruction, and none for the
    /// host's work. The same calls use the same fuel on every machine. `None` if the engine does not meter.
    pub fn fuel_used(&self) -> Option<u64> {
        self.store.get_fuel().ok().map(|left| ALL_FUEL - left)
    }

    /// The current size of all its memories.
    pub fn memory_bytes(&self) -> usize {
        self.store.data().memory_bytes()
    }

    /// Calls of filter and map so far.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// The largest value of [`Self::memory_bytes`] so far. WebAssembly memory never shrinks, so they differ only if growing
    /// failed.
    pub fn memory_peak(&self) -> usize {
        self.store.data().memory_peak
    }

    /// The processor time of the last call, which took `wall`.
    pub(crate) fn processor_time(&self, wall: Duration) -> Duration {
        self.store.data().clock.used(wall)
    }

    pub(crate) fn reported(&self) -> &Reported {
        &self.store.data().reported
    }

    pub(crate) fn into_reported(mut self) -> Reported {
        std::mem::take(&mut self.store.data_mut().reported)
    }

    fn begin(&mut self) -> Result<Call, PluginFailure> {
        if self.broken {
            return Err(PluginFailure::Call("the instance has failed before and cannot be used again".into()));
        }
        self.calls += 1;
        // Broken until the call succeeds, so that no one uses the instance after a call that panicked.
        self.broken = true;
        // What the guest handled does not explain a trap in a later call.
        self.store.data_mut().refused_growth = false;
        self.store.data_mut().last_error = None;
        let ticks = self.store.data_mut().clock.begin(self.limits.time_per_call);
        let running = self.prepared.inner.engine.inner.ticker.call();
        self.store.set_epoch_deadline(ticks);
        Ok(Call { limit: self.limits.time_per_call, _running: running })
    }

    fn end<T>(&mut self, result: wasmtime::Result<T>, call: &Call) -> Result<T, PluginFailure> {
        let value = result.map_err(|error| PluginFailure::new(&error, self.store.data(), call.limit))?;
        self.broken = false;
        Ok(value)
    }

    fn check_length(&mut self, expected: usize, found: usize) -> Result<(), PluginFailure> {
        self.broken = expected != found;
        if self.broken { Err(PluginFailure::Length { expected, found }) } else { Ok(()) }
    }
}

fn instantiate(
    prepared: &PreparedPlugin,
    store: &mut Store<GuestState>,
    tenant: &TenantId,
    config: &str,
    limit: Duration,
) -> Result<(Box<dyn Guest>, Manifest), PluginFailure> {
    let guest =
        prepared.inner.interface.instantiate(store).map_err(|error| PluginFailure::new(&error, store.data(), limit))?;
    let answer = guest
        .configure(store, tenant.as_str(), config)
        .map_err(|error| PluginFailure::new(&error, store.data(), limit))?;
    let manifest = answer.map_err(|message| PluginFailure::Configuration(escape(&message)))?;
    check_manifest(&manifest)?;
    Ok((guest, manifest))
}

fn check_manifest(manifest: &Manifest) -> Result<(), PluginFailure> {
    if manifest.reasons.len() > usize::from(u8::MAX) {
        return Err(PluginFailure::Manifest(format!(
            "it has {} reasons; at most 255 are allowed",
            manifest.reasons.len()
        )));
    }
    match manifest.reasons.iter().find(|name| !is_plain_name(name)) {
        Some(name) => Err(PluginFailure::Manifest(format!(
            "the reason {:?} is not a name; use at most 64 letters, digits, - and _",
            escape(name)
        ))),
        None => Ok(()),
    }
}

impl fmt::Debug for PluginInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginInstance").field("calls", &self.calls).field("broken", &self.broken).finish()
    }
}

//! A second version, for tests only: proves that a version with other types can coexist with the published one.

use wasmtime::component::{Component, HasSelf, InstancePre, Linker};
use wasmtime::{Engine, Store};

use super::{Columns, FilterBatch, Guest, Interface, Manifest, MapQuote, RawDocument};
use crate::state::{GuestState, Level};

mod wit {
    #![allow(missing_docs, clippy::all, unreachable_pub)]
    wasmtime::component::bindgen!({
        inline: r#"
            package quotegate:plugin@0.2.0-test;

            interface host { log: func(text: string); }
            interface lifecycle { configure: func() -> list<string>; }
            interface filter { keep: func(bid-price: list<f64>) -> list<bool>; }

            world plugin {
              import host;
              export lifecycle;
              export filter;
            }
        "#,
        world: "plugin",
        ownership: Borrowing { duplicate_if_necessary: true },
        include_component_type: true,
    });
}

pub(super) use wit::COMPONENT_TYPE;
use wit::exports::quotegate::plugin::{filter, lifecycle};
use wit::quotegate::plugin::host;

pub(super) const NUMBER: &str = "0.2.0-test";

pub(super) fn prepare(engine: &Engine, component: &Component) -> wasmtime::Result<Box<dyn Interface>> {
    let mut linker = Linker::new(engine);
    host::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut GuestState| state)?;
    let pre = linker.instantiate_pre(component)?;
    let (lifecycle, filter) = (lifecycle::GuestIndices::new(&pre)?, filter::GuestIndices::new(&pre)?);
    Ok(Box::new(Prepared { pre, lifecycle, filter }))
}

struct Prepared {
    pre: InstancePre<GuestState>,
    lifecycle: lifecycle::GuestIndices,
    filter: filter::GuestIndices,
}

impl Interface for Prepared {
    fn instantiate(&self, store: &mut Store<GuestState>) -> wasmtime::Result<Box<dyn Guest>> {
        let instance = self.pre.instantiate(&mut *store)?;
        let (lifecycle, filter) =
            (self.lifecycle.load(&mut *store, &instance)?, self.filter.load(&mut *store, &instance)?);
        Ok(Box::new(Live { lifecycle, filter }))
    }
}

struct Live {
    lifecycle: lifecycle::Guest,
    filter: filter::Guest,
}

impl Guest for Live {
    fn configure(&self, store: &mut Store<GuestState>, _: &str, _: &str) -> wasmtime::Result<Result<Manifest, String>> {
        let reasons = self.lifecycle.call_configure(store)?;
        Ok(Ok(Manifest { columns: Columns { bid_price: true, ..Columns::default() }, reasons }))
    }

    fn filter(&self, store: &mut Store<GuestState>, batch: &FilterBatch<'_>) -> wasmtime::Result<Vec<u8>> {
        let keep = self.filter.call_keep(store, &batch.quotes.bid_price)?;
        Ok(keep.into_iter().map(|keep| u8::from(!keep)).collect())
    }

    fn map(&self, _: &mut Store<GuestState>, _: &[MapQuote<'_>]) -> wasmtime::Result<Vec<Vec<RawDocument>>> {
        Err(wasmtime::Error::msg("the plugin has no map"))
    }
}

impl host::Host for GuestState {
    fn log(&mut self, text: String) {
        GuestState::log(self, Level::Info, &text);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use quotegate_document::TenantId;
    use quotegate_market::{Quote, QuoteColumns, Symbol};

    use crate::{
        Collections, EngineSettings, OnError, PluginChain, PluginEngine, PluginError, PluginLimits, PluginSpec,
        PreparedPlugin,
    };

    /// Keeps quotes with a bid of at most 50. Its verdicts are at 0 and their list at 64; its only reason is at 96 and the
    /// list of reasons at 72.
    const NEXT: &str = r#"(component
        (core module $m
          (memory (export "memory") 1)
          (data (i32.const 96) "dear")
          (global $top (mut i32) (i32.const 1024))
          (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $top (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
            (global.get $top)
            (global.set $top (i32.add (global.get $top) (local.get 3))))
          (func (export "configure") (result i32)
            (i32.store (i32.const 72) (i32.const 80)) (i32.store (i32.const 76) (i32.const 1))
            (i32.store (i32.const 80) (i32.const 96)) (i32.store (i32.const 84) (i32.const 4))
            (i32.const 72))
          (func (export "keep") (param $bid i32) (param $n i32) (result i32)
            (local $i i32)
            (block $done (loop $next
              (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
              (i32.store8 (local.get $i)
                (f64.le (f64.load (i32.add (local.get $bid) (i32.shl (local.get $i) (i32.const 3)))) (f64.const 50)))
              (local.set $i (i32.add (local.get $i) (i32.const 1)))
              (br $next)))
            (i32.store (i32.const 64) (i32.const 0)) (i32.store (i32.const 68) (local.get $n))
            (i32.const 64)))
        (core instance $i (instantiate $m))
        (func $configure (result (list string)) (canon lift (core func $i "configure") (memory (core memory $i "memory"))))
        (func $keep (param "bid-price" (list f64)) (result (list bool))
          (canon lift (core func $i "keep") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
        (instance $lifecycle (export "configure" (func $configure)))
        (instance $filter (export "keep" (func $keep)))
        (export "quotegate:plugin/lifecycle@0.2.0-test" (instance $lifecycle))
        (export "quotegate:plugin/filter@0.2.0-test" (instance $filter)))"#;

    fn spec(engine: &PluginEngine, name: &str, bytes: &[u8], config: &str) -> PluginSpec {
        PluginSpec {
            plugin: PreparedPlugin::new(engine, name, bytes, None).unwrap(),
            config: config.into(),
            limits: PluginLimits::default(),
            on_error: OnError::Drop,
            chain: false,
            collections: Collections::new("live_quotes", &[]).unwrap(),
        }
    }

    #[test]
    fn one_tenant_can_use_plugins_of_two_versions() {
        let engine = PluginEngine::new(&EngineSettings { instances: 4, ..EngineSettings::default() }).unwrap();
        let published = include_bytes!("../../../../plugins/components/quote-filter.wasm");
        let specs = vec![
            spec(&engine, "published", published, r#"{"min_price": 10}"#),
            spec(&engine, "next", &wat::parse_str(NEXT).unwrap(), "{}"),
        ];
        let mut chain = PluginChain::start(TenantId::new("acme").unwrap(), specs).unwrap();
        let mut quotes = QuoteColumns::default();
        for bid_price in [5.0, 20.0, 100.0, 30.0] {
            quotes.push(0, &Quote { bid_price, ask_price: bid_price, ..Quote::default() });
        }
        let outcome = chain.filter(Instant::now(), &mut quotes, &[Symbol::new("SPY").unwrap()]);
        assert_eq!((outcome.refused, outcome.dropped, quotes.bid_price), (2, 0, vec![20.0, 30.0]));
        let [published, next] = [0, 1].map(|at| chain.snapshot()[at].clone());
        assert_eq!((&*published.interface, published.quotes_refused["price"]), ("0.1.0", 1));
        assert_eq!((&*next.interface, next.quotes_refused["dear"]), ("0.2.0-test", 1));
    }

    #[test]
    fn the_error_for_an_unsupported_version_lists_the_supported_ones() {
        let engine = PluginEngine::new(&EngineSettings { instances: 4, ..EngineSettings::default() }).unwrap();
        let unknown = wat::parse_str(NEXT.replace("0.2.0-test", "0.3.0")).unwrap();
        let error = PreparedPlugin::new(&engine, "unknown", &unknown, None).unwrap_err();
        assert_eq!(error, PluginError::Version("0.3.0".into()));
        assert!(error.to_string().contains("this host supports 0.1.0, 0.2.0-test"), "{error}");
    }
}

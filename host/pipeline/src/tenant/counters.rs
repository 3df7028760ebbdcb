//! The numbers of a tenant. Status, heartbeat, metrics and `/api/state` are all generated from the table below.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use quotegate_document::FieldPath;
use serde::{Deserialize, Serialize};

/// Whether a number only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CounterKind {
    /// Counts from the start of the tenant.
    Counter,
    /// The value at this moment.
    Gauge,
}

/// The name of one number of [`TenantCounters`], and where it appears.
#[derive(Debug)]
pub struct CounterInfo {
    /// Whether it only grows.
    pub kind: CounterKind,
    /// The name of its metric.
    pub metric: &'static str,
    /// What it counts, in one sentence.
    pub help: &'static str,
    /// Its field in the heartbeat document, if it is there.
    pub heartbeat: Option<FieldPath>,
    /// Its value.
    pub read: fn(&TenantCounters) -> u64,
}

macro_rules! tenant_counters {
    ($(#[doc = $help:literal] $name:ident: $kind:ident $metric:literal $(in $heartbeat:ident)?;)*) => {
        /// A tenant's numbers. Every quote ends in exactly one of them: `quotes` = `filtered` + `conflated` + `older` + `lost` +
        /// `unmapped` + `settled` + the quotes that are dirty or in flight.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct TenantCounters {
            $(#[doc = $help] pub $name: u64,)*
        }

        /// The same numbers for many readers. Only the tenant's task writes them.
        #[derive(Debug, Default)]
        pub(super) struct AtomicCounters {
            $($name: AtomicU64,)*
        }

        static TABLE: [CounterInfo; [$($metric),*].len()] = [$(CounterInfo {
            kind: CounterKind::$kind,
            metric: $metric,
            help: $help.trim_ascii(),
            heartbeat: tenant_counters!(@field $name $($heartbeat)?),
            read: |counters| counters.$name,
        },)*];

        impl AtomicCounters {
            pub(super) fn store(&self, counters: &TenantCounters) {
                $(self.$name.store(counters.$name, Relaxed);)*
            }

            pub(super) fn load(&self) -> TenantCounters {
                TenantCounters { $($name: self.$name.load(Relaxed),)* }
            }
        }
    };
    (@field $name:ident) => { None };
    (@field $name:ident heartbeat) => { Some(FieldPath::literal(concat!("counters.", stringify!($name)))) };
}

tenant_counters! {
    /// Quotes that arrived for the tenant.
    quotes: Counter "quotegate_tenant_quotes_total" in heartbeat;
    /// Quotes that newer ones of their symbol replaced.
    conflated: Counter "quotegate_tenant_conflated_total" in heartbeat;
    /// Quotes older than the latest of their symbol.
    older: Counter "quotegate_tenant_older_total" in heartbeat;
    /// Quotes that a filter refused.
    filtered: Counter "quotegate_tenant_filtered_total" in heartbeat;
    /// Quotes lost because a plugin failed or stopped the tenant.
    lost: Counter "quotegate_tenant_lost_total" in heartbeat;
    /// Quotes for which maps made no document, and the host none in another collection.
    unmapped: Counter "quotegate_tenant_unmapped_total" in heartbeat;
    /// Quotes whose documents were written, refused, or superseded by newer ones.
    settled: Counter "quotegate_tenant_settled_total" in heartbeat;
    /// Documents passed to the sink, retries included.
    attempted: Counter "quotegate_tenant_writes_attempted_total" in heartbeat;
    /// Documents that the sink confirmed.
    written: Counter "quotegate_tenant_writes_total" in heartbeat;
    /// Documents that the sink asked to retry later.
    retried: Counter "quotegate_tenant_writes_retried_total" in heartbeat;
    /// Documents that the sink refused for good.
    refused: Counter "quotegate_tenant_writes_refused_total" in heartbeat;
    /// Documents not written because the stored ones are newer.
    writes_older: Counter "quotegate_tenant_writes_older_total" in heartbeat;
    /// Writes that found their document changed by someone else, or by a late request of this host.
    conflicts: Counter "quotegate_tenant_write_conflicts_total" in heartbeat;
    /// Conflicts with writers that left the document's order as it was.
    foreign_writes: Counter "quotegate_tenant_foreign_writes_total" in heartbeat;
    /// Symbols whose latest quote is not written.
    dirty: Gauge "quotegate_tenant_dirty" in heartbeat;
    /// Symbols that wait only for a write token.
    due: Gauge "quotegate_tenant_due";
    /// Symbols with a write in flight.
    in_flight: Gauge "quotegate_tenant_in_flight" in heartbeat;
}

impl TenantCounters {
    /// All numbers, in the order in which they appear everywhere.
    pub fn table() -> &'static [CounterInfo] {
        &TABLE
    }

    /// Documents in the sink without an outcome yet.
    pub(super) fn unanswered(&self) -> u64 {
        self.attempted - self.written - self.retried - self.refused - self.writes_older
    }
}

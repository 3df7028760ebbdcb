use std::fmt;
use std::num::NonZeroUsize;

use serde::Serialize;
use wasmtime::{Config, PoolingAllocationConfig};

use crate::component_limits::ComponentLimits;
use crate::limits::PluginLimits;

/// How linear memories get their address space. Chosen once, by what the operating system allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AllocatorChoice {
    /// All slots are reserved at the start, each so large (4 GiB) that no access needs a bounds check. The fastest to
    /// run and to instantiate.
    Pooling,
    /// Each memory reserves the largest size it may grow to. Bounds are checked; growing never copies.
    SmallReservations,
    /// Each memory reserves only what it uses, so growing copies. For machines that refuse everything else.
    OnDemand,
}

impl fmt::Display for AllocatorChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Address space of one memory that needs no bounds checks, and of its guard.
const FULL_SLOT: u64 = (4 << 30) + (32 << 20);
/// The guard after a small memory. Accesses with a small offset still need only one check.
const SMALL_GUARD: u64 = 64 << 10;
/// Core instances in the pool per plugin instance. Also the most that one instance may take, so that no tenant's component
/// can exhaust the pool; memories and tables have such limits, too ([`ComponentLimits`]). A component with a language
/// runtime has dozens of core instances, which cost the pool nothing, but they share one memory and one table.
const CORE_INSTANCES: u32 = 64;

/// The fastest choice that the operating system allows.
pub(crate) fn choose(instances: u32, memory_bytes: usize, limits: &ComponentLimits) -> AllocatorChoice {
    let count = u64::from(instances.max(1));
    let memories = count * u64::from(limits.memories);
    if is_available(memories.saturating_mul(FULL_SLOT)) {
        return AllocatorChoice::Pooling;
    }
    // Plus half for code, stacks and the host itself.
    let small = count.saturating_mul(memory_bytes as u64 + SMALL_GUARD);
    if is_available(small + small / 2) { AllocatorChoice::SmallReservations } else { AllocatorChoice::OnDemand }
}

/// Whether this much address space can be reserved. Releases it again.
fn is_available(bytes: u64) -> bool {
    // A temporary engine whose pool has a single slot of this size: wasmtime maps it the same way as the real pool, and
    // this crate needs no unsafe call of mmap.
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(1).total_core_instances(1).total_memories(1).total_tables(1).table_elements(1);
    pool.total_gc_heaps(1).max_memory_size(0);
    let mut config = Config::new();
    disable_gc(&mut config);
    config.memory_reservation(bytes).memory_guard_size(0).allocation_strategy(pool);
    wasmtime::Engine::new(&config).is_ok()
}

/// Garbage collection is compiled in only because of RUSTSEC-2026-0570.
pub(crate) fn disable_gc(config: &mut Config) {
    config.wasm_gc(false).wasm_function_references(false).wasm_exceptions(false).gc_support(false);
}

impl AllocatorChoice {
    /// Fastest first.
    pub(crate) const ALL: [Self; 3] = [Self::Pooling, Self::SmallReservations, Self::OnDemand];

    /// The name of portable code for this choice, because compiled code depends on how memory is reserved.
    pub(crate) fn portable_kind(self, memory_bytes: usize) -> String {
        match self {
            Self::Pooling | Self::OnDemand => format!("portable-{self}"),
            Self::SmallReservations => format!("portable-{self}-{memory_bytes}"),
        }
    }

    pub(crate) fn apply(self, config: &mut Config, instances: u32, memory_bytes: usize, limits: &ComponentLimits) {
        match self {
            Self::Pooling => {
                config.allocation_strategy(pool(instances, memory_bytes, limits));
            }
            Self::SmallReservations => {
                config.memory_reservation(memory_bytes as u64).memory_guard_size(SMALL_GUARD);
                config.memory_reservation_for_growth(0).memory_may_move(true).guard_before_linear_memory(false);
            }
            Self::OnDemand => {
                config.memory_reservation(0).memory_guard_size(SMALL_GUARD);
                config.memory_reservation_for_growth(1 << 20).memory_may_move(true).guard_before_linear_memory(false);
            }
        }
    }
}

fn pool(instances: u32, memory_bytes: usize, limits: &ComponentLimits) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
        .total_memories(instances.saturating_mul(limits.memories))
        .total_tables(instances.saturating_mul(limits.tables))
        .total_gc_heaps(1)
        .max_memories_per_module(limits.memories)
        .max_memories_per_component(limits.memories)
        .max_tables_per_module(limits.tables)
        .max_tables_per_component(limits.tables)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memory_size(memory_bytes)
        // What the default limits allow, which is five times wasmtime's default.
        .table_elements(PluginLimits::default().table_elements)
        // How much of a retired instance is zeroed and kept instead of released.
        .linear_memory_keep_resident(64 << 10)
        .table_keep_resident(8 << 10);
    pool
}

/// The largest stack of a guest, in bytes. Threads that run guests have room for it and for the host's frames.
pub(crate) const GUEST_STACK: NonZeroUsize = NonZeroUsize::new(512 << 10).unwrap();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_address_space_than_processors_have_is_never_available() {
        assert!(!is_available(1 << 50));
        assert_eq!(choose(u32::MAX, 64 << 20, &ComponentLimits::default()), AllocatorChoice::OnDemand);
    }
}

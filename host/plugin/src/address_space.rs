use std::fmt;
use std::num::NonZeroUsize;

use wasmtime::{Config, PoolingAllocationConfig};

use crate::limits::PluginLimits;

/// How linear memories get their address space. Chosen once, by what the operating system grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AllocatorChoice {
    /// All slots are reserved at the start, each so large (4 GiB) that no access needs a bounds check: fastest to
    /// run and to instantiate.
    Pooling,
    /// Each memory reserves the largest size it may grow to: bounds are checked, growth never copies.
    SmallReservations,
    /// Each memory reserves what it uses: growth copies. For hosts that refuse everything else.
    OnDemand,
}

impl fmt::Display for AllocatorChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pooling => "pooling",
            Self::SmallReservations => "small-reservations",
            Self::OnDemand => "on-demand",
        })
    }
}

/// Address space of one memory whose accesses need no bounds check, and the guard behind it.
const FULL_SLOT: u64 = (4 << 30) + (32 << 20);
/// Guard behind a small memory; accesses with a small offset still need one check only.
const SMALL_GUARD: u64 = 64 << 10;
/// Memories, tables and core instances in the pool for each plugin instance, and the most that one may take: otherwise
/// one tenant's component could use up the pool of all. A component made by a language runtime has dozens of core
/// instances, which cost the pool nothing, but they share one memory and one table.
const MEMORIES: u32 = 2;
const TABLES: u32 = 4;
const CORE_INSTANCES: u32 = 64;

/// Tries the choices from the fastest down and takes the first that the operating system grants.
pub(crate) fn choose(instances: u32, memory_bytes: usize) -> AllocatorChoice {
    let count = u64::from(instances.max(1));
    let memories = count * u64::from(MEMORIES);
    if grants(memories.saturating_mul(FULL_SLOT)) {
        return AllocatorChoice::Pooling;
    }
    // Half as much again for code, stacks and the host itself.
    let small = count.saturating_mul(memory_bytes as u64 + SMALL_GUARD);
    if grants(small + small / 2) { AllocatorChoice::SmallReservations } else { AllocatorChoice::OnDemand }
}

/// Whether so much address space can be had; it is given back at once.
fn grants(bytes: u64) -> bool {
    // A throw-away engine whose pool has a single slot of this size: wasmtime makes the mapping as it will later, so
    // the probe sees what the real thing would (and this crate needs no unsafe call of mmap).
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(1).total_core_instances(1).total_memories(1).total_tables(1).table_elements(1);
    pool.total_gc_heaps(1).max_memory_size(0);
    let mut config = Config::new();
    switch_off_gc(&mut config);
    config.memory_reservation(bytes).memory_guard_size(0).allocation_strategy(pool);
    wasmtime::Engine::new(&config).is_ok()
}

/// Compiled in because of RUSTSEC-2026-0570, never used.
pub(crate) fn switch_off_gc(config: &mut Config) {
    config.wasm_gc(false).wasm_function_references(false).wasm_exceptions(false).gc_support(false);
}

impl AllocatorChoice {
    /// From the fastest down.
    pub(crate) const ALL: [Self; 3] = [Self::Pooling, Self::SmallReservations, Self::OnDemand];

    /// What code is called that was compiled ahead of time: code knows how memory is reserved.
    pub(crate) fn portable_kind(self, memory_bytes: usize) -> String {
        match self {
            Self::Pooling | Self::OnDemand => format!("portable-{self}"),
            Self::SmallReservations => format!("portable-{self}-{memory_bytes}"),
        }
    }

    pub(crate) fn apply(self, config: &mut Config, instances: u32, memory_bytes: usize) {
        match self {
            Self::Pooling => {
                config.allocation_strategy(pool(instances, memory_bytes));
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

fn pool(instances: u32, memory_bytes: usize) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
        .total_memories(instances.saturating_mul(MEMORIES))
        .total_tables(instances.saturating_mul(TABLES))
        .total_gc_heaps(1)
        .max_memories_per_module(MEMORIES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_module(TABLES)
        .max_tables_per_component(TABLES)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memory_size(memory_bytes)
        // What the default limits promise; wasmtime's own default is a fifth of it.
        .table_elements(PluginLimits::default().table_elements)
        // Pages of a retired instance that are kept and zeroed instead of given back.
        .linear_memory_keep_resident(64 << 10)
        .table_keep_resident(8 << 10);
    pool
}

/// The deepest guest stack, in bytes; a thread that runs guests has room for it and for the host's own frames.
pub(crate) const GUEST_STACK: NonZeroUsize = NonZeroUsize::new(512 << 10).unwrap();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_any_processor_addresses_is_never_granted() {
        assert!(!grants(1 << 50));
        assert_eq!(choose(u32::MAX, 64 << 20), AllocatorChoice::OnDemand);
    }
}

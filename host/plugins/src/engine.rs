//! The engine: how guests are compiled, and where their instances live.
//!
//! Instances live in a pool. Its places for memories, tables and stacks are set aside at start, as
//! addresses only, and keep the mapping of the guest that they held last, so that a new instance
//! of that guest costs no system call but those that undo what the last one has written. Where the
//! machine gives no such room (an operator may limit the address space of the process), instances
//! are made on demand: slower, and nothing else.

use wasmtime::{Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::limits::{INSTANCES, MEMORIES, TABLE_ELEMENTS, TABLES};
use crate::{HostConfig, Limits};

/// What the host's own functions may take of a guest's stack, beyond the guest's share.
const HOST_STACK: usize = 1 << 20;

/// The most places that a pool can have; each takes a little more than 4 GiB of addresses.
const PLACES: usize = 4_096;

/// How much of the memory that an instance has written is undone by copying, and so stays with its
/// place for the next instance; what is beyond goes back to the system, and is mapped and copied
/// page by page when written again. Enough for what a small poll writes in Python or JavaScript.
/// Bounds, with [`IDLE_PLACES`], what the pool holds while nothing runs.
const KEPT_BYTES: usize = 4 << 20;

/// The same for tables.
const KEPT_TABLE_BYTES: usize = 256 << 10;

/// Places that keep what they held when other guests want places, if there are others.
const IDLE_PLACES: u32 = 64;

/// Makes the engine.
pub(crate) fn engine(config: &HostConfig) -> wasmtime::Result<Engine> {
    if config.simultaneous_calls > PLACES {
        return Engine::new(&options(&config.limits));
    }
    let mut pooled = options(&config.limits);
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(config)));
    Engine::new(&pooled).or_else(|error| {
        tracing::warn!(
            error = %format_args!("{error:#}"),
            "there is no room for the pool of guests' instances, most likely because the address \
             space of this process is limited (`ulimit -v`); they are made on demand, which takes \
             several times as long"
        );
        Engine::new(&options(&config.limits))
    })
}

/// What decides about the code that is made: the same for whoever compiles.
pub(crate) fn options(limits: &Limits) -> wasmtime::Config {
    let stack = limits.stack_bytes;
    let mut options = wasmtime::Config::new();
    options
        .wasm_component_model(true)
        .epoch_interruption(true)
        .max_wasm_stack(stack)
        .async_stack_size(stack + HOST_STACK)
        // The contract has no asynchronous functions; without them calls are cheaper.
        .concurrency_support(false);
    options
}

/// A pool with a memory for each call that may be under way: see `places` of a component.
fn pool(config: &HostConfig) -> PoolingAllocationConfig {
    let places = config.simultaneous_calls.max(1);
    let count = |each: usize| u32::try_from(places.saturating_mul(each)).unwrap_or(u32::MAX);
    let each = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(count(1))
        .total_core_instances(count(INSTANCES))
        .total_memories(count(1))
        .total_tables(count(TABLES))
        .total_stacks(count(1))
        .max_memories_per_component(each(MEMORIES))
        .max_memories_per_module(each(MEMORIES))
        .max_tables_per_component(each(TABLES))
        .max_tables_per_module(each(TABLES))
        .max_core_instances_per_component(each(INSTANCES))
        .table_elements(TABLE_ELEMENTS)
        // What an instance takes of the host besides its memory.
        .max_core_instance_size(4 << 20)
        .max_component_instance_size(4 << 20)
        .max_memory_size(config.limits.memory_bytes)
        .linear_memory_keep_resident(KEPT_BYTES)
        .table_keep_resident(KEPT_TABLE_BYTES)
        .max_unused_warm_slots(IDLE_PLACES)
        // Finds the pages that were written, instead of copying all from the first on (Linux 6.7).
        .pagemap_scan(Enabled::Auto);
    pool
}

//! What an instance may hold.

use wasmtime::ResourceLimiter;

use crate::Limits;

/// Counts the memory of all of an instance's linear memories and tables together.
pub(crate) struct Limiter {
    memory_limit: usize,
    memory: usize,
    table_elements: usize,
    /// Whether the guest was refused memory.
    pub(crate) refused: bool,
}

/// Elements of all tables (of functions, mostly) together; Python components have some thousands.
pub(crate) const TABLE_ELEMENTS: usize = 200_000;

/// Modules that one component may be made of; Python components have some twenty.
pub(crate) const INSTANCES: usize = 200;

/// Tables of one component.
pub(crate) const TABLES: usize = 50;

/// Memories of one component: one, unless it is composed of several.
pub(crate) const MEMORIES: usize = 16;

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { memory_limit: limits.memory_bytes, memory: 0, table_elements: 0, refused: false }
    }

    fn refuse(&mut self) -> wasmtime::Error {
        self.refused = true;
        wasmtime::Error::msg("memory limit")
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let memory = self.memory.saturating_add(desired.saturating_sub(current));
        if memory > self.memory_limit {
            // A trap, not a refusal: few guests handle one, and the others' own words for it
            // ("unreachable") would hide the cause.
            return Err(self.refuse());
        }
        self.memory = memory;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        Err(self.refuse())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let elements = self.table_elements.saturating_add(desired.saturating_sub(current));
        if elements > TABLE_ELEMENTS {
            return Err(self.refuse());
        }
        self.table_elements = elements;
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}

//! Counts what a component contains, section by section, without looking at its instructions.

use wasmparser::{FunctionBody, Payload};

use super::PluginError;
use crate::component_limits::ComponentLimits;

/// What was counted so far, in all modules and components inside one another.
pub(super) struct Contents<'a> {
    limits: &'a ComponentLimits,
    functions: usize,
    code_bytes: usize,
    types: usize,
    declaration_bytes: usize,
    tables: usize,
    memories: usize,
}

impl<'a> Contents<'a> {
    pub(super) fn new(limits: &'a ComponentLimits) -> Self {
        Self { limits, functions: 0, code_bytes: 0, types: 0, declaration_bytes: 0, tables: 0, memories: 0 }
    }

    /// Adds one section, by what its header claims: nothing is read that is over a limit.
    pub(super) fn add(&mut self, payload: &Payload<'_>) -> Result<(), PluginError> {
        if let Payload::CodeSectionEntry(body) = payload {
            return self.function(body);
        }
        let (functions, types, tables, memories) = match payload {
            Payload::CodeSectionStart { count, .. } => (*count, 0, 0, 0),
            Payload::ComponentCanonicalSection(section) => (section.count(), 0, 0, 0),
            Payload::TypeSection(section) => (0, section.count(), 0, 0),
            Payload::CoreTypeSection(section) => (0, section.count(), 0, 0),
            Payload::ComponentTypeSection(section) => (0, section.count(), 0, 0),
            Payload::TableSection(section) => (0, 0, section.count(), 0),
            Payload::MemorySection(section) => (0, 0, 0, section.count()),
            _ => (0, 0, 0, 0),
        };
        let limits = self.limits;
        grow(&mut self.functions, functions as usize, limits.functions, &FUNCTIONS)?;
        grow(&mut self.types, types as usize, limits.types, &TYPES)?;
        grow(&mut self.tables, tables as usize, limits.tables as usize, &TABLES)?;
        grow(&mut self.memories, memories as usize, limits.memories as usize, &MEMORIES)?;
        grow(&mut self.declaration_bytes, declaration_bytes(payload), limits.declaration_bytes, &DECLARATIONS)
    }

    fn function(&mut self, body: &FunctionBody<'_>) -> Result<(), PluginError> {
        let bytes = body.range().len().saturating_add(locals(body));
        grow(&mut 0, bytes, self.limits.function_bytes, &FUNCTION)?;
        grow(&mut self.code_bytes, bytes, self.limits.code_bytes, &CODE)
    }
}

/// A few bytes can declare many local variables, and each costs the compiler about as much as an instruction.
fn locals(body: &FunctionBody<'_>) -> usize {
    // A broken declaration is an error for the compiler, in better words.
    let declared = body.get_locals_reader().into_iter().flatten().flatten();
    declared.fold(0_usize, |sum, (count, _)| sum.saturating_add(count as usize))
}

/// What the host keeps of a module or component, and of a data segment, however small it is.
const MODULE_BYTES: usize = 1024;
const SEGMENT_BYTES: usize = 16;

/// The size of what is neither code nor data.
fn declaration_bytes(payload: &Payload<'_>) -> usize {
    match payload {
        Payload::Version { .. } => MODULE_BYTES,
        Payload::DataSection(section) => (section.count() as usize).saturating_mul(SEGMENT_BYTES),
        // Their contents come as payloads of their own. The compiler reads no custom section but the names of functions.
        Payload::CodeSectionStart { .. }
        | Payload::ModuleSection { .. }
        | Payload::ComponentSection { .. }
        | Payload::CustomSection(_) => 0,
        other => other.as_section().map_or(0, |(_, range)| range.len()),
    }
}

/// How a limit is called in the error and in the settings.
struct Limit {
    what: &'static str,
    key: &'static str,
}

const FUNCTIONS: Limit = Limit { what: "functions", key: "functions" };
const CODE: Limit = Limit { what: "bytes of code", key: "code_kib" };
const FUNCTION: Limit = Limit { what: "bytes of code in one function", key: "function_kib" };
const TYPES: Limit = Limit { what: "types", key: "types" };
const DECLARATIONS: Limit = Limit { what: "bytes of declarations", key: "declarations_kib" };
const TABLES: Limit = Limit { what: "tables", key: "tables" };
const MEMORIES: Limit = Limit { what: "memories", key: "memories" };

fn grow(sum: &mut usize, more: usize, limit: usize, name: &Limit) -> Result<(), PluginError> {
    *sum = sum.saturating_add(more);
    if *sum > limit {
        let (found, limit) = (*sum as u64, limit as u64);
        return Err(PluginError::TooMuch { what: name.what, found, limit, key: name.key });
    }
    Ok(())
}

//! What is checked before a component is compiled: compiling takes far longer, and needs memory.

mod contents;
mod interfaces;

use wasmparser::{Parser, Payload, ValidPayload, Validator, WasmFeatures};

use self::contents::Contents;
pub(crate) use self::interfaces::Exports;
use self::interfaces::{Names, check_types};
use crate::bindings::VERSIONS;
use crate::component_limits::ComponentLimits;
use crate::hash::Sha256Hash;

/// Why a component is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PluginError {
    /// The file is not the pinned one.
    #[error(
        "Its SHA-256 is {found}, but the settings pin {pinned}. Restore the pinned file, or review the new one and pin its hash."
    )]
    Pin {
        /// From the settings.
        pinned: Sha256Hash,
        /// Of the actual bytes.
        found: Sha256Hash,
    },
    /// Over one of the [`ComponentLimits`].
    #[error(
        "It has {found} {what}, but at most {limit} are allowed. Optimize it for size, or raise `plugins.component_limits.{key}`."
    )]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much it has, at least: counting stops beyond the limit.
        found: u64,
        /// How much it may have.
        limit: u64,
        /// The setting.
        key: &'static str,
    },
    /// No magic number.
    #[error(
        "It is not WebAssembly: it does not start with the bytes \\0asm. Give the .wasm file that the build created."
    )]
    NotWasm,
    /// A module instead of a component.
    #[error(
        "It is a core WebAssembly module, not a component. Convert it with `wasm-tools component new`, or build it as the plugin SDK describes."
    )]
    CoreModule,
    /// Neither the module's nor the component's version number.
    #[error(
        "Its WebAssembly version is not supported. Build it with tools for the component model (binary version 0d 00 01 00)."
    )]
    UnknownBinary,
    /// Truncated, damaged, or uses proposals that are off.
    #[error(
        "It is damaged or uses WebAssembly features that are disabled here: {0}. Rebuild it without threads, garbage collection, exceptions, 64-bit memories and async."
    )]
    Invalid(String),
    /// Imports that the host does not provide, and how to build it without them.
    #[error("It imports {imports}, which quotegate does not provide; {1}.", imports = .0.join(", "))]
    Imports(Vec<String>, &'static str),
    /// Built for an unsupported version, or for several.
    #[error(
        "It is built for quotegate:plugin@{0}, but this host supports {supported}. Rebuild it with a matching SDK.",
        supported = supported()
    )]
    Version(String),
    /// No `configure`.
    #[error(
        "It does not export quotegate:plugin/lifecycle. Build it for the world filter-plugin, map-plugin or plugin."
    )]
    NoLifecycle,
    /// Neither a filter nor a map.
    #[error(
        "It exports neither quotegate:plugin/filter nor quotegate:plugin/mapping, so it would never be called. Build it for the world filter-plugin, map-plugin or plugin."
    )]
    NothingToDo,
    /// The interfaces' names match, their functions do not.
    #[error("Its functions do not match the interface: {0}. Build it against the published WIT.")]
    Shape(String),
}

fn supported() -> String {
    VERSIONS.iter().map(|version| version.number).collect::<Vec<_>>().join(", ")
}

/// Checks everything but the code: the size of what is to be compiled, and imports and exports with their types.
pub(crate) fn validate(bytes: &[u8], limits: &ComponentLimits, features: WasmFeatures) -> Result<Exports, PluginError> {
    check_size(bytes.len() as u64, limits)?;
    check_header(bytes)?;
    let invalid = |error: wasmparser::Error| PluginError::Invalid(error.to_string());
    let (mut contents, mut names) = (Contents::new(limits), Names::default());
    let mut validator = Validator::new_with_features(features);
    let mut parser = Parser::new(0);
    parser.set_features(features);
    let (mut depth, mut types) = (0_usize, None);
    for payload in parser.parse_all(bytes) {
        let payload = payload.map_err(invalid)?;
        contents.add(&payload)?;
        match &payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section.clone() {
                    names.imports.push(import.map_err(invalid)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section.clone() {
                    names.exports.push(export.map_err(invalid)?.name.name.to_owned());
                }
            }
            _ => {}
        }
        // The code of functions is checked while it is compiled.
        if let ValidPayload::End(found) = validator.payload(&payload).map_err(invalid)? {
            types = Some(found);
        }
    }
    let exports = names.check()?;
    let types = types.ok_or_else(|| PluginError::Invalid("it has no end".into()))?;
    check_types(&mut validator, &types, &names, exports.version)?;
    Ok(exports)
}

/// The check that needs no bytes.
pub(crate) fn check_size(bytes: u64, limits: &ComponentLimits) -> Result<(), PluginError> {
    let limit = limits.bytes as u64;
    if bytes > limit {
        return Err(PluginError::TooMuch { what: "bytes", found: bytes, limit, key: "size_mib" });
    }
    Ok(())
}

fn check_header(bytes: &[u8]) -> Result<(), PluginError> {
    match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(PluginError::CoreModule),
        [0, b'a', b's', b'm', ..] => Err(PluginError::UnknownBinary),
        _ => Err(PluginError::NotWasm),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_a_component_are_rejected() {
        assert_eq!(check_header(b""), Err(PluginError::NotWasm));
        assert_eq!(check_header(b"(component)"), Err(PluginError::NotWasm));
        assert_eq!(check_header(b"\0asm\x01\0\0\0"), Err(PluginError::CoreModule));
        assert_eq!(check_header(b"\0asm\x63\0\0\0"), Err(PluginError::UnknownBinary));
        assert_eq!(check_header(b"\0asm\x0d\0\x01\0"), Ok(()));
    }
}

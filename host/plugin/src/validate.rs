use wasmtime::Engine;
use wasmtime::component::Component;

use crate::bindings::{FILTER, HOST, LIFECYCLE, MAPPING, TYPES, VERSIONS, Version};
use crate::prepare::{PreparedPlugin, Sha256Hash};

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
    /// Over [`PreparedPlugin::MAX_BYTES`].
    #[error(
        "It has {bytes} bytes, but at most {} are allowed. Optimize it for size and strip it.",
        PreparedPlugin::MAX_BYTES
    )]
    TooLarge {
        /// Size of the component.
        bytes: usize,
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
        "It is damaged or uses WebAssembly features that are disabled here: {reason}. Rebuild it without threads, garbage collection, exceptions, 64-bit memories and async."
    )]
    Invalid {
        /// From wasmtime.
        reason: String,
    },
    /// Imports that the host does not provide.
    #[error("It imports {}, which quotegate does not provide; {remedy}.", imports.join(", "))]
    Imports {
        /// All of them, as named in the component.
        imports: Vec<String>,
        /// How to build it without them.
        remedy: &'static str,
    },
    /// Built for an unsupported version.
    #[error(
        "It is built for quotegate:plugin@{found}, but this host supports {}. Rebuild it with a matching SDK.",
        supported()
    )]
    Version {
        /// From its imports and exports; more than one if they disagree.
        found: String,
    },
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
    #[error("Its functions do not match the interface: {reason}. Build it against the published WIT.")]
    Shape {
        /// From wasmtime.
        reason: String,
    },
}

fn supported() -> String {
    VERSIONS.iter().map(|version| version.number).collect::<Vec<_>>().join(", ")
}

/// What a component exports.
pub(crate) struct Exports {
    pub(crate) version: &'static Version,
    pub(crate) filters: bool,
    pub(crate) maps: bool,
}

/// The checks that need no compiling.
pub(crate) fn check_bytes(bytes: &[u8]) -> Result<(), PluginError> {
    if bytes.len() > PreparedPlugin::MAX_BYTES {
        return Err(PluginError::TooLarge { bytes: bytes.len() });
    }
    match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(PluginError::CoreModule),
        [0, b'a', b's', b'm', ..] => Err(PluginError::UnknownBinary),
        _ => Err(PluginError::NotWasm),
    }
}

/// Checks the names of imports and exports.
pub(crate) fn check_interfaces(engine: &Engine, component: &Component) -> Result<Exports, PluginError> {
    let kind = component.component_type();
    let imports: Vec<&str> = kind.imports(engine).map(|(name, _)| name).collect();
    let exports: Vec<&str> = kind.exports(engine).map(|(name, _)| name).collect();

    let foreign: Vec<String> =
        imports.iter().filter(|name| !matches!(base(name), HOST | TYPES)).map(|&name| name.to_owned()).collect();
    if !foreign.is_empty() {
        let remedy = remedy(&foreign);
        return Err(PluginError::Imports { imports: foreign, remedy });
    }
    let version = version(imports.iter().chain(&exports))?;
    let exported = |interface: &str| exports.iter().any(|name| base(name) == interface);
    let (filters, maps) = (exported(FILTER), exported(MAPPING));
    if !filters && !maps {
        return Err(PluginError::NothingToDo);
    }
    if !exported(LIFECYCLE) {
        return Err(PluginError::NoLifecycle);
    }
    Ok(Exports { version, filters, maps })
}

fn base(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

/// The version in the names, which must all have the same one.
fn version<'a>(names: impl Iterator<Item = &'a &'a str>) -> Result<&'static Version, PluginError> {
    let mut found: Vec<&str> =
        names.filter(|name| name.starts_with("quotegate:plugin/")).filter_map(|name| name.split('@').nth(1)).collect();
    found.sort_unstable();
    found.dedup();
    let known = |number: &&str| VERSIONS.iter().find(|version| version.number == *number);
    match found.as_slice() {
        [] => Err(PluginError::NothingToDo),
        [one] => known(one).ok_or_else(|| PluginError::Version { found: (*one).to_owned() }),
        several => Err(PluginError::Version { found: several.join(" and ") }),
    }
}

fn remedy(imports: &[String]) -> &'static str {
    if imports.iter().any(|name| name.starts_with("wasi:")) {
        "build it without WASI: Rust for wasm32-unknown-unknown, JavaScript with all features disabled, Python with --stub-wasi"
    } else {
        "a plugin may import only quotegate:plugin/host, so build it for the world filter-plugin, map-plugin or plugin"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_a_component_are_rejected_before_compiling() {
        assert_eq!(check_bytes(b""), Err(PluginError::NotWasm));
        assert_eq!(check_bytes(b"(component)"), Err(PluginError::NotWasm));
        assert_eq!(check_bytes(b"\0asm\x01\0\0\0"), Err(PluginError::CoreModule));
        assert_eq!(check_bytes(b"\0asm\x63\0\0\0"), Err(PluginError::UnknownBinary));
        assert_eq!(check_bytes(b"\0asm\x0d\0\x01\0"), Ok(()));
    }

    #[test]
    fn a_component_that_mixes_versions_is_rejected() {
        let names = ["quotegate:plugin/host@0.1.0", "quotegate:plugin/filter@9.0.0"];
        let Err(error) = version(names.iter()) else { panic!("accepted") };
        assert_eq!(error, PluginError::Version { found: "0.1.0 and 9.0.0".into() });
        assert!(version(["quotegate:plugin/host@0.1.0"].iter()).is_ok());
    }
}

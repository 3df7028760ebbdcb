use wasmtime::Engine;
use wasmtime::component::Component;

use crate::bindings::{FILTER, HOST, LIFECYCLE, MAPPING, TYPES, VERSIONS, Version};
use crate::prepare::{PreparedPlugin, Sha256Hash};

/// Why a component is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PluginError {
    /// Another file than the one pinned.
    #[error(
        "Its SHA-256 is {found}, but the settings pin {pinned}. Put the right file in place, or pin the new hash after a review."
    )]
    Pin {
        /// As the settings say.
        pinned: Sha256Hash,
        /// Of the bytes given.
        found: Sha256Hash,
    },
    /// Over [`PreparedPlugin::MAX_BYTES`].
    #[error(
        "It has {bytes} bytes; at most {} are accepted. Build it for size and strip it.",
        PreparedPlugin::MAX_BYTES
    )]
    TooLarge {
        /// Of the component.
        bytes: usize,
    },
    /// No magic number.
    #[error(
        "It is not WebAssembly at all: it does not start with the bytes \\0asm. Name the .wasm file that the build made."
    )]
    NotWasm,
    /// A module where a component is due.
    #[error(
        "It is a core WebAssembly module, not a component. Turn it into one with `wasm-tools component new`, or build it with the plugin SDK's instructions."
    )]
    CoreModule,
    /// Neither the module's nor the component's version number.
    #[error(
        "Its WebAssembly version is unknown here. Build it with tools for the component model (binary version 0d 00 01 00)."
    )]
    UnknownBinary,
    /// Truncated, damaged, or uses proposals that are off.
    #[error(
        "It is damaged, or uses WebAssembly features that are switched off here: {reason}. Build it again without threads, garbage collection, exceptions, 64-bit memories and async."
    )]
    Invalid {
        /// wasmtime's words.
        reason: String,
    },
    /// Imports that the host does not have.
    #[error("It needs {}, which quotegate does not offer; {remedy}.", imports.join(", "))]
    Imports {
        /// All of them, as the component names them.
        imports: Vec<String>,
        /// How to build it without.
        remedy: &'static str,
    },
    /// Built for a version that is not served.
    #[error(
        "It is built for quotegate:plugin@{found}; this host serves {}. Build it with an SDK of such a version.",
        served()
    )]
    Version {
        /// As its imports and exports say; several, if they disagree.
        found: String,
    },
    /// Nothing to configure it by.
    #[error(
        "It does not export quotegate:plugin/lifecycle. Build it for one of the worlds filter-plugin, map-plugin and plugin."
    )]
    NoLifecycle,
    /// Nothing to call.
    #[error(
        "It exports neither quotegate:plugin/filter nor quotegate:plugin/mapping, so there is nothing it could do. Build it for one of the worlds filter-plugin, map-plugin and plugin."
    )]
    NothingToDo,
    /// Right names, wrong functions.
    #[error("Its functions differ from those of the interface: {reason}. Build it against the published WIT.")]
    Shape {
        /// wasmtime's words.
        reason: String,
    },
}

fn served() -> String {
    VERSIONS.iter().map(|version| version.number).collect::<Vec<_>>().join(", ")
}

/// What a component has to offer.
pub(crate) struct Offer {
    pub(crate) version: &'static Version,
    pub(crate) filters: bool,
    pub(crate) maps: bool,
}

/// What can be said before compiling.
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

/// Compares imports and exports with what the host offers, by name.
pub(crate) fn check_interfaces(engine: &Engine, component: &Component) -> Result<Offer, PluginError> {
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
    Ok(Offer { version, filters, maps })
}

fn base(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

/// The one version that all names of the package carry.
fn version<'a>(names: impl Iterator<Item = &'a &'a str>) -> Result<&'static Version, PluginError> {
    let mut found: Vec<&str> =
        names.filter(|name| name.starts_with("quotegate:plugin/")).filter_map(|name| name.split('@').nth(1)).collect();
    found.sort_unstable();
    found.dedup();
    let served = |number: &&str| VERSIONS.iter().find(|version| version.number == *number);
    match found.as_slice() {
        [] => Err(PluginError::NothingToDo),
        [one] => served(one).ok_or_else(|| PluginError::Version { found: (*one).to_owned() }),
        several => Err(PluginError::Version { found: several.join(" and ") }),
    }
}

fn remedy(imports: &[String]) -> &'static str {
    if imports.iter().any(|name| name.starts_with("wasi:")) {
        "build it without WASI: Rust for wasm32-unknown-unknown, JavaScript with all features disabled, Python with --stub-wasi"
    } else {
        "a plugin may import only quotegate:plugin/host, so build it for one of the worlds filter-plugin, map-plugin and plugin"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_component_is_named_before_it_is_compiled() {
        assert_eq!(check_bytes(b""), Err(PluginError::NotWasm));
        assert_eq!(check_bytes(b"(component)"), Err(PluginError::NotWasm));
        assert_eq!(check_bytes(b"\0asm\x01\0\0\0"), Err(PluginError::CoreModule));
        assert_eq!(check_bytes(b"\0asm\x63\0\0\0"), Err(PluginError::UnknownBinary));
        assert_eq!(check_bytes(b"\0asm\x0d\0\x01\0"), Ok(()));
    }

    #[test]
    fn names_that_disagree_about_the_version_are_refused() {
        let names = ["quotegate:plugin/host@0.1.0", "quotegate:plugin/filter@9.0.0"];
        let Err(problem) = version(names.iter()) else { panic!("accepted") };
        assert_eq!(problem, PluginError::Version { found: "0.1.0 and 9.0.0".into() });
        assert!(version(["quotegate:plugin/host@0.1.0"].iter()).is_ok());
    }
}

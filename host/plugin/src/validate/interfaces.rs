//! Compares a component's imports and exports with an interface, by name and by type.

use wasmparser::Validator;
use wasmparser::collections::IndexMap;
use wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType, ComponentItem, ComponentType, SubtypeCx};
use wasmparser::types::{Types, TypesRef};

use super::PluginError;
use crate::bindings::{FILTER, HOST, LIFECYCLE, MAPPING, TYPES, VERSIONS, Version};

/// What a component exports.
pub(crate) struct Exports {
    pub(crate) version: &'static Version,
    pub(crate) filters: bool,
    pub(crate) maps: bool,
}

/// The names of a component's imports and exports.
#[derive(Default)]
pub(super) struct Names {
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
}

impl Names {
    pub(super) fn check(&self) -> Result<Exports, PluginError> {
        let foreign: Vec<String> =
            self.imports.iter().filter(|name| !matches!(base(name), HOST | TYPES)).cloned().collect();
        if !foreign.is_empty() {
            let remedy = remedy(&foreign);
            return Err(PluginError::Imports(foreign, remedy));
        }
        let version = version(self.imports.iter().chain(&self.exports))?;
        let exported = |interface: &str| self.exports.iter().any(|name| base(name) == interface);
        let (filters, maps) = (exported(FILTER), exported(MAPPING));
        if !filters && !maps {
            return Err(PluginError::NothingToDo);
        }
        if !exported(LIFECYCLE) {
            return Err(PluginError::NoLifecycle);
        }
        Ok(Exports { version, filters, maps })
    }
}

fn base(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

/// The version in the names, which must all have the same one.
fn version<'a>(names: impl Iterator<Item = &'a String>) -> Result<&'static Version, PluginError> {
    let mut found: Vec<&str> =
        names.filter(|name| name.starts_with("quotegate:plugin/")).filter_map(|name| name.split('@').nth(1)).collect();
    found.sort_unstable();
    found.dedup();
    let known = |number: &&str| VERSIONS.iter().find(|version| version.number == *number);
    match found.as_slice() {
        [] => Err(PluginError::NothingToDo),
        [one] => known(one).ok_or_else(|| PluginError::Version((*one).to_owned())),
        several => Err(PluginError::Version(several.join(" and "))),
    }
}

fn remedy(imports: &[String]) -> &'static str {
    if imports.iter().any(|name| name.starts_with("wasi:")) {
        "build it without WASI: Rust for wasm32-unknown-unknown, JavaScript with all features disabled, Python with --stub-wasi"
    } else {
        "a plugin may import only quotegate:plugin/host, so build it for the world filter-plugin, map-plugin or plugin"
    }
}

/// Checks the types of all functions that the host and the component call of one another. Types that no function uses do
/// not matter.
pub(super) fn check_types(
    validator: &mut Validator,
    component: &Types,
    names: &Names,
    version: &Version,
) -> Result<(), PluginError> {
    validator.reset();
    let reference =
        validator.validate_all(version.component_type).map_err(|error| PluginError::Shape(error.to_string()))?;
    let (found, reference) = (component.as_ref(), reference.as_ref());
    let world = world(reference)
        .ok_or_else(|| PluginError::Shape("this host's own description of it cannot be read".into()))?;
    // The component calls what it imports, and the host what the component exports.
    for name in &names.imports {
        let component = interface(found, found.component_item_for_import(name));
        let host = interface(reference, world.imports.get(name));
        check_functions(name, component, host, |component, _| component).map_err(PluginError::Shape)?;
    }
    for (name, item) in world.exports.iter().filter(|(name, _)| names.exports.contains(name)) {
        let component = interface(found, found.component_item_for_export(name));
        check_functions(name, component, interface(reference, Some(item)), |_, host| host)
            .map_err(PluginError::Shape)?;
    }
    Ok(())
}

/// The world in the description that `bindgen!` makes: its package is a type, and the world a type inside it.
fn world(types: TypesRef<'_>) -> Option<&ComponentType> {
    let ComponentEntityType::Type { referenced: ComponentAnyTypeId::Component(package), .. } =
        types.component_item_for_export("plugin")?.ty
    else {
        return None;
    };
    let (_, world) = types.get(package)?.exports.iter().next()?;
    match world.ty {
        ComponentEntityType::Component(world) => types.get(world),
        _ => None,
    }
}

/// An interface as one side knows it.
#[derive(Clone, Copy)]
struct Interface<'a> {
    types: TypesRef<'a>,
    exports: &'a IndexMap<String, ComponentItem>,
}

fn interface<'a>(types: TypesRef<'a>, item: Option<&ComponentItem>) -> Option<Interface<'a>> {
    match item?.ty {
        ComponentEntityType::Instance(id) => Some(Interface { types, exports: &types.get(id)?.exports }),
        _ => None,
    }
}

/// Whether both sides have every function of the one that `caller` chooses, with the same type.
fn check_functions<'a>(
    name: &str,
    component: Option<Interface<'a>>,
    host: Option<Interface<'a>>,
    caller: impl Fn(Interface<'a>, Interface<'a>) -> Interface<'a>,
) -> Result<(), String> {
    let (Some(component), Some(host)) = (component, host) else { return Err(format!("{name} is not an interface")) };
    for (function, item) in caller(component, host).exports {
        // A type is only a name: what counts is how functions use it. The interfaces have no resources.
        if let ComponentEntityType::Type { referenced: ComponentAnyTypeId::Defined(_), .. } = item.ty {
            continue;
        }
        let (Some(found), Some(expected)) = (component.exports.get(function), host.exports.get(function)) else {
            return Err(format!("{name} has no function {function}"));
        };
        SubtypeCx::new_with_refs(component.types, host.types)
            .component_entity_type(&found.ty, &expected.ty, 0)
            .map_err(|error| format!("{name}, {function}: {}", error.message().replace('\n', ": ")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use wasmparser::WasmFeatures;

    use super::*;

    #[test]
    fn a_component_that_mixes_versions_is_rejected() {
        let names = ["quotegate:plugin/host@0.1.0", "quotegate:plugin/filter@9.0.0"].map(String::from);
        let Err(error) = version(names.iter()) else { panic!("accepted") };
        assert_eq!(error, PluginError::Version("0.1.0 and 9.0.0".into()));
        assert!(version(names[..1].iter()).is_ok());
    }

    #[test]
    fn every_version_describes_its_world() {
        for version in VERSIONS {
            let types = Validator::new_with_features(WasmFeatures::default()).validate_all(version.component_type);
            let types = types.unwrap();
            let world = world(types.as_ref()).unwrap();
            let names: Vec<&str> = world.imports.keys().chain(world.exports.keys()).map(|name| base(name)).collect();
            assert!(names.contains(&HOST) && names.contains(&LIFECYCLE) && names.contains(&FILTER), "{names:?}");
        }
    }
}

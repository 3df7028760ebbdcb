use std::collections::BTreeSet;

use toml_edit::Key;

use super::Layer;
use crate::error::nearest;
use crate::key::{KeyPath, TENANTS};
use crate::schema::Schema;
use crate::{Origin, Override, SettingError};

/// The settings on the command line. A later flag wins over an earlier one. `tenants` are the IDs that the other sources
/// have. A flag adds another tenant only if flags also set its symbols, because a misspelled ID would do the same.
pub(crate) fn flag_layer(
    overrides: &[Override],
    tenants: &BTreeSet<&str>,
    schema: &Schema,
    errors: &mut Vec<SettingError>,
) -> Layer {
    let paths: Vec<Option<KeyPath>> = overrides.iter().map(|given| path(&given.key)).collect();
    let has_symbols = |id: &str| paths.contains(&Some(KeyPath::new([TENANTS, id, "symbols"])));
    let mut layer = Layer::default();
    for (given, path) in overrides.iter().zip(&paths) {
        let origin = Origin::Flag(given.flag.clone());
        let Some(path) = path else {
            let remedy = "Write it as section.key, for example sink.batch_size.";
            errors.push(SettingError::new(origin, "This is not a key.", remedy));
            continue;
        };
        let Some(entry) = schema.find(path) else {
            errors.push(schema.unknown(path, origin));
            continue;
        };
        if let Some(id) = path.tenant() {
            if !tenants.contains(id) && !has_symbols(id) {
                errors.push(unknown_tenant(id, tenants, path, origin));
                continue;
            }
            layer.add_tenant(id, origin.clone(), errors);
        }
        let value = entry.declaration.kind.raw_from_text(&given.value);
        layer.set(schema, &origin, path, value, errors);
    }
    layer
}

fn path(key: &str) -> Option<KeyPath> {
    let names = Key::parse(key).ok()?;
    Some(KeyPath::new(names.iter().map(Key::get)))
}

fn unknown_tenant(id: &str, tenants: &BTreeSet<&str>, path: &KeyPath, origin: Origin) -> SettingError {
    let near = nearest(id, tenants.iter().copied());
    let hint = near.map_or_else(String::new, |near| format!("Did you mean {near:?}? "));
    let symbols = KeyPath::new([TENANTS, id, "symbols"]);
    let remedy = format!("{hint}To add a tenant, also set {symbols}.");
    SettingError::new(origin, format!("There is no tenant {id:?}."), remedy).of(path)
}

use toml_edit::Key;

use super::Layer;
use crate::key::KeyPath;
use crate::schema::Schema;
use crate::{Origin, Override, SettingError};

/// The settings on the command line. A later flag wins over an earlier one.
pub(crate) fn flag_layer(overrides: &[Override], schema: &Schema, errors: &mut Vec<SettingError>) -> Layer {
    let mut layer = Layer::default();
    for given in overrides {
        let origin = Origin::Flag(given.flag.clone());
        let Ok(names) = Key::parse(&given.key) else {
            let remedy = "Write it as section.key, for example sink.batch_size.";
            errors.push(SettingError::new(origin, "This is not a key.", remedy));
            continue;
        };
        let path = KeyPath::new(names.iter().map(Key::get));
        let Some(entry) = schema.find(&path) else {
            errors.push(schema.unknown(&path, origin));
            continue;
        };
        if let Some(id) = path.tenant() {
            layer.add_tenant(id, origin.clone(), errors);
        }
        let value = entry.declaration.kind.raw_from_text(&given.value);
        layer.set(schema, &origin, &path, value, errors);
    }
    layer
}

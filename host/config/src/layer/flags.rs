use toml_edit::Key;

use super::{Known, Layer};
use crate::catalogue::Catalogue;
use crate::key::KeyPath;
use crate::{Origin, Override, Problem};

/// What the command line says; a later flag wins over an earlier one.
pub(crate) fn flag_layer(overrides: &[Override], catalogue: &Catalogue, problems: &mut Vec<Problem>) -> Layer {
    let mut layer = Layer::default();
    for given in overrides {
        let origin = Origin::Flag(given.flag.clone());
        let Ok(names) = Key::parse(&given.key) else {
            let remedy = "Write it as section.key, for example sink.batch_size.";
            problems.push(Problem::new(origin, "This flag names no key.", remedy));
            continue;
        };
        let path = KeyPath::new(names.iter().map(Key::get));
        let Some(entry) = catalogue.find(&path) else {
            problems.push(catalogue.unknown(&path, origin));
            continue;
        };
        if let Some(id) = path.tenant() {
            layer.add_tenant(id, origin.clone(), problems);
        }
        layer.set(&Known { catalogue, origin: &origin }, &path, entry.form.lift(&given.value), problems);
    }
    layer
}

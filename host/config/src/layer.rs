//! The raw layers: what somebody wrote, each value with its origin, merged by figment.

mod environment;
mod file;
mod flags;
mod tenant_files;

use std::collections::{BTreeMap, HashMap};

use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use quotegate_document::TenantId;

use crate::key::KeyPath;
use crate::kind::ValueError;
use crate::schema::Schema;
use crate::{Origin, SettingError};

pub(crate) use environment::environment_layer;
pub(crate) use file::{file_layer, raw_from_toml};
pub(crate) use flags::flag_layer;
pub(crate) use tenant_files::{tenant_files, tenant_files_layer};

/// The values from one source. Not printable, because it may contain secrets.
#[derive(Default)]
pub(crate) struct Layer {
    values: Dict,
    /// The origin of every value, and of the elements of lists below their index.
    origins: HashMap<KeyPath, Origin>,
    pub(crate) tenants: BTreeMap<String, Origin>,
}

impl Layer {
    /// Sets a key, and reports what is wrong with the value.
    pub(crate) fn set(
        &mut self,
        schema: &Schema,
        origin: &Origin,
        path: &KeyPath,
        value: Value,
        errors: &mut Vec<SettingError>,
    ) {
        let found = schema.find(path).map_or_else(Vec::new, |entry| entry.declaration.kind.errors(&value));
        errors.extend(found.into_iter().map(|error| self.invalid(path, error, origin)));
        self.origins.insert(path.clone(), origin.clone());
        insert(&mut self.values, path.names(), value);
    }

    /// Sets the origin of the element `index` of a list.
    fn place_element(&mut self, path: &KeyPath, index: usize, origin: Origin) {
        self.origins.insert(path.child(&index.to_string()), origin);
    }

    /// Adds a tenant, if its id is a legal Firestore id.
    fn add_tenant(&mut self, id: &str, origin: Origin, errors: &mut Vec<SettingError>) {
        match TenantId::new(id) {
            Ok(_) => {
                self.tenants.entry(id.to_owned()).or_insert(origin);
            }
            Err(reason) => {
                let sentence = format!("This is not a valid tenant ID: {reason}.");
                let remedy =
                    "The ID is part of the Firestore path tenants/{id}. Use one word such as acme or acme-prod.";
                let path = KeyPath::new([crate::key::TENANTS, id]);
                errors.push(SettingError::new(origin, sentence, remedy).of(&path));
            }
        }
    }

    fn invalid(&self, path: &KeyPath, error: ValueError, origin: &Origin) -> SettingError {
        let Some(index) = error.index else { return SettingError::invalid(path, origin.clone(), error) };
        let element = path.child(&index.to_string());
        let origin = self.origins.get(&element).unwrap_or(origin).clone();
        SettingError::invalid(path, origin, error)
    }
}

fn insert(dict: &mut Dict, names: &[String], value: Value) {
    match names {
        [] => {}
        [last] => {
            dict.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let inner = dict.entry(first.clone()).or_insert_with(|| Value::from(Dict::new()));
            if let Value::Dict(_, inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

impl Provider for &Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named("settings")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

/// All layers in one. Later layers win over earlier ones.
#[derive(Default)]
pub(crate) struct Merged {
    values: Dict,
    /// The last layer with a value at a path, and the value's origin there. Figment's own tags would name the layer, not
    /// the line.
    origins: HashMap<KeyPath, (usize, Origin)>,
    /// Every tenant by id, with the origin that names it first.
    pub(crate) tenants: BTreeMap<String, Origin>,
}

impl Merged {
    #[expect(clippy::result_large_err, reason = "figment's error, once per start")]
    pub(crate) fn new(layers: Vec<Layer>) -> Result<Self, figment::Error> {
        let figment = layers.iter().fold(Figment::new(), Figment::merge);
        let values = figment.data()?.remove(&Profile::Default).unwrap_or_default();
        let (mut origins, mut tenants) = (HashMap::new(), BTreeMap::new());
        for (index, layer) in layers.into_iter().enumerate() {
            origins.extend(layer.origins.into_iter().map(|(path, origin)| (path, (index, origin))));
            for (id, origin) in layer.tenants {
                tenants.entry(id).or_insert(origin);
            }
        }
        Ok(Self { values, origins, tenants })
    }

    pub(crate) fn value(&self, path: &KeyPath) -> Option<&Value> {
        let (first, rest) = path.names().split_first()?;
        rest.iter().try_fold(self.values.get(first)?, |value, name| value.as_dict()?.get(name))
    }

    /// The layer that the value at `path` comes from. Later layers have higher numbers.
    pub(crate) fn layer_of(&self, path: &KeyPath) -> Option<usize> {
        self.origins.get(path).map(|(layer, _)| *layer)
    }

    pub(crate) fn origin(&self, path: &KeyPath) -> Option<&Origin> {
        self.origins.get(path).map(|(_, origin)| origin)
    }
}

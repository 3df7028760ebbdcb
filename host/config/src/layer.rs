//! The raw layers: what somebody wrote, each value with its place, merged by figment.

mod environment;
mod file;
mod flags;
mod tenant_files;

use std::collections::{BTreeMap, HashMap};

use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use quotegate_document::TenantId;

use crate::catalogue::Catalogue;
use crate::form::Refusal;
use crate::key::KeyPath;
use crate::{Origin, Problem};

pub(crate) use file::raw_from_text;
#[cfg(test)]
pub(crate) use file::raw_value;

pub(crate) use environment::environment_layer;
pub(crate) use file::file_layer;
pub(crate) use flags::flag_layer;
pub(crate) use tenant_files::{tenant_files, tenant_files_layer};

/// What one source says. Not printable: it holds secrets.
#[derive(Default)]
pub(crate) struct Layer {
    values: Dict,
    /// Of every value, and of the elements of lists below their index.
    places: HashMap<KeyPath, Origin>,
    tenants: BTreeMap<String, Origin>,
}

impl Layer {
    /// Keeps a value, and notes what its form has against it.
    pub(crate) fn set(&mut self, known: &Known<'_>, path: &KeyPath, value: Value, problems: &mut Vec<Problem>) {
        let refusals = known.catalogue.find(path).map_or_else(Vec::new, |entry| entry.form.refusals(&value));
        for refusal in refusals {
            problems.push(self.refused(path, refusal, known.origin));
        }
        self.places.insert(path.clone(), known.origin.clone());
        insert(&mut self.values, path.names(), value);
    }

    /// Notes where the element `index` of a list stands.
    fn place_element(&mut self, path: &KeyPath, index: usize, origin: Origin) {
        self.places.insert(path.child(&index.to_string()), origin);
    }

    /// Adds a tenant, if Firestore takes its id.
    fn add_tenant(&mut self, id: &str, origin: Origin, problems: &mut Vec<Problem>) {
        match TenantId::new(id) {
            Ok(_) => {
                self.tenants.entry(id.to_owned()).or_insert(origin);
            }
            Err(reason) => {
                let sentence = format!("This cannot be a tenant's id: {reason}.");
                let remedy = "The id names the document tenants/{id}: give one word such as acme or acme-prod.";
                let path = KeyPath::new([crate::key::TENANTS, id]);
                problems.push(Problem::new(origin, sentence, remedy).of(&path));
            }
        }
    }

    fn refused(&self, path: &KeyPath, refusal: Refusal, origin: &Origin) -> Problem {
        let Some(index) = refusal.index else { return Problem::refused(path, origin.clone(), refusal) };
        let element = path.child(&index.to_string());
        let place = self.places.get(&element).unwrap_or(origin).clone();
        Problem::refused(path, place, refusal)
    }

    pub(crate) fn tenants(&self) -> &BTreeMap<String, Origin> {
        &self.tenants
    }
}

/// What [`Layer::set`] needs beside the value itself.
pub(crate) struct Known<'a> {
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) origin: &'a Origin,
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

/// All layers in one, later ones over earlier ones.
#[derive(Default)]
pub(crate) struct Merged {
    values: Dict,
    /// The last layer with a value at a path, and where it is there. Figment's own tags would name the layer, not the
    /// line.
    places: HashMap<KeyPath, (usize, Origin)>,
    /// Every tenant by id, with the place that names it first.
    tenants: BTreeMap<String, Origin>,
}

impl Merged {
    #[expect(clippy::result_large_err, reason = "figment's error, once a start")]
    pub(crate) fn new(layers: Vec<Layer>) -> Result<Self, figment::Error> {
        let figment = layers.iter().fold(Figment::new(), Figment::merge);
        let values = figment.data()?.remove(&Profile::Default).unwrap_or_default();
        let (mut places, mut tenants) = (HashMap::new(), BTreeMap::new());
        for (index, layer) in layers.into_iter().enumerate() {
            places.extend(layer.places.into_iter().map(|(path, origin)| (path, (index, origin))));
            for (id, origin) in layer.tenants {
                tenants.entry(id).or_insert(origin);
            }
        }
        Ok(Self { values, places, tenants })
    }

    pub(crate) fn value(&self, path: &KeyPath) -> Option<&Value> {
        let (first, rest) = path.names().split_first()?;
        rest.iter().try_fold(self.values.get(first)?, |value, name| value.as_dict()?.get(name))
    }

    /// The layer that `path` has its value from; later layers have higher numbers.
    pub(crate) fn layer_of(&self, path: &KeyPath) -> Option<usize> {
        self.places.get(path).map(|(layer, _)| *layer)
    }

    pub(crate) fn origin(&self, path: &KeyPath) -> Option<&Origin> {
        self.places.get(path).map(|(_, origin)| origin)
    }

    pub(crate) fn tenants(&self) -> &BTreeMap<String, Origin> {
        &self.tenants
    }
}

use std::collections::BTreeMap;
use std::ffi::OsString;

use figment::value::Value;

use super::Layer;
use crate::error::quoted;
use crate::key::{KeyPath, TENANT_DEFAULTS, TENANTS};
use crate::kind::{bool_from_text, shown};
use crate::schema::{Entry, PREFIX, Schema};
use crate::{Origin, SettingError};

/// The variables that name the tenant of a host with one tenant.
const TENANT_VARIABLES: [&str; 2] = ["TENANT_ID", "FIRESTORE_TENANT_ID"];
/// The old job's switch; its values are yes and no, not the words of `sink.kind`.
const DRY_RUN: &str = "DRY_RUN";

/// The settings in the environment. `tenants` are the ids that the files have.
pub(crate) fn environment_layer(
    environment: &[(OsString, OsString)],
    tenants: &[String],
    schema: &Schema,
    errors: &mut Vec<SettingError>,
) -> Layer {
    let variables = relevant(environment, schema, errors);
    let mut reader = EnvironmentReader { schema, variables, layer: Layer::default(), errors };
    let tenant = reader.read_tenant();
    for entry in &schema.entries {
        reader.read_key(entry, tenant.as_deref());
    }
    let tenants: Vec<&String> = tenants.iter().chain(&tenant).collect();
    reader.read_tenant_keys(&tenants);
    for name in reader.variables.keys().filter(|name| name.starts_with(PREFIX)) {
        reader.errors.push(schema.unknown_variable(name, &tenants));
    }
    reader.layer
}

/// The variables that are settings and are not empty, by name.
fn relevant(
    environment: &[(OsString, OsString)],
    schema: &Schema,
    errors: &mut Vec<SettingError>,
) -> BTreeMap<String, String> {
    let mut relevant = BTreeMap::new();
    for (name, value) in environment {
        let Some(name) = name.to_str() else { continue };
        let mut old_names = schema.entries.iter().flat_map(|entry| entry.declaration.variables);
        if is_service_link(name) {
            continue;
        }
        if !name.starts_with(PREFIX) && !TENANT_VARIABLES.contains(&name) && !old_names.any(|old| *old == name) {
            continue;
        }
        match value.to_str() {
            Some(value) if value.trim().is_empty() => {}
            Some(value) => {
                relevant.insert(name.to_owned(), value.to_owned());
            }
            None => {
                let origin = Origin::Variable(name.to_owned());
                errors.push(SettingError::new(origin, "The value is not UTF-8 text.", "Set it to UTF-8 text."));
            }
        }
    }
    relevant
}

/// Kubernetes sets these in every container next to a service that is called quotegate; they are not settings.
fn is_service_link(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else { return false };
    rest == "PORT" || ["PORT_", "SERVICE_HOST", "SERVICE_PORT"].iter().any(|link| rest.starts_with(link))
}

struct EnvironmentReader<'a> {
    schema: &'a Schema,
    /// The variables that have not been read yet.
    variables: BTreeMap<String, String>,
    layer: Layer,
    errors: &'a mut Vec<SettingError>,
}

impl EnvironmentReader<'_> {
    /// The tenant that the environment names, which then exists even if no file has it.
    fn read_tenant(&mut self) -> Option<String> {
        let mut given = TENANT_VARIABLES.map(|name| (name, self.variables.remove(name)));
        if let [(first, Some(id)), (second, Some(other))] = &given
            && id.trim() != other.trim()
        {
            self.errors.push(conflict(first, second, Some((&quoted(id), &quoted(other)))));
        }
        let (name, id) = given.iter_mut().find_map(|(name, value)| Some((*name, value.take()?)))?;
        let id = id.trim().to_owned();
        self.layer.add_tenant(&id, Origin::Variable(name.to_owned()), self.errors);
        Some(id)
    }

    /// Reads every variable of one key. If the environment names the tenant, the old job's symbols are that tenant's.
    fn read_key(&mut self, entry: &Entry, tenant: Option<&str>) {
        let old = self.take(entry, entry.declaration.variables);
        let own = self.take(entry, &[entry.own_variable().as_str()]);
        match tenant {
            Some(id) if entry.path == KeyPath::new([TENANT_DEFAULTS, "symbols"]) => {
                self.set(entry, &KeyPath::new([TENANTS, id, "symbols"]), old);
                self.set(entry, &entry.path, own);
            }
            _ => self.set(entry, &entry.path, old.into_iter().chain(own).collect()),
        }
    }

    /// Reads `QUOTEGATE_TENANTS__ID__KEY` for every tenant that exists.
    fn read_tenant_keys(&mut self, ids: &[&String]) {
        let prefix = format!("{PREFIX}{}__", TENANTS.to_ascii_uppercase());
        // Hosts with thousands of tenants have none of these, and are spared a search per tenant and key.
        let is_ours = |name: &String| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(&prefix));
        if !self.variables.keys().any(is_ours) {
            return;
        }
        for id in ids {
            for entry in self.schema.entries.iter().filter(|entry| entry.path.parent() == defaults()) {
                let path = KeyPath::new([TENANTS, id, entry.path.last()]);
                let wanted = format!("{prefix}{id}__{}", entry.path.last());
                let name = self.variables.keys().find(|name| name.eq_ignore_ascii_case(&wanted)).cloned();
                if let Some(name) = name {
                    let given = self.take(entry, &[name.as_str()]);
                    self.set(entry, &path, given);
                }
            }
        }
    }

    /// Takes the variables of `names` that are set, in this order.
    fn take(&mut self, entry: &Entry, names: &[&str]) -> Vec<(String, Value)> {
        let mut given = Vec::new();
        for name in names {
            let Some(text) = self.variables.remove(*name) else { continue };
            match raw_from_text(entry, name, &text) {
                Some(value) => given.push(((*name).to_owned(), value)),
                None => {
                    let origin = Origin::Variable((*name).to_owned());
                    let remedy = "Use 1, true, yes, or on; or 0, false, no, or off.";
                    let error = SettingError::new(origin, "This is neither true nor false.", remedy);
                    self.errors.push(error.of(&entry.path).with_value(quoted(&text)));
                }
            }
        }
        given
    }

    /// Sets `path` from the first variable, and reports the others that have another value.
    fn set(&mut self, entry: &Entry, path: &KeyPath, given: Vec<(String, Value)>) {
        let mut given = given.into_iter();
        let Some((first, value)) = given.next() else { return };
        for (other, differing) in given.filter(|(_, other)| *other != value) {
            let (left, right) = (shown(&value), shown(&differing));
            let values = (!entry.declaration.kind.is_secret()).then_some((left.as_str(), right.as_str()));
            self.errors.push(conflict(&first, &other, values).of(path));
        }
        let origin = Origin::Variable(first);
        self.layer.set(self.schema, &origin, path, value, self.errors);
    }
}

fn defaults() -> KeyPath {
    KeyPath::new([TENANT_DEFAULTS])
}

/// `None` for a [`DRY_RUN`] that is neither true nor false.
fn raw_from_text(entry: &Entry, name: &str, text: &str) -> Option<Value> {
    match name {
        DRY_RUN => bool_from_text(text).map(|dry| Value::from(if dry { "dry-run" } else { "firestore" })),
        _ => Some(entry.declaration.kind.raw_from_text(text)),
    }
}

/// Two variables that set the same key to different values.
fn conflict(first: &str, second: &str, values: Option<(&str, &str)>) -> SettingError {
    let sentence = match values {
        Some((left, right)) => {
            format!("{first} and {second} set the same key to different values, {left} and {right}.")
        }
        None => format!("{first} and {second} set the same key to different values."),
    };
    SettingError::new(Origin::Variable(first.to_owned()), sentence, format!("Set only {first}."))
}

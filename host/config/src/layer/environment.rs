use std::collections::BTreeMap;
use std::ffi::OsString;

use figment::value::Value;

use super::{Known, Layer};
use crate::catalogue::{Catalogue, Entry, PREFIX};
use crate::form::{flag_of, shown};
use crate::key::{KeyPath, TENANT_DEFAULTS, TENANTS};
use crate::problem::quoted;
use crate::{Origin, Problem};

/// The variables that name the tenant of a host with one tenant.
const TENANT_VARIABLES: [&str; 2] = ["TENANT_ID", "FIRESTORE_TENANT_ID"];
/// The old job's switch; it speaks yes and no, not the words of `sink.kind`.
const DRY_RUN: &str = "DRY_RUN";

/// What the environment says. `tenants` are the ids that the files have.
pub(crate) fn environment_layer(
    environment: &[(OsString, OsString)],
    tenants: &[String],
    catalogue: &Catalogue,
    problems: &mut Vec<Problem>,
) -> Layer {
    let variables = relevant(environment, catalogue, problems);
    let mut work = Work { catalogue, variables, layer: Layer::default(), problems };
    let tenant = work.tenant();
    for entry in catalogue.entries() {
        work.key(entry, tenant.as_deref());
    }
    work.tenants_keys(tenants.iter().chain(&tenant));
    for name in work.variables.keys().filter(|name| name.starts_with(PREFIX)) {
        work.problems.push(catalogue.unknown_variable(name));
    }
    work.layer
}

/// The variables that mean something here and are not empty, by name.
fn relevant(
    environment: &[(OsString, OsString)],
    catalogue: &Catalogue,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, String> {
    let mut relevant = BTreeMap::new();
    for (name, value) in environment {
        let Some(name) = name.to_str() else { continue };
        let mut old_names = catalogue.entries().iter().flat_map(|entry| entry.variables);
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
                problems.push(Problem::new(origin, "The value is not UTF-8 text.", "Set it again as UTF-8."));
            }
        }
    }
    relevant
}

/// Kubernetes sets these in every container beside a service that is called quotegate; they are no settings.
fn is_service_link(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else { return false };
    rest == "PORT" || ["PORT_", "SERVICE_HOST", "SERVICE_PORT"].iter().any(|link| rest.starts_with(link))
}

struct Work<'a> {
    catalogue: &'a Catalogue,
    /// What nobody has claimed yet.
    variables: BTreeMap<String, String>,
    layer: Layer,
    problems: &'a mut Vec<Problem>,
}

impl Work<'_> {
    /// The tenant that the environment names, which is then there even if no file has it.
    fn tenant(&mut self) -> Option<String> {
        let mut given = TENANT_VARIABLES.map(|name| (name, self.variables.remove(name)));
        if let [(first, Some(id)), (second, Some(other))] = &given
            && id.trim() != other.trim()
        {
            self.problems.push(clash(first, second, Some((&quoted(id), &quoted(other)))));
        }
        let (name, id) = given.iter_mut().find_map(|(name, value)| Some((*name, value.take()?)))?;
        let id = id.trim().to_owned();
        self.layer.add_tenant(&id, Origin::Variable(name.to_owned()), self.problems);
        Some(id)
    }

    /// Everything that sets one key. Where the environment names the tenant, the old job's symbols are that tenant's.
    fn key(&mut self, entry: &Entry, tenant: Option<&str>) {
        let old = self.take(entry, entry.variables);
        let own = self.take(entry, &[entry.own_variable().as_str()]);
        match tenant {
            Some(id) if entry.path == KeyPath::new([TENANT_DEFAULTS, "symbols"]) => {
                self.set(entry, &KeyPath::new([TENANTS, id, "symbols"]), old);
                self.set(entry, &entry.path, own);
            }
            _ => self.set(entry, &entry.path, old.into_iter().chain(own).collect()),
        }
    }

    /// `QUOTEGATE_TENANTS__ID__KEY`, for tenants that are there.
    fn tenants_keys<'b>(&mut self, ids: impl Iterator<Item = &'b String>) {
        let prefix = format!("{PREFIX}{}__", TENANTS.to_ascii_uppercase());
        // Hosts with thousands of tenants have none of these: one look saves one for each of their keys.
        let is_ours = |name: &String| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(&prefix));
        if !self.variables.keys().any(is_ours) {
            return;
        }
        for id in ids {
            for entry in self.catalogue.entries().iter().filter(|entry| entry.path.parent() == defaults()) {
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

    /// Takes those of `names` that are set, in this order.
    fn take(&mut self, entry: &Entry, names: &[&str]) -> Vec<(String, Value)> {
        let mut given = Vec::new();
        for name in names {
            let Some(text) = self.variables.remove(*name) else { continue };
            match lift(entry, name, &text) {
                Some(value) => given.push(((*name).to_owned(), value)),
                None => {
                    let origin = Origin::Variable((*name).to_owned());
                    let remedy = "Give 1, true, yes or on; or 0, false, no, off or nothing.";
                    let problem = Problem::new(origin, "This is neither yes nor no.", remedy);
                    self.problems.push(problem.of(&entry.path).with_value(quoted(&text)));
                }
            }
        }
        given
    }

    /// Sets `path` from the first name, and complains of names that say something else.
    fn set(&mut self, entry: &Entry, path: &KeyPath, given: Vec<(String, Value)>) {
        let mut given = given.into_iter();
        let Some((first, value)) = given.next() else { return };
        for (other, differing) in given.filter(|(_, other)| *other != value) {
            let (left, right) = (shown(&value), shown(&differing));
            let values = (!entry.form.is_secret()).then_some((left.as_str(), right.as_str()));
            self.problems.push(clash(&first, &other, values).of(path));
        }
        let origin = Origin::Variable(first);
        self.layer.set(&Known { catalogue: self.catalogue, origin: &origin }, path, value, self.problems);
    }
}

fn defaults() -> KeyPath {
    KeyPath::new([TENANT_DEFAULTS])
}

/// `None` for a [`DRY_RUN`] that is neither yes nor no.
fn lift(entry: &Entry, name: &str, text: &str) -> Option<Value> {
    match name {
        DRY_RUN => flag_of(text).map(|dry| Value::from(if dry { "dry-run" } else { "firestore" })),
        _ => Some(entry.form.lift(text)),
    }
}

/// Two names of one setting that disagree.
fn clash(first: &str, second: &str, values: Option<(&str, &str)>) -> Problem {
    let sentence = match values {
        Some((left, right)) => {
            format!("{first} and {second} are names of one setting and differ: {left} and {right}.")
        }
        None => format!("{first} and {second} are names of one setting and differ."),
    };
    Problem::new(Origin::Variable(first.to_owned()), sentence, format!("Set {first} only."))
}

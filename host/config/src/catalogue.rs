//! Every key there is, collected by reading the settings once from nothing.

use std::collections::BTreeSet;

use figment::value::Value;

use crate::form::{Form, Refusal, TableKey};
use crate::key::{KeyPath, TENANT_DEFAULTS, TENANTS};
use crate::layer::Merged;
use crate::problem::nearest;
use crate::reader::Reader;
use crate::settings::Settings;
use crate::{Origin, Problem};

/// One key as the layers and the documentation see it, whatever its type.
pub(crate) struct Entry {
    pub(crate) path: KeyPath,
    pub(crate) doc: &'static str,
    pub(crate) form: Box<dyn AnyForm>,
    pub(crate) default: DefaultText,
    /// The old job's names, the one to use first.
    pub(crate) variables: &'static [&'static str],
}

/// What the documentation writes after `key =`.
pub(crate) enum DefaultText {
    /// The default as TOML.
    Value(String),
    /// There is no default; this is what a value looks like.
    Example(&'static str),
}

/// A [`Form`] without its type.
pub(crate) trait AnyForm {
    fn expects(&self) -> String;
    fn refusals(&self, value: &Value) -> Vec<Refusal>;
    fn lift(&self, text: &str) -> Value;
    fn is_secret(&self) -> bool;
    fn table_keys(&self) -> Vec<TableKey>;
}

impl<F: Form> AnyForm for F {
    fn expects(&self) -> String {
        Form::expects(self)
    }

    fn refusals(&self, value: &Value) -> Vec<Refusal> {
        self.parse(value).err().unwrap_or_default()
    }

    fn lift(&self, text: &str) -> Value {
        Form::lift(self, text)
    }

    fn is_secret(&self) -> bool {
        Form::is_secret(self)
    }

    fn table_keys(&self) -> Vec<TableKey> {
        Form::table_keys(self)
    }
}

impl Entry {
    /// The variable that every key has: `QUOTEGATE_SECTION__KEY`.
    pub(crate) fn own_variable(&self) -> String {
        variable_of(&self.path)
    }
}

/// The prefix of the variables that are this program's own.
pub(crate) const PREFIX: &str = "QUOTEGATE_";

fn variable_of(path: &KeyPath) -> String {
    format!("{PREFIX}{}", path.names().join("__").to_ascii_uppercase())
}

/// Every key, in the order of the documentation. A tenant's keys are there once, under `tenant_defaults`.
pub(crate) struct Catalogue {
    entries: Vec<Entry>,
    sections: BTreeSet<KeyPath>,
}

impl Catalogue {
    pub(crate) fn new() -> Self {
        let nothing = Merged::default();
        let mut reader = Reader::new(&nothing, BTreeSet::new());
        // The settings themselves do not matter here: reading names every key on the way.
        let _ = Settings::read(&mut reader);
        let entries = reader.into_entries();
        let mut sections = BTreeSet::from([KeyPath::new([TENANTS])]);
        for entry in &entries {
            let mut section = entry.path.parent();
            while !section.names().is_empty() {
                sections.insert(section.clone());
                section = section.parent();
            }
        }
        Self { entries, sections }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The key at `path`; every tenant has the keys of `tenant_defaults`.
    pub(crate) fn find(&self, path: &KeyPath) -> Option<&Entry> {
        let path = generic(path);
        self.entries.iter().find(|entry| entry.path == path)
    }

    /// True for a table that holds keys.
    pub(crate) fn is_section(&self, path: &KeyPath) -> bool {
        self.sections.contains(&generic(path))
    }

    /// What to say of a key that does not exist. Says nothing of its value, which may be a secret under a misspelt
    /// name.
    pub(crate) fn unknown(&self, path: &KeyPath, origin: Origin) -> Problem {
        let elsewhere = self.entries.iter().find(|entry| entry.path.last() == path.last());
        let hint = match elsewhere {
            Some(entry) => format!("Did you mean {}? ", entry.path),
            None => {
                let section = path.parent();
                let near = nearest(path.last(), self.names_in(&section));
                near.map_or_else(String::new, |name| format!("Did you mean {}? ", section.child(name)))
            }
        };
        let remedy = format!("{hint}The keys are listed in config/quotegate.toml.");
        Problem::new(origin, "There is no such key.", remedy).of(path)
    }

    /// What to say of a variable that begins like ours and is none.
    pub(crate) fn unknown_variable(&self, name: &str) -> Problem {
        let names: Vec<String> = self.entries.iter().map(Entry::own_variable).collect();
        let ends = names.iter().filter_map(|name| name.strip_prefix(PREFIX));
        let near = nearest(name.strip_prefix(PREFIX).unwrap_or(name), ends);
        let hint = near.map_or_else(String::new, |end| format!("Did you mean {PREFIX}{end}? "));
        let sentence = "No setting has this name, and names that begin with QUOTEGATE_ are kept for settings.";
        let remedy = format!("{hint}A setting's name is QUOTEGATE_SECTION__KEY, with two underscores between.");
        Problem::new(Origin::Variable(name.to_owned()), sentence, remedy)
    }

    /// The names of the keys and sections directly in `section`.
    fn names_in(&self, section: &KeyPath) -> impl Iterator<Item = &str> {
        let section = generic(section);
        let paths = self.entries.iter().map(|entry| &entry.path).chain(&self.sections);
        paths.filter(move |path| path.parent() == section).map(KeyPath::last)
    }
}

/// `tenants.acme.symbols` → `tenant_defaults.symbols`.
fn generic(path: &KeyPath) -> KeyPath {
    match path.tenant() {
        Some(_) => KeyPath::new([TENANT_DEFAULTS].into_iter().chain(path.names()[2..].iter().map(String::as_str))),
        None => path.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remedy(path: &[&str]) -> String {
        Catalogue::new().unknown(&KeyPath::new(path.iter().copied()), Origin::Default).remedy().to_owned()
    }

    #[test]
    fn a_misspelt_key_is_looked_for_beside_it_and_a_misplaced_one_everywhere() {
        assert!(remedy(&["sink", "batchsize"]).starts_with("Did you mean sink.batch_size?"));
        assert!(remedy(&["feed", "batch_size"]).starts_with("Did you mean sink.batch_size?"));
        assert!(remedy(&["snik"]).starts_with("Did you mean sink?"));
        assert!(remedy(&["tenants", "acme", "symbls"]).starts_with("Did you mean tenants.acme.symbols?"));
        assert!(remedy(&["zzz"]).starts_with("The keys are listed"));
    }

    #[test]
    fn no_key_and_no_variable_is_declared_twice() {
        let catalogue = Catalogue::new();
        let (mut paths, mut variables) = (BTreeSet::new(), BTreeSet::new());
        for entry in catalogue.entries() {
            assert!(paths.insert(entry.path.clone()), "{}", entry.path);
            assert!(variables.insert(entry.own_variable()));
            for variable in entry.variables {
                assert!(variables.insert((*variable).to_owned()), "{variable}");
            }
        }
    }

    #[test]
    fn every_default_is_a_good_value_of_its_own_form() {
        for entry in Catalogue::new().entries() {
            let DefaultText::Value(default) = &entry.default else { continue };
            let table: toml_edit::DocumentMut = format!("x = {default}").parse().unwrap();
            let value = crate::layer::raw_value(&table["x"]);
            assert_eq!(entry.form.refusals(&value), [], "{} = {default}", entry.path);
        }
    }
}

//! Every key, collected by reading the settings once from nothing.

use std::collections::BTreeSet;

use crate::error::nearest;
use crate::key::{Declaration, KeyPath, TENANT_DEFAULTS, TENANTS};
use crate::layer::Merged;
use crate::reader::{Reader, Section};
use crate::settings::Settings;
use crate::{Origin, SettingError};

/// A key and where it is.
pub(crate) struct Entry {
    pub(crate) path: KeyPath,
    pub(crate) declaration: Declaration,
}

impl Entry {
    /// The variable that every key has: `QUOTEGATE_SECTION__KEY`.
    pub(crate) fn own_variable(&self) -> String {
        format!("{PREFIX}{}", self.path.names().join("__").to_ascii_uppercase())
    }
}

/// The prefix of the variables that are this program's own.
pub(crate) const PREFIX: &str = "QUOTEGATE_";

/// Every key, in the order of the documentation. A tenant's keys are there once, under `tenant_defaults`.
pub(crate) struct Schema {
    pub(crate) entries: Vec<Entry>,
    /// Every table that has keys.
    pub(crate) sections: Vec<Section>,
    tables: BTreeSet<KeyPath>,
}

impl Schema {
    pub(crate) fn new() -> Self {
        let nothing = Merged::default();
        let mut reader = Reader::new(&nothing, BTreeSet::new());
        // The settings themselves do not matter here: reading them declares every key.
        let _ = Settings::read(&mut reader);
        let Reader { sections, entries, .. } = reader;
        let mut tables = BTreeSet::from([KeyPath::new([TENANTS])]);
        for section in &sections {
            let mut table = section.path.clone();
            while !table.names().is_empty() {
                tables.insert(table.clone());
                table = table.parent();
            }
        }
        Self { entries, sections, tables }
    }

    /// The keys of one table.
    pub(crate) fn entries_in(&self, section: &KeyPath) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.path.parent() == *section)
    }

    /// The key at `path`; every tenant has the keys of `tenant_defaults`.
    pub(crate) fn find(&self, path: &KeyPath) -> Option<&Entry> {
        let path = generic(path);
        self.entries.iter().find(|entry| entry.path == path)
    }

    /// True for a table that holds keys or other tables.
    pub(crate) fn is_section(&self, path: &KeyPath) -> bool {
        self.tables.contains(&generic(path))
    }

    /// The error for a key that does not exist. Does not show its value, which may be a secret under a misspelled name.
    pub(crate) fn unknown(&self, path: &KeyPath, origin: Origin) -> SettingError {
        let hint = match (self.in_quotes(path), self.elsewhere(path)) {
            (Some(quoted), _) => format!("Did you mean {quoted}? A tenant ID that contains a dot needs quotes. "),
            (None, Some(entry)) => format!("Did you mean {}? ", entry.path),
            (None, None) => {
                let section = path.parent();
                let near = nearest(path.last(), self.names_in(&section));
                near.map_or_else(String::new, |name| format!("Did you mean {}? ", section.child(name)))
            }
        };
        let remedy = format!("{hint}All keys are listed in config/quotegate.toml.");
        SettingError::new(origin, "There is no such key.", remedy).of(path)
    }

    /// A key of the same name in another section.
    fn elsewhere(&self, path: &KeyPath) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.path.last() == path.last())
    }

    /// `tenants."a.b".paused` for `tenants.a.b.paused`.
    fn in_quotes(&self, path: &KeyPath) -> Option<KeyPath> {
        path.tenant()?;
        let [_, id @ .., name] = path.names() else { return None };
        let quoted = KeyPath::new([TENANTS, &id.join("."), name]);
        (id.len() > 1 && self.find(&quoted).is_some()).then_some(quoted)
    }

    /// The error for a variable with our prefix that no setting has. A key of one tenant is only looked up among those of
    /// `tenants`: whoever wants to pause one must not be told how to pause all.
    pub(crate) fn unknown_variable(&self, name: &str, tenants: &[&String]) -> SettingError {
        const OF_TENANT: &str = "QUOTEGATE_TENANTS__";
        let defaults = KeyPath::new([TENANT_DEFAULTS]);
        let (prefix, names) = if name.starts_with(OF_TENANT) {
            let keys: Vec<&str> = self.entries_in(&defaults).map(|entry| entry.path.last()).collect();
            let of = |id| keys.iter().map(move |key| format!("{OF_TENANT}{id}__{key}").to_ascii_uppercase());
            (OF_TENANT, tenants.iter().flat_map(of).collect::<Vec<String>>())
        } else {
            (PREFIX, self.entries.iter().map(Entry::own_variable).collect())
        };
        let ends = names.iter().filter_map(|name| name.strip_prefix(prefix));
        let near = nearest(name.strip_prefix(prefix).unwrap_or(name), ends);
        let hint = near.map_or_else(String::new, |end| format!("Did you mean {prefix}{end}? "));
        let sentence = "There is no such setting. Names that begin with QUOTEGATE_ are reserved for settings.";
        let remedy = format!("{hint}The names are QUOTEGATE_SECTION__KEY, with two underscores.");
        SettingError::new(Origin::Variable(name.to_owned()), sentence, remedy)
    }

    /// The names of the keys and tables directly in `section`.
    fn names_in(&self, section: &KeyPath) -> impl Iterator<Item = &str> {
        let section = generic(section);
        let paths = self.entries.iter().map(|entry| &entry.path).chain(&self.tables);
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
    use crate::key::DefaultText;

    fn remedy(path: &[&str]) -> String {
        Schema::new().unknown(&KeyPath::new(path.iter().copied()), Origin::Default).remedy
    }

    #[test]
    fn a_misspelled_key_is_looked_up_nearby_and_a_misplaced_one_everywhere() {
        assert!(remedy(&["sink", "batchsize"]).starts_with("Did you mean sink.batch_size?"));
        assert!(remedy(&["feed", "batch_size"]).starts_with("Did you mean sink.batch_size?"));
        assert!(remedy(&["snik"]).starts_with("Did you mean sink?"));
        assert!(remedy(&["tenants", "acme", "symbls"]).starts_with("Did you mean tenants.acme.symbols?"));
        assert!(remedy(&["zzz"]).starts_with("All keys are listed"));
    }

    #[test]
    fn a_tenant_id_with_a_dot_gets_quotes_and_no_key_of_another_section() {
        assert!(
            remedy(&["tenants", "a", "b", "paused"]).starts_with("Did you mean tenants.\"a.b\".paused? A tenant ID")
        );
        assert!(remedy(&["tenants", "a", "b", "batch_size"]).starts_with("Did you mean sink.batch_size?"));
    }

    #[test]
    fn no_key_and_no_variable_is_declared_twice() {
        let schema = Schema::new();
        let (mut paths, mut variables) = (BTreeSet::new(), BTreeSet::new());
        for entry in &schema.entries {
            assert!(paths.insert(entry.path.clone()), "{}", entry.path);
            assert!(variables.insert(entry.own_variable()));
            for variable in entry.declaration.variables {
                assert!(variables.insert((*variable).to_owned()), "{variable}");
            }
        }
    }

    #[test]
    fn every_default_is_a_valid_value_of_its_own_kind() {
        for entry in Schema::new().entries {
            let DefaultText::Value(default) = &entry.declaration.default else { continue };
            let value = crate::layer::raw_from_toml(default).unwrap();
            assert_eq!(entry.declaration.kind.errors(&value), [], "{} = {default}", entry.path);
        }
    }
}

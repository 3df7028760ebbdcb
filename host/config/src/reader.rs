//! Reads typed settings from the merged layers, and on the way collects every key, every value with its origin, and every
//! error.

use std::collections::BTreeSet;
use std::path::Path;

use quotegate_io::{SECRET_LIMIT, read_text};
use secrecy::SecretString;

use crate::key::{DefaultText, Key, KeyPath};
use crate::kind::{FilePath, Secret, ValueKind};
use crate::layer::Merged;
use crate::schema::Entry;
use crate::{Origin, Row, SettingError};

pub(crate) struct Reader<'a> {
    merged: &'a Merged,
    /// The keys that the layers have reported errors for.
    invalid: BTreeSet<String>,
    section: KeyPath,
    /// The section whose values stand in for missing ones.
    inherits_from: Option<KeyPath>,
    pub(crate) sections: Vec<Section>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) rows: Vec<Row>,
    pub(crate) errors: Vec<SettingError>,
}

/// A table of keys.
pub(crate) struct Section {
    pub(crate) path: KeyPath,
    pub(crate) doc: &'static str,
}

impl<'a> Reader<'a> {
    /// A reader of `merged`, whose layers have reported errors for the keys `invalid`.
    pub(crate) fn new(merged: &'a Merged, invalid: BTreeSet<String>) -> Self {
        Self {
            merged,
            invalid,
            section: KeyPath::default(),
            inherits_from: None,
            sections: Vec::new(),
            entries: Vec::new(),
            rows: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// The keys that follow are in this section.
    pub(crate) fn section<'b>(&mut self, names: impl IntoIterator<Item = &'b str>, doc: &'static str) -> &mut Self {
        self.section = KeyPath::new(names);
        self.inherits_from = None;
        self.sections.push(Section { path: self.section.clone(), doc });
        self
    }

    /// The keys that follow are those of section `parent` again, in the section `names`, which takes from `parent` what it
    /// lacks.
    pub(crate) fn section_inheriting<'b>(
        &mut self,
        names: impl IntoIterator<Item = &'b str>,
        parent: &str,
    ) -> &mut Self {
        self.section = KeyPath::new(names);
        self.inherits_from = Some(KeyPath::new([parent]));
        self
    }

    /// A setting that always has a value.
    pub(crate) fn read<K: ValueKind>(&mut self, key: Key<K>, default: K::Value) -> K::Value {
        let path = self.section.child(key.name);
        let default_text = key.kind.show(&default);
        let value = self.parsed(&key).unwrap_or(default);
        let shown = key.kind.show(&value);
        // Not everything in a table is shown.
        let changed = shown != default_text || (self.is_set(key.name) && !key.kind.table_keys().is_empty());
        self.add_row(&path, shown, changed);
        self.declare(key, path, DefaultText::Value(default_text));
        value
    }

    /// A setting that may have no value; `example` shows in the documentation what a value looks like.
    pub(crate) fn read_optional<K: ValueKind>(&mut self, key: Key<K>, example: &'static str) -> Option<K::Value> {
        let path = self.section.child(key.name);
        let value = self.parsed(&key);
        let none = if key.kind.is_secret() { "unset" } else { "none" };
        let shown = value.as_ref().map_or_else(|| none.to_owned(), |value| key.kind.show(value));
        self.add_row(&path, shown, value.is_some());
        self.declare(key, path, DefaultText::Example(example));
        value
    }

    /// A secret that can also be in a file. The later layer wins, and one layer must not have both.
    pub(crate) fn read_secret(&mut self, key: Key<Secret>, file: Key<FilePath>) -> Option<SecretString> {
        let (path, file_path) = (self.section.child(key.name), self.section.child(file.name));
        let inline = self.read_optional(key, "\"…\"");
        let file = self.read_optional(file, "\"/run/secrets/…\"");
        let (inline_layer, file_layer) = (self.merged.layer_of(&path), self.merged.layer_of(&file_path));
        let Some(file) = file.filter(|_| file_layer >= inline_layer) else { return inline };
        let origin = self.merged.origin(&file_path)?.clone();
        if inline_layer == file_layer {
            let inline_origin = self.merged.origin(&path).map_or_else(String::new, |origin| format!(" ({origin})"));
            let sentence = format!("The secret is set twice: in this file, and directly as {path}{inline_origin}.");
            self.errors.push(SettingError::new(origin, sentence, "Remove one of the two.").of(&file_path));
            return None;
        }
        match secret_in(&file) {
            Ok(secret) => {
                self.replace_row(&path, "set", origin);
                Some(secret)
            }
            Err(sentence) => {
                let remedy = "Use the path of a file that contains the secret and nothing else.";
                let error = SettingError::new(origin, sentence, remedy);
                self.errors.push(error.of(&file_path).with_value(FilePath.show(&file)));
                None
            }
        }
    }

    /// True if any layer has this key of the current section.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.is_set_at(&self.section.child(name))
    }

    /// True if any layer has the key at `path`.
    pub(crate) fn is_set_at(&self, path: &KeyPath) -> bool {
        self.merged.layer_of(path).is_some()
    }

    /// True if the value of this key of the current section comes from this environment variable.
    pub(crate) fn comes_from_variable(&self, name: &str, variable: &str) -> bool {
        let origin = self.merged.origin(&self.section.child(name));
        matches!(origin, Some(Origin::Variable(set)) if set == variable)
    }

    /// Reports that two keys of the current section contradict each other, at the one that is set.
    pub(crate) fn conflict(&mut self, keys: [&str; 2], sentence: impl Into<String>, remedy: impl Into<String>) {
        let name = if self.is_set(keys[0]) { keys[0] } else { keys[1] };
        let path = self.section.child(name);
        let names: Vec<&str> = path.names().iter().map(String::as_str).collect();
        self.error_at(&names, sentence, remedy);
    }

    /// Reports an error in the effective value of the key at `path`.
    pub(crate) fn error_at(&mut self, path: &[&str], sentence: impl Into<String>, remedy: impl Into<String>) {
        let path = KeyPath::new(path.iter().copied());
        let row = self.rows.iter().find(|row| row.key == path.to_string());
        let origin = row.map_or(Origin::Default, |row| row.origin.clone());
        let error = SettingError::new(origin, sentence, remedy).of(&path);
        self.errors.push(match row {
            Some(row) => error.with_value(&row.value),
            None => error,
        });
    }

    /// Reports an error that no value has caused.
    pub(crate) fn error(&mut self, error: SettingError) {
        self.errors.push(error);
    }

    /// True if an error has been reported for one of `keys`, written with dots, or for something in it. Then its value is
    /// not what was meant, and an error about what follows from it would only confuse.
    pub(crate) fn has_error(&self, keys: &[&str]) -> bool {
        let within =
            |key: &str, of: &str| key.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let found = self.errors.iter().filter_map(|error| error.key.as_deref());
        found.chain(self.invalid.iter().map(String::as_str)).any(|key| keys.iter().any(|of| within(key, of)))
    }

    /// Shows another value of a key, where other settings decide it.
    pub(crate) fn replace_row(&mut self, path: &KeyPath, shown: &str, origin: Origin) {
        let key = path.to_string();
        // Mostly one of the last: a search from the front would take long with thousands of tenants.
        if let Some(row) = self.rows.iter_mut().rev().find(|row| row.key == key) {
            let differs = row.changed || row.value != shown;
            let changed = differs && !matches!(origin, Origin::Inherited(_));
            *row = Row { key, value: shown.to_owned(), origin, changed };
        }
    }

    /// The same for a key of the current section.
    pub(crate) fn replace_own_row(&mut self, name: &str, shown: &str, origin: Origin) {
        let path = self.section.child(name);
        self.replace_row(&path, shown, origin);
    }

    pub(crate) fn tenant_ids(&self) -> Vec<String> {
        self.merged.tenants.keys().cloned().collect()
    }

    /// The value from the layers. Its layer has reported a value that is not valid, so the default may stand in: nobody
    /// gets to see these settings.
    fn parsed<K: ValueKind>(&self, key: &Key<K>) -> Option<K::Value> {
        let value = self.merged.value(&self.section.child(key.name))?;
        key.kind.parse(value).ok()
    }

    /// Where the value of this key of the current section comes from.
    pub(crate) fn origin(&self, name: &str) -> Origin {
        if let Some(origin) = self.merged.origin(&self.section.child(name)) {
            return origin.clone();
        }
        let inherited = self.inherits_from.as_ref().and_then(|parent| self.merged.origin(&parent.child(name)));
        inherited.map_or(Origin::Default, |origin| Origin::Inherited(Box::new(origin.clone())))
    }

    fn add_row(&mut self, path: &KeyPath, value: String, changed: bool) {
        let origin = self.origin(path.last());
        self.rows.push(Row { key: path.to_string(), value, origin, changed });
    }

    fn declare<K: ValueKind>(&mut self, key: Key<K>, path: KeyPath, default: DefaultText) {
        // A tenant's keys are those of `tenant_defaults`, which are there already.
        if path.tenant().is_none() {
            self.entries.push(Entry { path, declaration: key.declare(default) });
        }
    }
}

/// The trimmed content of a secret's file, or why there is none.
fn secret_in(path: &Path) -> Result<SecretString, String> {
    let text = read_text(path, SECRET_LIMIT).map_err(|error| format!("The file cannot be read: {error}."))?;
    match text.trim() {
        "" => Err("The file is empty.".into()),
        secret => Ok(SecretString::from(secret)),
    }
}

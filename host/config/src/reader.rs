//! Reads typed settings from the merged layers, and on the way notes every key, every value with its origin, and every
//! problem.

use std::collections::BTreeSet;
use std::fs;

use secrecy::SecretString;

use crate::catalogue::{DefaultText, Entry};
use crate::form::{Form, PathText, Secret};
use crate::key::{Key, KeyPath};
use crate::layer::Merged;
use crate::{Origin, Problem, Row};

pub(crate) struct Reader<'a> {
    merged: &'a Merged,
    refused: BTreeSet<String>,
    section: KeyPath,
    /// The section whose values stand in for missing ones.
    heir_of: Option<KeyPath>,
    entries: Vec<Entry>,
    rows: Vec<Row>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// A reader of `merged`, whose layers have noted problems with the keys `refused`.
    pub(crate) fn new(merged: &'a Merged, refused: BTreeSet<String>) -> Self {
        let (section, heir_of) = (KeyPath::default(), None);
        Self { merged, refused, section, heir_of, entries: Vec::new(), rows: Vec::new(), problems: Vec::new() }
    }

    /// The keys that follow are in this section.
    pub(crate) fn section<'b>(&mut self, names: impl IntoIterator<Item = &'b str>) {
        self.section = KeyPath::new(names);
        self.heir_of = None;
    }

    /// The keys that follow are in this section, and what it lacks comes from `parent`.
    pub(crate) fn section_inheriting<'b>(&mut self, names: impl IntoIterator<Item = &'b str>, parent: &str) {
        self.section(names);
        self.heir_of = Some(KeyPath::new([parent]));
    }

    /// A setting that always has a value.
    pub(crate) fn read<F: Form>(&mut self, key: Key<F>, default: F::Value) -> F::Value {
        let path = self.section.child(key.name);
        let default_shown = key.form.show(&default);
        let value = self.parsed(&key).unwrap_or(default);
        let origin = self.origin(key.name);
        self.note(&path, key.form.show(&value), origin);
        self.register(key, path, DefaultText::Value(default_shown));
        value
    }

    /// A setting that need not have a value; `example` shows the documentation's reader what one looks like.
    pub(crate) fn read_optional<F: Form>(&mut self, key: Key<F>, example: &'static str) -> Option<F::Value> {
        let path = self.section.child(key.name);
        let value = self.parsed(&key);
        let none = if key.form.is_secret() { "unset" } else { "none" };
        let shown = value.as_ref().map_or_else(|| none.to_owned(), |value| key.form.show(value));
        let origin = self.origin(key.name);
        self.note(&path, shown, origin);
        self.register(key, path, DefaultText::Example(example));
        value
    }

    /// A secret that can also be in a file; the later layer wins, and in one layer there must be one of them only.
    pub(crate) fn secret(&mut self, key: Key<Secret>, file: Key<PathText>) -> Option<SecretString> {
        let (path, file_path) = (self.section.child(key.name), self.section.child(file.name));
        let inline = self.read_optional(key, "\"…\"");
        let file = self.read_optional(file, "\"/run/secrets/…\"");
        let (inline_layer, file_layer) = (self.merged.layer_of(&path), self.merged.layer_of(&file_path));
        let Some(file) = file.filter(|_| file_layer >= inline_layer) else { return inline };
        let origin = self.merged.origin(&file_path)?.clone();
        if inline_layer == file_layer {
            let beside = self.merged.origin(&path).map_or_else(String::new, |origin| format!(" ({origin})"));
            let sentence = format!("The secret is given twice: in this file, and directly as {path}{beside}.");
            self.problems.push(Problem::new(origin, sentence, "Keep one of the two.").of(&file_path));
            return None;
        }
        match secret_in(&file) {
            Ok(secret) => {
                self.amend(&path, "set", origin);
                Some(secret)
            }
            Err(sentence) => {
                let problem = Problem::new(origin, sentence, "Name a file that holds the secret and nothing else.");
                self.problems.push(problem.of(&file_path).with_value(PathText.show(&file)));
                None
            }
        }
    }

    /// True if any layer has this key of the current section.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.merged.layer_of(&self.section.child(name)).is_some()
    }

    /// True if the value of this key of the current section comes from this environment variable.
    pub(crate) fn comes_from_variable(&self, name: &str, variable: &str) -> bool {
        let origin = self.merged.origin(&self.section.child(name));
        matches!(origin, Some(Origin::Variable(set)) if set == variable)
    }

    /// Notes that two keys of the current section do not go together, at the one that somebody set.
    pub(crate) fn disagreement(&mut self, keys: [&str; 2], sentence: impl Into<String>, remedy: impl Into<String>) {
        let name = if self.is_set(keys[0]) { keys[0] } else { keys[1] };
        let path = self.section.child(name);
        let names: Vec<&str> = path.names().iter().map(String::as_str).collect();
        self.problem(&names, sentence, remedy);
    }

    /// Notes a problem with what `path` ended up as.
    pub(crate) fn problem(&mut self, path: &[&str], sentence: impl Into<String>, remedy: impl Into<String>) {
        let path = KeyPath::new(path.iter().copied());
        let row = self.rows.iter().find(|row| row.key == path.to_string());
        let origin = row.map_or(Origin::Default, |row| row.origin.clone());
        let problem = Problem::new(origin, sentence, remedy).of(&path);
        self.problems.push(match row {
            Some(row) => problem.with_value(&row.value),
            None => problem,
        });
    }

    /// Notes a problem with the whole.
    pub(crate) fn problem_without_place(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// True if one of `keys`, written with dots, or something in it has a problem already. Then its value is not what
    /// was meant, and a complaint about what follows from it would only confuse.
    pub(crate) fn is_doubtful(&self, keys: &[&str]) -> bool {
        let within =
            |key: &str, of: &str| key.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let noted = self.problems.iter().filter_map(Problem::key);
        noted.chain(self.refused.iter().map(String::as_str)).any(|key| keys.iter().any(|of| within(key, of)))
    }

    /// Says what a value became after other settings were looked at.
    pub(crate) fn amend(&mut self, path: &KeyPath, shown: &str, origin: Origin) {
        let key = path.to_string();
        if let Some(row) = self.rows.iter_mut().find(|row| row.key == key) {
            (row.value, row.origin) = (shown.to_owned(), origin);
        }
    }

    pub(crate) fn tenant_ids(&self) -> Vec<String> {
        self.merged.tenants().keys().cloned().collect()
    }

    pub(crate) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    pub(crate) fn into_rows_and_problems(self) -> (Vec<Row>, Vec<Problem>) {
        (self.rows, self.problems)
    }

    /// The value that somebody gave. One that its form refuses was reported by its layer, so the default may stand in:
    /// nobody gets to see these settings.
    fn parsed<F: Form>(&self, key: &Key<F>) -> Option<F::Value> {
        let value = self.merged.value(&self.section.child(key.name))?;
        key.form.parse(value).ok()
    }

    fn origin(&self, name: &str) -> Origin {
        if let Some(origin) = self.merged.origin(&self.section.child(name)) {
            return origin.clone();
        }
        let inherited = self.heir_of.as_ref().and_then(|parent| self.merged.origin(&parent.child(name)));
        inherited.map_or(Origin::Default, |origin| Origin::Inherited(Box::new(origin.clone())))
    }

    fn note(&mut self, path: &KeyPath, value: String, origin: Origin) {
        self.rows.push(Row { key: path.to_string(), value, origin });
    }

    fn register<F: Form>(&mut self, key: Key<F>, path: KeyPath, default: DefaultText) {
        // A tenant's keys are those of `tenant_defaults`, which are there already.
        if path.tenant().is_none() {
            let (doc, variables) = (key.doc, key.variables);
            self.entries.push(Entry { path, doc, form: Box::new(key.form), default, variables });
        }
    }
}

/// The trimmed content of a secret's file, or why there is none.
fn secret_in(path: &std::path::Path) -> Result<SecretString, String> {
    let text = fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => "The file is not UTF-8 text.".to_owned(),
        _ => format!("The file cannot be read: {error}."),
    })?;
    match text.trim() {
        "" => Err("The file is empty.".into()),
        secret => Ok(SecretString::from(secret)),
    }
}

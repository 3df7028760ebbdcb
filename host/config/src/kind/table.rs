use figment::value::{Dict, Value};
use serde_json::{Map, Value as Json, json};

use super::{ValueError, ValueKind};
use crate::error::nearest;
use crate::json_schema::property;
use crate::key::{Declaration, DefaultText, Key};

/// Reads the keys of a table inside a value, which is one value to the layers. Like [`crate::reader::Reader`], it collects
/// the declarations of the keys on the way, and everything that is wrong.
pub(crate) struct TableReader<'a> {
    values: &'a Dict,
    declarations: Vec<Declaration>,
    pub(crate) errors: Vec<ValueError>,
}

impl<'a> TableReader<'a> {
    fn new(values: &'a Dict) -> Self {
        Self { values, declarations: Vec::new(), errors: Vec::new() }
    }

    /// A key with a default.
    pub(crate) fn read<K: ValueKind>(&mut self, key: Key<K>, default: K::Value) -> K::Value {
        let value = self.parsed(&key);
        let shown = key.kind.show(&default);
        self.declarations.push(key.declare(DefaultText::Value(shown)));
        value.unwrap_or(default)
    }

    /// A key without one; `example` shows in the documentation what a value looks like.
    pub(crate) fn read_optional<K: ValueKind>(&mut self, key: Key<K>, example: &'static str) -> Option<K::Value> {
        let value = self.parsed(&key);
        self.declarations.push(key.declare(DefaultText::Example(example)));
        value
    }

    /// A table whose keys all have defaults.
    pub(crate) fn read_table<T: 'static>(&mut self, key: Key<SubTable<T>>) -> T {
        let value = self.parsed(&key).unwrap_or_else(|| key.kind.read(&Dict::new()).0);
        self.declarations.push(key.declare(DefaultText::Value("{}".to_owned())));
        value
    }

    fn parsed<K: ValueKind>(&mut self, key: &Key<K>) -> Option<K::Value> {
        match key.kind.parse(self.values.get(key.name)?) {
            Ok(value) => Some(value),
            Err(errors) => {
                self.errors.extend(errors.into_iter().map(|error| error.below(key.name)));
                None
            }
        }
    }

    /// Reports every key that was not declared.
    fn finish(mut self) -> (Vec<Declaration>, Vec<ValueError>) {
        let known = || self.declarations.iter().map(|declaration| declaration.name);
        for name in self.values.keys().filter(|name| known().all(|known| known != name.as_str())) {
            let hint = nearest(name, known()).map_or_else(String::new, |near| format!("Did you mean {near}? "));
            let remedy = format!("{hint}All keys are listed in config/quotegate.toml.");
            self.errors.push(ValueError::hidden("There is no such key.", remedy).below(name));
        }
        (self.declarations, self.errors)
    }
}

/// A table, and the function that reads its keys.
pub(crate) struct SubTable<T>(pub(crate) fn(&mut TableReader<'_>) -> T);

impl<T> SubTable<T> {
    fn read(&self, values: &Dict) -> (T, Vec<Declaration>, Vec<ValueError>) {
        let mut reader = TableReader::new(values);
        let value = self.0(&mut reader);
        let (declarations, errors) = reader.finish();
        (value, declarations, errors)
    }

    /// The value, if nothing is wrong with the table.
    pub(crate) fn parse_table(&self, values: &Dict) -> Result<T, Vec<ValueError>> {
        let (value, _, errors) = self.read(values);
        if errors.is_empty() { Ok(value) } else { Err(errors) }
    }
}

impl<T: 'static> ValueKind for SubTable<T> {
    type Value = T;

    fn expects(&self) -> String {
        "a table".into()
    }

    fn schema(&self) -> Json {
        let keys = self.table_keys();
        let properties: Map<_, _> = keys.iter().map(|key| (key.name.to_owned(), property(key, key.name))).collect();
        json!({ "type": "object", "properties": properties, "additionalProperties": false })
    }

    fn parse(&self, value: &Value) -> Result<T, Vec<ValueError>> {
        match value {
            Value::Dict(_, dict) => self.parse_table(dict),
            _ => Err(self.wrong_type(value)),
        }
    }

    fn show(&self, _: &T) -> String {
        "{…}".into()
    }

    fn table_keys(&self) -> Vec<Declaration> {
        self.read(&Dict::new()).1
    }
}

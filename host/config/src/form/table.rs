use std::collections::BTreeSet;

use figment::value::{Dict, Value};

use super::{Form, Refusal};
use crate::problem::nearest;

/// Reads the keys of a table inside a list, which is one value to the layers. Like [`crate::reader::Reader`], it notes
/// on the way which keys there are, for the documentation, and everything that is wrong.
pub(crate) struct TableReader<'a> {
    values: &'a Dict,
    /// What stands before the names in messages: `""` or `"limits."`.
    prefix: &'static str,
    known: BTreeSet<&'static str>,
    pub(crate) keys: Vec<TableKey>,
    pub(crate) refusals: Vec<Refusal>,
}

/// One key, as the documentation shows it.
pub(crate) struct TableKey {
    pub(crate) name: String,
    /// Sentence, what it takes, and the default or an example.
    pub(crate) doc: String,
    pub(crate) example: String,
}

impl<'a> TableReader<'a> {
    pub(crate) fn new(values: &'a Dict, prefix: &'static str) -> Self {
        Self { values, prefix, known: BTreeSet::new(), keys: Vec::new(), refusals: Vec::new() }
    }

    /// A key with a default.
    pub(crate) fn read<F: Form>(&mut self, name: &'static str, doc: &str, form: &F, default: F::Value) -> F::Value {
        let shown = form.show(&default);
        self.optional(name, doc, form, &shown).unwrap_or(default)
    }

    /// A key without one; `example` shows what a value looks like.
    pub(crate) fn optional<F: Form>(
        &mut self,
        name: &'static str,
        doc: &str,
        form: &F,
        example: &str,
    ) -> Option<F::Value> {
        self.known.insert(name);
        let doc = format!("{doc} Takes {}.", form.expects());
        self.keys.push(TableKey { name: format!("{}{name}", self.prefix), doc, example: example.to_owned() });
        match form.parse(self.values.get(name)?) {
            Ok(value) => Some(value),
            Err(refusals) => {
                for refusal in refusals {
                    self.refuse(name, refusal);
                }
                None
            }
        }
    }

    /// Notes a problem with a key.
    pub(crate) fn refuse(&mut self, name: &str, refusal: Refusal) {
        let value = refusal.shown.map_or_else(String::new, |shown| format!(" = {shown}"));
        let sentence = format!("{}{name}{value}: {}", self.prefix, refusal.sentence);
        self.refusals.push(Refusal { index: None, shown: None, sentence, remedy: refusal.remedy });
    }

    /// Notes every key that nobody asked for, and gives what was noted.
    pub(crate) fn finish(mut self) -> (Vec<TableKey>, Vec<Refusal>) {
        for name in self.values.keys().filter(|name| !self.known.contains(name.as_str())) {
            let near = nearest(name, self.known.iter().copied());
            let hint = near.map_or_else(String::new, |near| format!("Did you mean {}{near}? ", self.prefix));
            let sentence = format!("{}{name}: There is no such key.", self.prefix);
            let remedy = format!("{hint}The keys are listed in config/quotegate.toml.");
            self.refusals.push(Refusal { index: None, shown: None, sentence, remedy });
        }
        (self.keys, self.refusals)
    }
}

/// A table that is read further by whoever asked for it.
pub(crate) struct AnyTable(pub(crate) &'static str);

impl Form for AnyTable {
    type Value = Dict;

    fn expects(&self) -> String {
        self.0.into()
    }

    fn parse(&self, value: &Value) -> Result<Dict, Vec<Refusal>> {
        match value {
            Value::Dict(_, dict) => Ok(dict.clone()),
            _ => Err(vec![Refusal::kind(self, value)]),
        }
    }

    fn show(&self, value: &Dict) -> String {
        if value.is_empty() { "{}".into() } else { "{…}".into() }
    }
}

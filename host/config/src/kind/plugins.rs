use std::collections::BTreeSet;

use figment::value::{Dict, Num, Value};
use serde_json::{Value as Json, json};

use super::collections::all;
use super::{FilePath, SubTable, ValueError, ValueKind, type_name};
use crate::key::Declaration;
use crate::settings::{PluginCode, PluginSettings, STANDARD_PLUGINS};

/// A tenant's plugins in order.
pub(crate) struct Plugins;

const REMEDY: &str =
    "Write [[tenants.<id>.plugins]], and below it standard = \"quote-filter\" or path = \"my-filter.wasm\".";
const PLUGIN: SubTable<Option<PluginSettings>> = SubTable(PluginSettings::read);

impl ValueKind for Plugins {
    type Value = Vec<PluginSettings>;

    fn expects(&self) -> String {
        "a list of tables, one per plugin".into()
    }

    fn schema(&self) -> Json {
        let mut plugin = PLUGIN.schema();
        plugin["oneOf"] = json!([{ "required": ["standard"] }, { "required": ["path"] }]);
        json!({ "type": "array", "items": plugin })
    }

    fn parse(&self, value: &Value) -> Result<Vec<PluginSettings>, Vec<ValueError>> {
        let Value::Array(_, elements) = value else {
            return Err(vec![ValueError::new(value, format!("This is {}.", type_name(value)), REMEDY)]);
        };
        let mut names = BTreeSet::new();
        let plugins = all(elements, |element| match plugin(element)? {
            Some(plugin) if !names.insert(plugin.name.clone()) => {
                let sentence = format!("This tenant has two plugins with the name {:?}.", plugin.name);
                let remedy = "Set the key name of one of them, so that logs and heartbeats can tell them apart.";
                Err(vec![ValueError::hidden(sentence, remedy)])
            }
            plugin => Ok(plugin),
        })?;
        Ok(plugins.into_iter().flatten().collect())
    }

    fn show(&self, value: &Vec<PluginSettings>) -> String {
        let one = |plugin: &PluginSettings| match &plugin.code {
            PluginCode::Standard(standard) => format!("{{ standard = {} }}", STANDARD_PLUGINS.show(standard)),
            PluginCode::File(path) => format!("{{ path = {} }}", FilePath.show(path)),
        };
        format!("[{}]", value.iter().map(one).collect::<Vec<_>>().join(", "))
    }

    /// As TOML writes it: `[{ standard = "quote-filter", config = { min_price = 1 } }]`.
    fn raw_from_text(&self, text: &str) -> Value {
        crate::layer::raw_from_toml(text).unwrap_or_else(|| Value::from(text.trim()))
    }

    fn table_keys(&self) -> Vec<Declaration> {
        PLUGIN.table_keys()
    }
}

fn plugin(element: &Value) -> Result<Option<PluginSettings>, Vec<ValueError>> {
    match element {
        Value::Dict(_, dict) if !dict.contains_key("standard") && !dict.contains_key("path") => {
            let missing = ValueError::hidden("The plugin has neither standard nor path.", REMEDY);
            // What else is wrong with it is reported too.
            let others = PLUGIN.parse_table(dict).err().unwrap_or_default();
            Err(others.into_iter().chain([missing]).collect())
        }
        Value::Dict(_, dict) => PLUGIN.parse_table(dict),
        _ => Err(vec![ValueError::new(element, "A plugin must be a table.", REMEDY)]),
    }
}

/// Any table, read as a JSON object.
pub(crate) struct JsonTable;

impl ValueKind for JsonTable {
    type Value = String;

    fn expects(&self) -> String {
        "a table".into()
    }

    fn schema(&self) -> Json {
        json!({ "type": "object" })
    }

    fn parse(&self, value: &Value) -> Result<String, Vec<ValueError>> {
        match value {
            Value::Dict(_, dict) => json_object("", dict).map(|object| object.to_string()).map_err(|error| vec![error]),
            _ => Err(self.wrong_type(value)),
        }
    }

    fn show(&self, value: &String) -> String {
        if value == "{}" { "{}".into() } else { "{…}".into() }
    }
}

/// A raw value as JSON, which has no dates and no NaN. `path` is what an error names.
pub(crate) fn to_json(path: &str, value: &Value) -> Result<Json, ValueError> {
    let cannot = |what: &str| {
        let sentence = format!("This is {what}, which JSON cannot represent.");
        Err(ValueError::hidden(sentence, "Write it as a string, in quotes.").below(path))
    };
    match value {
        Value::String(_, text) => Ok(Json::from(text.as_str())),
        Value::Char(_, letter) => Ok(Json::from(letter.to_string())),
        Value::Bool(_, flag) => Ok(Json::from(*flag)),
        Value::Num(_, Num::I64(number)) => Ok(Json::from(*number)),
        Value::Num(_, number) => match number.to_f64().filter(|number| number.is_finite()) {
            Some(number) => Ok(Json::from(number)),
            None => cannot("not a finite number"),
        },
        Value::Empty(..) => cannot("a date"),
        Value::Dict(_, dict) => json_object(path, dict),
        Value::Array(_, elements) => {
            let elements =
                elements.iter().enumerate().map(|(index, value)| to_json(&format!("{path}[{index}]"), value));
            Ok(Json::Array(elements.collect::<Result<_, _>>()?))
        }
    }
}

fn json_object(path: &str, dict: &Dict) -> Result<Json, ValueError> {
    let dot = if path.is_empty() { "" } else { "." };
    let entries = dict.iter().map(|(name, value)| Ok((name.clone(), to_json(&format!("{path}{dot}{name}"), value)?)));
    Ok(Json::Object(entries.collect::<Result<_, ValueError>>()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(text: &str) -> Result<Vec<PluginSettings>, Vec<String>> {
        let errors = |errors: Vec<ValueError>| {
            errors.iter().map(|error| format!("{} {}", error.sentence_with_key(), error.remedy)).collect()
        };
        Plugins.parse(&Plugins.raw_from_text(text)).map_err(errors)
    }

    #[test]
    fn a_plugin_needs_only_its_code_and_is_named_after_it() {
        let plugins = parse(r#"[{ standard = "quote-filter" }, { path = "a/My Map.wasm", chain = true }]"#).unwrap();
        assert_eq!((plugins[0].name.as_str(), plugins[0].config.as_str()), ("quote-filter", "{}"));
        assert_eq!((plugins[1].name.as_str(), plugins[1].chain), ("my-map", true));
        assert_eq!(Plugins.show(&plugins), r#"[{ standard = "quote-filter" }, { path = "a/My Map.wasm" }]"#);
    }

    #[test]
    fn its_config_table_becomes_json() {
        let text = r#"[{ standard = "field-map", config = { b = [1, 2.5, "x"], a = { t = true } } }]"#;
        assert_eq!(parse(text).unwrap()[0].config, r#"{"a":{"t":true},"b":[1,2.5,"x"]}"#);
        let date = parse(r#"[{ standard = "field-map", config = { a = [{ at = 1979-05-27 }] } }]"#).unwrap_err();
        assert!(date[0].starts_with("config.a[0].at: This is a date"), "{date:?}");
    }

    #[test]
    fn every_mistake_is_named_with_its_key() {
        let text = r#"[{ standard = "quotefilter", on_eror = "drop", limits = { memory_mib = 0, time = 1 } }]"#;
        let found = parse(text).unwrap_err();
        let expected = [
            r#"standard = "quotefilter": This is not one of the choices. Did you mean "quote-filter"?"#,
            "limits.memory_mib = 0: ",
            "limits.time: There is no such key.",
            "on_eror: There is no such key. Did you mean on_error?",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn a_plugin_has_exactly_one_source_of_code() {
        for text in ["[{}]", r#"[{ standard = "field-map", path = "x.wasm" }]"#, r#"[{ path = "ä.wasm" }]"#, "[1]", "x"]
        {
            assert_eq!(parse(text).map_or_else(|found| found.len(), |_| 0), 1, "{text}");
        }
        let twice = parse(r#"[{ standard = "field-map" }, { standard = "field-map" }]"#).unwrap_err();
        assert!(twice[0].contains("two plugins with the name \"field-map\""));
    }
}

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use figment::value::{Dict, Num, Value};

use super::table::{AnyTable, TableKey, TableReader};
use super::{Choice, Flag, Form, Number, PathText, Refusal, Span, Text, Whole, ZeroIsOff, rule};
use crate::settings::{OnError, PluginCode, PluginLimits, PluginSettings, PluginSetup, StandardPlugin};

/// A tenant's plugins in order.
pub(crate) struct Plugins;

const STANDARD: Choice<StandardPlugin> = Choice(&[
    (StandardPlugin::QuoteFilter.name(), StandardPlugin::QuoteFilter),
    (StandardPlugin::FieldMap.name(), StandardPlugin::FieldMap),
]);
const ON_ERROR: Choice<OnError> =
    Choice(&[("drop", OnError::Drop), ("pass", OnError::Pass), ("stop-tenant", OnError::StopTenant)]);
const NAME: Text =
    Text { expects: "a name of small letters, digits and -, at most 64 of them", rule: rule::plugin_name };
const SHA256: Text = Text { expects: "64 hexadecimal digits", rule: rule::sha256 };
const COLLECTIONS: &str = "Collections that its documents may go to, beside the tenant's collection.";
const LIMITS: &str = "What it may use.";
const REMEDY: &str =
    "Write [[tenants.<id>.plugins]] and below it standard = \"quote-filter\" or path = \"my-filter.wasm\".";

impl Form for Plugins {
    type Value = Vec<PluginSettings>;

    fn expects(&self) -> String {
        "a list of tables, each of them a plugin".into()
    }

    fn parse(&self, value: &Value) -> Result<Vec<PluginSettings>, Vec<Refusal>> {
        let Value::Array(_, elements) = value else {
            return Err(vec![Refusal { remedy: REMEDY.into(), ..Refusal::kind(self, value) }]);
        };
        let (mut plugins, mut refusals, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (index, element) in elements.iter().enumerate() {
            match plugin(element) {
                Ok(plugin) if names.insert(plugin.name.clone()) => plugins.push(plugin),
                Ok(plugin) => {
                    let sentence = format!("Two plugins of this tenant are called {:?}.", plugin.name);
                    let remedy = "Give one of them the key name, so that log and heartbeat can tell them apart.".into();
                    refusals.push(Refusal { index: Some(index), shown: None, sentence, remedy });
                }
                Err(found) => {
                    refusals.extend(found.into_iter().map(|refusal| Refusal { index: Some(index), ..refusal }));
                }
            }
        }
        if refusals.is_empty() { Ok(plugins) } else { Err(refusals) }
    }

    fn show(&self, value: &Vec<PluginSettings>) -> String {
        let one = |plugin: &PluginSettings| match &plugin.code {
            PluginCode::Standard(standard) => format!("{{ standard = {} }}", STANDARD.show(standard)),
            PluginCode::File(path) => format!("{{ path = {} }}", PathText.show(path)),
        };
        format!("[{}]", value.iter().map(one).collect::<Vec<_>>().join(", "))
    }

    /// As TOML writes it: `[{ standard = "quote-filter", config = { min_price = 1 } }]`.
    fn lift(&self, text: &str) -> Value {
        crate::layer::raw_from_text(text).unwrap_or_else(|| Value::from(text.trim()))
    }

    fn table_keys(&self) -> Vec<TableKey> {
        let (_, mut keys, _) = read(&Dict::new());
        keys.retain(|key| key.name != "limits");
        keys
    }
}

fn plugin(element: &Value) -> Result<PluginSettings, Vec<Refusal>> {
    let Value::Dict(_, dict) = element else {
        return Err(vec![Refusal::new(element, "This is no table, so it cannot be a plugin.", REMEDY)]);
    };
    let (plugin, _, refusals) = read(dict);
    match plugin {
        Some(plugin) if refusals.is_empty() => Ok(plugin),
        _ => Err(refusals),
    }
}

/// What a plugin is told and may use, from a table that says nothing else.
pub(crate) fn read_setup(dict: &Dict) -> Result<PluginSetup, Vec<Refusal>> {
    let mut table = TableReader::new(dict, "");
    let config = read_config(&mut table);
    let collections = table.read("collections", COLLECTIONS, &Ids, Vec::new());
    let limits = table.read("limits", LIMITS, &AnyTable("a table"), Dict::new());
    let mut limit_table = TableReader::new(&limits, "limits.");
    let limits = read_limits(&mut limit_table);
    let mut refusals = table.finish().1;
    refusals.extend(limit_table.finish().1);
    if refusals.is_empty() { Ok(PluginSetup { config, collections, limits }) } else { Err(refusals) }
}

/// The `config` table as JSON; empty only beside a refusal.
fn read_config(table: &mut TableReader<'_>) -> String {
    let config = table.read("config", "What the plugin is told, as JSON.", &AnyTable("any table"), Dict::new());
    json_object(&config).unwrap_or_else(|sentence| {
        let refusal = Refusal { index: None, shown: None, sentence, remedy: "Write it as a text in quotes.".into() };
        table.refuse("config", refusal);
        String::new()
    })
}

/// `None` only beside a refusal.
fn read(dict: &Dict) -> (Option<PluginSettings>, Vec<TableKey>, Vec<Refusal>) {
    let mut table = TableReader::new(dict, "");
    let standard = table.optional(
        "standard",
        "A plugin that comes with the host. Either this or path is needed.",
        &STANDARD,
        "\"quote-filter\"",
    );
    let path = table.optional("path", "A component's file.", &PathText, "\"my-filter.wasm\"");
    let name = table.optional(
        "name",
        "What log, heartbeat and metrics call it; else the standard plugin's name, or the file's.",
        &NAME,
        "\"my-filter\"",
    );
    let sha256 =
        table.optional("sha256", "The SHA-256 of the component; any other is refused.", &SHA256, "\"9f86d081…\"");
    let config = read_config(&mut table);
    let on_error = table.read(
        "on_error",
        "When it fails its quotes are lost, or pass as if it were not there, or the tenant stops.",
        &ON_ERROR,
        OnError::Drop,
    );
    let chain = table.read("chain", "A map's documents go on to the next map, which may change them.", &Flag, false);
    let collections = table.read("collections", COLLECTIONS, &Ids, Vec::new());
    let limits = table.read("limits", LIMITS, &AnyTable("a table"), Dict::new());

    let mut limit_table = TableReader::new(&limits, "limits.");
    let limits = read_limits(&mut limit_table);
    let (limit_keys, limit_refusals) = limit_table.finish();

    let is_standard = standard.is_some();
    let code = match (standard, path) {
        (Some(standard), None) => Some(PluginCode::Standard(standard)),
        (None, Some(path)) => Some(PluginCode::File(path)),
        (Some(_), Some(_)) => {
            let sentence = "The plugin is given twice: as standard and as path.".to_owned();
            let refusal = Refusal { index: None, shown: None, sentence, remedy: "Keep one of the two.".into() };
            table.refusals.push(refusal);
            None
        }
        (None, None) if dict.contains_key("standard") || dict.contains_key("path") => None,
        (None, None) => {
            let sentence = "The plugin has neither standard nor path, so there is nothing to load.".to_owned();
            table.refusals.push(Refusal { index: None, shown: None, sentence, remedy: REMEDY.into() });
            None
        }
    };
    let name = match (name, &code) {
        (Some(name), _) => name,
        (None, Some(PluginCode::Standard(standard))) => standard.name().to_owned(),
        (None, Some(PluginCode::File(path))) => name_of(path),
        (None, None) => String::new(),
    };
    if code.is_some() && !is_standard && rule::plugin_name(&name).is_err() {
        let sentence = "The file's name makes no name for the plugin.".to_owned();
        let remedy = format!("Give the key name: {}.", NAME.expects);
        table.refusals.push(Refusal { index: None, shown: None, sentence, remedy });
    }
    let (mut keys, mut refusals) = table.finish();
    keys.extend(limit_keys);
    refusals.extend(limit_refusals);
    let plugin = code.map(|code| PluginSettings { name, code, sha256, config, on_error, chain, collections, limits });
    (plugin, keys, refusals)
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

fn read_limits(table: &mut TableReader<'_>) -> PluginLimits {
    let milliseconds = Span::milliseconds(1.0, 60_000.0);
    let ms = Duration::from_millis;
    PluginLimits {
        time_per_call: table.read(
            "time_per_call_ms",
            "The longest call of filter or map, while the machine lets it run.",
            &milliseconds,
            ms(50),
        ),
        time_to_start: table.read(
            "time_to_start_ms",
            "The longest start, configure included.",
            &milliseconds,
            ms(1000),
        ),
        memory_bytes: MIB
            * table.read("memory_mib", "Memory in MiB, over all its memories.", &Whole { min: 1, max: 4096 }, 64),
        host_bytes_per_call: KIB
            * table.read(
                "answer_kib",
                "What one call may hand to the host, in KiB.",
                &Whole { min: 1, max: 65_536 },
                4096,
            ),
        documents_per_quote: table.read(
            "documents_per_quote",
            "Documents that a map may make of one quote.",
            &Whole { min: 1, max: 500 },
            8,
        ),
        document_bytes_per_quote: KIB
            * table.read(
                "document_kib_per_quote",
                "Size of all documents of one quote, in KiB.",
                &Whole { min: 1, max: 10_240 },
                1024,
            ),
        log_lines_per_second: table.read(
            "log_lines_per_second",
            "Log lines a second; more are dropped and counted.",
            &Whole { min: 0, max: 1000 },
            10,
        ),
        share_of_time: table.read(
            "share_of_time",
            "The share of wall time that its calls may take over ten seconds; past it they are left out.",
            &Number { min: 0.001, max: 1.0 },
            0.25,
        ),
        calls_per_instance: table.read(
            "calls_per_instance",
            "A new instance, with fresh memory, after so many calls.",
            &ZeroIsOff { form: Whole { min: 1_u64, max: 1_000_000_000_000 }, meaning: "never" },
            None,
        ),
    }
}

/// `plugins/My Filter.wasm` → `my-filter`.
fn name_of(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    stem.replace([' ', '.', '_'], "-")
}

/// The table as JSON. TOML's dates and its numbers that are none have no place there.
fn json_object(dict: &Dict) -> Result<String, String> {
    let mut object = serde_json::Map::new();
    for (name, value) in dict {
        object.insert(name.clone(), json(name, value)?);
    }
    Ok(serde_json::Value::Object(object).to_string())
}

fn json(path: &str, value: &Value) -> Result<serde_json::Value, String> {
    use serde_json::Value as Json;
    match value {
        Value::String(_, text) => Ok(Json::from(text.as_str())),
        Value::Char(_, letter) => Ok(Json::from(letter.to_string())),
        Value::Bool(_, flag) => Ok(Json::from(*flag)),
        Value::Num(_, Num::I64(number)) => Ok(Json::from(*number)),
        Value::Num(_, number) => {
            let number = number.to_f64().filter(|number| number.is_finite()).map(Json::from);
            number.ok_or_else(|| format!("{path} is not a finite number, which JSON cannot hold."))
        }
        Value::Empty(..) => Err(format!("{path} is a date, which JSON cannot hold.")),
        Value::Dict(_, dict) => {
            let entries = dict.iter().map(|(name, value)| Ok((name.clone(), json(&format!("{path}.{name}"), value)?)));
            Ok(Json::Object(entries.collect::<Result<_, String>>()?))
        }
        Value::Array(_, elements) => {
            let elements = elements.iter().enumerate().map(|(index, value)| json(&format!("{path}[{index}]"), value));
            Ok(Json::Array(elements.collect::<Result<_, _>>()?))
        }
    }
}

/// A list of Firestore ids.
struct Ids;

impl Form for Ids {
    type Value = Vec<String>;

    fn expects(&self) -> String {
        "a list of collections' ids".into()
    }

    fn parse(&self, value: &Value) -> Result<Vec<String>, Vec<Refusal>> {
        const ID: Text = Text { expects: "a collection's id such as \"live_quotes\"", rule: rule::firestore_id };
        let Value::Array(_, elements) = value else { return Err(vec![Refusal::kind(self, value)]) };
        let (mut ids, mut refusals) = (Vec::new(), Vec::new());
        for element in elements {
            match ID.parse(element) {
                Ok(id) => ids.push(id),
                Err(found) => refusals.extend(found),
            }
        }
        if refusals.is_empty() { Ok(ids) } else { Err(refusals) }
    }

    fn show(&self, value: &Vec<String>) -> String {
        format!("{value:?}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(text: &str) -> Result<Vec<PluginSettings>, Vec<String>> {
        let raw = Plugins.lift(text);
        Plugins
            .parse(&raw)
            .map_err(|refusals| refusals.into_iter().map(|r| format!("{} {}", r.sentence, r.remedy)).collect())
    }

    #[test]
    fn a_plugin_needs_only_its_code_and_is_named_after_it() {
        let plugins = parse(r#"[{ standard = "quote-filter" }, { path = "a/My Map.wasm", chain = true }]"#).unwrap();
        assert_eq!((plugins[0].name.as_str(), plugins[0].config.as_str()), ("quote-filter", "{}"));
        assert_eq!((plugins[1].name.as_str(), plugins[1].chain), ("my-map", true));
        assert_eq!(Plugins.show(&plugins), r#"[{ standard = "quote-filter" }, { path = "a/My Map.wasm" }]"#);
    }

    #[test]
    fn its_table_becomes_json() {
        let text = r#"[{ standard = "field-map", config = { b = [1, 2.5, "x"], a = { t = true } } }]"#;
        assert_eq!(parse(text).unwrap()[0].config, r#"{"a":{"t":true},"b":[1,2.5,"x"]}"#);
        let date = parse(r#"[{ standard = "field-map", config = { a = [{ at = 1979-05-27 }] } }]"#).unwrap_err();
        assert!(date[0].starts_with("config: a[0].at is a date"), "{date:?}");
    }

    #[test]
    fn every_mistake_is_named_with_its_key() {
        let text = r#"[{ standard = "quotefilter", on_eror = "drop", limits = { memory_mib = 0, time = 1 } }]"#;
        let found = parse(text).unwrap_err();
        let expected = [
            r#"standard = "quotefilter": This is not one of the choices. Did you mean "quote-filter"?"#,
            "on_eror: There is no such key. Did you mean on_error?",
            "limits.memory_mib = 0: ",
            "limits.time: There is no such key.",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn a_setup_has_the_keys_of_a_tenants_plugin_and_no_others() {
        let table = serde_json::json!({ "config": { "a": 1.5, "b": [true, 3] }, "limits": { "memory_mib": 2 } });
        let setup = PluginSetup::read(table.as_object().unwrap()).unwrap();
        assert_eq!((setup.config.as_str(), setup.limits.memory_bytes), (r#"{"a":1.5,"b":[true,3]}"#, 2 * MIB));
        let table = serde_json::json!({ "path": "x.wasm", "limits": { "memory": 2 } });
        let problems = PluginSetup::read(table.as_object().unwrap()).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:#?}");
        assert!(problems[1].starts_with("limits.memory: There is no such key."), "{problems:#?}");
    }

    #[test]
    fn a_plugin_without_code_or_with_two_is_none() {
        for text in ["[{}]", r#"[{ standard = "field-map", path = "x.wasm" }]"#, r#"[{ path = "ä.wasm" }]"#, "[1]", "x"]
        {
            assert_eq!(parse(text).map_or_else(|found| found.len(), |_| 0), 1, "{text}");
        }
        let twice = parse(r#"[{ standard = "field-map" }, { standard = "field-map" }]"#).unwrap_err();
        assert!(twice[0].contains("called \"field-map\""));
    }
}

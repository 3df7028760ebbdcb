use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::value::{Dict, Value};
use quotegate_document::OnError;

use crate::declare::settings;
use crate::kind::{
    Bool, Choice, CollectionPaths, FilePath, Integer, JsonTable, Number, Size, SubTable, TableReader, Text, TimeSpan,
    ValueError, ZeroIsOff, rule,
};

/// One plugin of a tenant, `[[tenants.<id>.plugins]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginSettings {
    /// Its name in logs, heartbeats, and metrics; no two plugins of a tenant have the same.
    pub name: String,
    /// The component.
    pub code: PluginCode,
    /// The SHA-256 hash that the component must have: 64 hexadecimal digits.
    pub sha256: Option<String>,
    /// Its `config` table as a JSON object.
    pub config: String,
    /// What happens to quotes when it fails.
    pub on_error: OnError,
    /// A map's documents go on to the next map.
    pub chain: bool,
    /// Collections that its documents may name, besides the tenant's own; valid paths.
    pub collections: Vec<String>,
    /// What it may use.
    pub limits: PluginLimits,
}

/// Where a plugin's component is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginCode {
    /// One that comes with the host.
    Standard(StandardPlugin),
    /// A file.
    File(PathBuf),
}

/// The plugins that come with the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StandardPlugin {
    /// Filters by settings.
    QuoteFilter,
    /// Shapes documents by settings.
    FieldMap,
}

impl StandardPlugin {
    /// The name in the settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::QuoteFilter => "quote-filter",
            Self::FieldMap => "field-map",
        }
    }
}

pub(crate) const STANDARD_PLUGINS: Choice<StandardPlugin> = Choice(&[
    (StandardPlugin::QuoteFilter.name(), StandardPlugin::QuoteFilter),
    (StandardPlugin::FieldMap.name(), StandardPlugin::FieldMap),
]);
const ON_ERROR: Choice<OnError> =
    Choice(&[("drop", OnError::Drop), ("pass", OnError::Pass), ("stop-tenant", OnError::StopTenant)]);
const NAME: Text = Text {
    expects: "1 to 64 lowercase letters, digits, and hyphens, beginning with a letter",
    rule: rule::PLUGIN_NAME,
};
const SHA256: Text = Text { expects: "64 hexadecimal digits", rule: rule::SHA256 };

settings! {
    /// A plugin as it is written, except for what [`PluginSetup`] has.
    struct PluginValues from TableReader {
        /// A plugin that comes with quotegate. Either this or path is required.
        standard: Option<StandardPlugin> = "standard", STANDARD_PLUGINS, example "\"quote-filter\"";
        /// The file of a WebAssembly component.
        path: Option<PathBuf> = "path", FilePath, example "\"my-filter.wasm\"";
        /// The plugin's name in logs, heartbeats, and metrics. Unless this is set, it is the name of the standard plugin or
        /// of the file.
        name: Option<String> = "name", NAME, example "\"my-filter\"";
        /// The SHA-256 hash of the component. A component with another hash is rejected.
        sha256: Option<String> = "sha256", SHA256, example "\"9f86d081…\"";
        /// What to do when the plugin fails: drop the quotes, pass them on as if the plugin were not there, or stop the
        /// tenant.
        on_error: OnError = "on_error", ON_ERROR, default OnError::Drop;
        /// Hand the documents of this map to the next map, which may change them.
        chain: bool = "chain", Bool, default false;
    }
}

settings! {
    /// What a plugin is given and may use, also in a project of `quotegate plugin` and in a fixture, where no tenant's
    /// settings say so.
    #[derive(Debug, Clone, PartialEq)]
    pub struct PluginSetup from TableReader {
        /// The plugin's own configuration, which it gets as JSON.
        config: String = "config", JsonTable, default "{}".to_owned();
        /// Collections that the plugin's documents may go to, besides the tenant's own.
        collections: Vec<String> = "collections", CollectionPaths, default Vec::new();
        /// What the plugin may use.
        limits: PluginLimits = "limits", SubTable(PluginLimits::read), table;
    }
}

settings! {
    /// What a plugin may use, `[tenants.<id>.plugins.limits]`.
    #[derive(Debug, Clone, PartialEq)]
    pub struct PluginLimits from TableReader {
        /// The longest that a call of filter or map may run, not counting the time that the machine spends on other work.
        time_per_call: Duration = "time_per_call_ms", TimeSpan::milliseconds(1.0, 60_000.0),
            default Duration::from_millis(50);
        /// The longest that a start may take, including configure.
        time_to_start: Duration = "time_to_start_ms", TimeSpan::milliseconds(1.0, 60_000.0),
            default Duration::from_millis(1000);
        /// The memory of the plugin, over all its memories.
        memory_bytes: usize = "memory_mib", Size::mib(1, 4096), default 64 << 20;
        /// The size of what one call may return to the host.
        host_bytes_per_call: usize = "answer_kib", Size::kib(1, 65_536), default 4096 << 10;
        /// The number of documents that a map may make from one quote.
        documents_per_quote: usize = "documents_per_quote", Integer { min: 1, max: 500 }, default 8;
        /// The total size of the documents that a map makes from one quote.
        document_bytes_per_quote: usize = "document_kib_per_quote", Size::kib(1, 10_240), default 1024 << 10;
        /// Log lines per second. More are dropped and counted.
        log_lines_per_second: u32 = "log_lines_per_second", Integer { min: 0, max: 1000 }, default 10;
        /// The share of one CPU that the plugin's calls may use in the long run. At once, they may use that of 0.4 seconds.
        /// Beyond it, calls are skipped.
        share_of_time: f64 = "share_of_time", Number { min: 0.001, max: 1.0 }, default 0.25;
        /// Replace the plugin's instance, and with it its memory, after this many calls.
        calls_per_instance: Option<u64> = "calls_per_instance",
            ZeroIsOff { kind: Integer { min: 1, max: 1_000_000_000_000 }, meaning: "to keep it" }, default None;
    }
}

impl PluginSettings {
    /// `None` beside an error, or if the table has neither `standard` nor `path`.
    pub(crate) fn read(from: &mut TableReader<'_>) -> Option<Self> {
        let PluginValues { standard, path, name, sha256, on_error, chain } = PluginValues::read(from);
        let PluginSetup { config, collections, limits } = PluginSetup::read(from);
        let code = match (standard, path) {
            (Some(_), Some(_)) => {
                from.errors
                    .push(ValueError::hidden("The plugin has both standard and path.", "Remove one of the two."));
                return None;
            }
            (Some(standard), None) => PluginCode::Standard(standard),
            (None, path) => PluginCode::File(path?),
        };
        let name = name.unwrap_or_else(|| match &code {
            PluginCode::Standard(standard) => standard.name().to_owned(),
            PluginCode::File(path) => name_of(path),
        });
        if rule::plugin_name(&name).is_err() {
            let remedy = format!("Set the key name to {}.", NAME.expects);
            from.errors.push(ValueError::hidden("The file's name does not make a valid name for the plugin.", remedy));
        }
        Some(Self { name, code, sha256, config, on_error, chain, collections, limits })
    }
}

/// `plugins/My Filter.wasm` → `my-filter`.
fn name_of(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    stem.replace([' ', '.', '_'], "-")
}

impl PluginSetup {
    /// Reads a table with the keys `config`, `collections`, and `limits`, each of which is optional.
    ///
    /// # Errors
    /// Everything that is wrong, each as sentences with the key and the remedy.
    pub fn from_json(table: &serde_json::Map<String, serde_json::Value>) -> Result<Self, Vec<String>> {
        let dict = table.iter().map(|(name, value)| (name.clone(), raw(value))).collect();
        SubTable(Self::read).parse_table(&dict).map_err(|errors| {
            errors.into_iter().map(|error| format!("{} {}", error.sentence_with_key(), error.remedy)).collect()
        })
    }
}

/// As a TOML file would hold it: whole numbers have a sign.
fn raw(value: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match value {
        Json::Null => Value::Empty(figment::value::Tag::Default, figment::value::Empty::None),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::from(whole),
            None => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(elements) => Value::from(elements.iter().map(raw).collect::<Vec<_>>()),
        Json::Object(table) => {
            Value::from(table.iter().map(|(name, value)| (name.clone(), raw(value))).collect::<Dict>())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_setup_has_the_keys_of_a_tenants_plugin_and_no_others() {
        let table = serde_json::json!({ "config": { "a": 1.5, "b": [true, 3] }, "limits": { "memory_mib": 2 } });
        let setup = PluginSetup::from_json(table.as_object().unwrap()).unwrap();
        assert_eq!((setup.config.as_str(), setup.limits.memory_bytes), (r#"{"a":1.5,"b":[true,3]}"#, 2 << 20));
        let table = serde_json::json!({ "path": "x.wasm", "limits": { "memory": 2 } });
        let errors = PluginSetup::from_json(table.as_object().unwrap()).unwrap_err();
        assert_eq!(errors.len(), 2, "{errors:#?}");
        assert!(errors[0].starts_with("limits.memory: There is no such key."), "{errors:#?}");
    }
}

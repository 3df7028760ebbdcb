use std::path::PathBuf;
use std::time::Duration;

use figment::value::{Dict, Value};

use crate::form::read_setup;

/// One plugin of a tenant, `[[tenants.<id>.plugins]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginSettings {
    /// What people call it, in log, heartbeat and metrics; no two of a tenant's plugins have the same.
    pub name: String,
    /// Which component.
    pub code: PluginCode,
    /// The SHA-256 that the component must have: 64 hexadecimal digits.
    pub sha256: Option<String>,
    /// Its `config` table as a JSON object.
    pub config: String,
    /// What becomes of quotes when it fails.
    pub on_error: OnError,
    /// A map's documents go on to the next map.
    pub chain: bool,
    /// Collections that its documents may name, beside the tenant's own; legal Firestore ids.
    pub collections: Vec<String>,
    /// What it may use.
    pub limits: PluginLimits,
}

/// What a plugin is told and may use, where no tenant's settings say it: in a project of `quotegate plugin`, in a fixture.
/// Its keys are those of `[[tenants.<id>.plugins]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginSetup {
    /// Its `config` table as a JSON object.
    pub config: String,
    /// Collections that its documents may name, beside the tenant's own; legal Firestore ids.
    pub collections: Vec<String>,
    /// What it may use.
    pub limits: PluginLimits,
}

impl PluginSetup {
    /// Reads a table with the keys `config`, `collections` and `limits`, each of which can be missing.
    ///
    /// # Errors
    /// Everything that is wrong, each as sentences with the key and the remedy.
    pub fn read(table: &serde_json::Map<String, serde_json::Value>) -> Result<Self, Vec<String>> {
        let dict = table.iter().map(|(name, value)| (name.clone(), raw(value))).collect();
        read_setup(&dict).map_err(|refusals| {
            refusals.into_iter().map(|refusal| format!("{} {}", refusal.sentence, refusal.remedy)).collect()
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

/// What becomes of a tenant's quotes when its plugin fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// They are lost.
    Drop,
    /// They go on as though the plugin were not there.
    Pass,
    /// The tenant stops until the plugin is repaired.
    StopTenant,
}

/// What a plugin may use, `[tenants.<id>.plugins.limits]`.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginLimits {
    /// The longest call.
    pub time_per_call: Duration,
    /// The longest start, `configure` included.
    pub time_to_start: Duration,
    /// Bytes over all memories.
    pub memory_bytes: usize,
    /// Bytes that one call may hand to the host.
    pub host_bytes_per_call: usize,
    /// Documents of one quote.
    pub documents_per_quote: usize,
    /// Bytes of one quote's documents.
    pub document_bytes_per_quote: usize,
    /// Log lines a second.
    pub log_lines_per_second: u32,
    /// Share of wall time, 0 to 1.
    pub share_of_time: f64,
    /// Calls of one instance; `None`: any number.
    pub calls_per_instance: Option<u64>,
}

/// As the plugin crate has them.
impl From<&PluginLimits> for quotegate_plugin::PluginLimits {
    fn from(settings: &PluginLimits) -> Self {
        Self {
            time_per_call: settings.time_per_call,
            time_to_start: settings.time_to_start,
            memory_bytes: settings.memory_bytes,
            host_bytes_per_call: settings.host_bytes_per_call,
            documents_per_quote: settings.documents_per_quote,
            document_bytes_per_quote: settings.document_bytes_per_quote,
            log_lines_per_second: settings.log_lines_per_second,
            share_of_time: settings.share_of_time,
            calls_per_instance: settings.calls_per_instance,
            ..Self::default()
        }
    }
}

use quotegate_config::PluginSetup;
use quotegate_plugin::{Collections, PluginLimits};
use quotegate_quote::TenantId;
use serde_json::{Map, Value};

/// What a plugin is told and may use at an author's desk: `tenant`, `collection`, `collections`, `config` and `limits`, with
/// the meaning and the defaults that they have in a tenant's settings. Stands at the top of a `plugin.toml` and of a fixture.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// Whose plugin it is.
    pub tenant: TenantId,
    /// The tenant's own collection, where documents go that name none; and those that they may name beside it.
    pub collections: Collections,
    /// What `configure` gets, a JSON object.
    pub config: String,
    /// What it may use.
    pub limits: PluginLimits,
}

impl Setup {
    /// The keys of a setup.
    pub const KEYS: [&str; 5] = ["tenant", "collection", "collections", "config", "limits"];

    /// Reads a setup; keys that are no setup's are errors.
    ///
    /// # Errors
    /// Everything that is wrong, each as sentences with the key and the remedy.
    pub fn read(mut table: Map<String, Value>) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut text = |name: &str, default: &str| match table.remove(name) {
            None => default.to_owned(),
            Some(Value::String(text)) => text,
            Some(other) => {
                problems.push(format!("{name} = {other}: This is no text. Write it in quotes."));
                default.to_owned()
            }
        };
        let (tenant, collection) = (text("tenant", "test"), text("collection", "live_quotes"));
        let tenant = TenantId::new(&tenant)
            .map_err(|reason| problems.push(format!("tenant = {tenant:?}: This cannot be a tenant's id: {reason}.")));
        let setup = PluginSetup::read(&table).map_err(|found| problems.extend(found));
        let (Ok(tenant), Ok(setup)) = (tenant, setup) else { return Err(problems) };
        match Collections::new(&collection, &setup.collections) {
            Err(reason) => {
                problems.push(format!("collection = {collection:?}: This cannot be a collection: {reason}."))
            }
            Ok(collections) if problems.is_empty() => {
                return Ok(Self { tenant, collections, config: setup.config, limits: plugin_limits(&setup.limits) });
            }
            Ok(_) => {}
        }
        Err(problems)
    }
}

/// The limits of the settings as the plugin room has them.
pub fn plugin_limits(settings: &quotegate_config::PluginLimits) -> PluginLimits {
    PluginLimits {
        time_per_call: settings.time_per_call,
        time_to_start: settings.time_to_start,
        memory_bytes: settings.memory_bytes,
        host_bytes_per_call: settings.host_bytes_per_call,
        documents_per_quote: settings.documents_per_quote,
        document_bytes_per_quote: settings.document_bytes_per_quote,
        log_lines_per_second: settings.log_lines_per_second,
        share_of_time: settings.share_of_time,
        calls_per_instance: settings.calls_per_instance,
        ..PluginLimits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(table: Value) -> Result<Setup, Vec<String>> {
        Setup::read(table.as_object().unwrap().clone())
    }

    #[test]
    fn what_is_not_said_is_as_in_a_tenants_settings() {
        let setup = read(serde_json::json!({})).unwrap();
        assert_eq!((setup.tenant.as_str(), setup.config.as_str()), ("test", "{}"));
        assert_eq!(setup.limits, PluginLimits::default());
        assert_eq!(setup.collections, Collections::new("live_quotes", &[]).unwrap());
    }

    #[test]
    fn everything_that_is_wrong_is_told() {
        let problems = read(serde_json::json!({
            "tenant": "a/b", "collection": 1, "limits": { "memory_mib": 0 }, "confg": {},
        }))
        .unwrap_err();
        assert_eq!(problems.len(), 4, "{problems:#?}");
        assert!(problems.iter().any(|problem| problem.contains("Did you mean config?")), "{problems:#?}");
    }
}

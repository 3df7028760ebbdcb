use std::path::Path;

use quotegate_config::PluginSetup;
use quotegate_document::{CollectionPath, TenantId};
use quotegate_loader::plugin_limits;
use quotegate_plugin::{Collections, PluginLimits};
use serde_json::{Map, Value};

use crate::toml::{self, Dates, FileError, take_text, to_json};

const TENANT: &str = "test";
const COLLECTION: &str = "live_quotes";

/// A plugin's `tenant`, `collection`, `collections`, `config` and `limits` during development, with the meaning and defaults
/// of a tenant's settings. At the top of a `plugin.toml` and of a fixture.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// The tenant's id.
    pub tenant: TenantId,
    /// The tenant's default collection.
    pub collection: CollectionPath,
    /// All collections that documents may name, including the default.
    pub collections: Collections,
    /// The configuration, a JSON object.
    pub config: String,
    /// What it may use.
    pub limits: PluginLimits,
    /// The keys as read, for setups that use this one as their defaults.
    keys: Map<String, Value>,
}

impl Setup {
    /// Reads the setup from a TOML file: a fixture, a `plugin.toml`, or a file with only a setup.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let invalid = |problems| FileError::new(path, problems);
        let mut document = toml::parse(&toml::read(path)?).map_err(|error| invalid(vec![error]))?;
        for other in ["name", "language", "kind", "quotes", "refuses"] {
            document.remove(other);
        }
        let table = to_json(document.as_table(), Dates::Refuse).map_err(|error| invalid(vec![error]))?;
        Self::read(table, None).map_err(invalid)
    }

    /// Reads a setup, with `base` as the defaults. The errors are everything that is wrong, such as a key that does not
    /// exist.
    pub(crate) fn read(mut table: Map<String, Value>, base: Option<&Self>) -> Result<Self, Vec<String>> {
        if let Some(base) = base {
            for (key, value) in &base.keys {
                table.entry(key).or_insert_with(|| value.clone());
            }
        }
        let keys = table.clone();
        let mut problems = Vec::new();
        let mut text = |name: &str, default: &str| {
            let text = take_text(&mut table, name).map_err(|error| problems.push(error));
            text.ok().flatten().unwrap_or_else(|| default.to_owned())
        };
        let (tenant, collection) = (text("tenant", TENANT), text("collection", COLLECTION));
        let tenant = TenantId::new(&tenant)
            .map_err(|reason| problems.push(format!("tenant = {tenant:?}: This is not a valid tenant id: {reason}.")));
        let setup = PluginSetup::from_json(&table).map_err(|found| problems.extend(found));
        let (Ok(tenant), Ok(setup)) = (tenant, setup) else { return Err(problems) };
        let collections = Collections::new(&collection, &setup.collections);
        match CollectionPath::new(&collection).and_then(|collection| Ok((collection, collections?))) {
            Err(reason) => {
                problems.push(format!("collection = {collection:?}: This is not a valid collection: {reason}."));
            }
            Ok((collection, collections)) if problems.is_empty() => {
                let (config, limits) = (setup.config, plugin_limits(&setup.limits));
                return Ok(Self { tenant, collection, collections, config, limits, keys });
            }
            Ok(_) => {}
        }
        Err(problems)
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self::read(Map::new(), None).unwrap_or_else(|_| unreachable!("every key has a default"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(table: &Value) -> Result<Setup, Vec<String>> {
        Setup::read(table.as_object().unwrap().clone(), None)
    }

    #[test]
    fn defaults_are_those_of_a_tenants_settings() {
        let setup = read(&serde_json::json!({})).unwrap();
        assert_eq!(setup, Setup::default());
        assert_eq!((setup.tenant.as_str(), setup.config.as_str()), ("test", "{}"));
        assert_eq!(setup.limits, PluginLimits::default());
        assert_eq!(setup.collections, Collections::new("live_quotes", &[]).unwrap());
    }

    #[test]
    fn the_hosts_own_collections_are_refused() {
        for setup in [serde_json::json!({ "collection": "ops" }), serde_json::json!({ "collections": ["ops"] })] {
            let problems = read(&setup).unwrap_err();
            assert!(problems[0].contains("`ops` is reserved for the host's own documents"), "{problems:#?}");
        }
    }

    #[test]
    fn all_errors_are_reported() {
        let problems = read(&serde_json::json!({
            "tenant": "a/b", "collection": 1, "limits": { "memory_mib": 0 }, "confg": {},
        }))
        .unwrap_err();
        assert_eq!(problems.len(), 4, "{problems:#?}");
        assert!(problems.iter().any(|problem| problem.contains("Did you mean config?")), "{problems:#?}");
    }
}

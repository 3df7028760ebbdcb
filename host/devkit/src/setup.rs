use std::path::{Path, PathBuf};

use quotegate_config::PluginSetup;
use quotegate_document::TenantId;
use quotegate_loader::plugin_limits;
use quotegate_plugin::{Collections, PluginLimits};
use serde_json::{Map, Value};

use crate::toml::{Dates, to_json};

const TENANT: &str = "test";
const COLLECTION: &str = "live_quotes";

/// What a plugin is told and may use at an author's desk: `tenant`, `collection`, `collections`, `config` and `limits`, with
/// the meaning and the defaults that they have in a tenant's settings. Stands at the top of a `plugin.toml` and of a fixture.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// Whose plugin it is.
    pub tenant: TenantId,
    /// The tenant's own collection, where documents go that name none.
    pub collection: String,
    /// That one, and those that documents may name beside it.
    pub collections: Collections,
    /// What `configure` gets, a JSON object.
    pub config: String,
    /// What it may use.
    pub limits: PluginLimits,
    /// As they were read, for whoever adds to them.
    keys: Map<String, Value>,
}

/// Why a file holds no setup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:\n  {}", path.display(), problems.join("\n  "))]
pub struct SetupError {
    /// The file.
    pub path: PathBuf,
    /// Each with key and remedy.
    pub problems: Vec<String>,
}

impl Setup {
    /// Reads a setup; keys that are no setup's are errors.
    ///
    /// # Errors
    /// Everything that is wrong, each as sentences with the key and the remedy.
    pub fn read(table: Map<String, Value>) -> Result<Self, Vec<String>> {
        Self::read_over(table, None)
    }

    /// Reads the setup at the top of a TOML file: a fixture's, a `plugin.toml`'s, or of a file that has nothing else.
    ///
    /// # Errors
    /// As [`Setup::read`], and when the file cannot be read or is not TOML.
    pub fn open(path: &Path) -> Result<Self, SetupError> {
        let problem = |problems| SetupError { path: path.to_owned(), problems };
        let text =
            std::fs::read_to_string(path).map_err(|reason| problem(vec![format!("It cannot be read: {reason}.")]))?;
        let mut document: toml_edit::DocumentMut =
            text.parse().map_err(|error| problem(vec![format!("It is not TOML: {error}")]))?;
        for of_others in ["name", "language", "kind", "quotes", "refuses"] {
            document.remove(of_others);
        }
        let table = to_json(document.as_table(), Dates::Refuse).map_err(|sentence| problem(vec![sentence]))?;
        Self::read(table).map_err(problem)
    }

    /// The same; keys that are missing are taken from `base`.
    pub(crate) fn read_over(mut table: Map<String, Value>, base: Option<&Self>) -> Result<Self, Vec<String>> {
        if let Some(base) = base {
            for (key, value) in &base.keys {
                table.entry(key).or_insert_with(|| value.clone());
            }
        }
        let keys = table.clone();
        let mut problems = Vec::new();
        let mut text = |name: &str, default: &str| match table.remove(name) {
            None => default.to_owned(),
            Some(Value::String(text)) => text,
            Some(other) => {
                problems.push(format!("{name} = {other}: This is no text. Write it in quotes."));
                default.to_owned()
            }
        };
        let (tenant, collection) = (text("tenant", TENANT), text("collection", COLLECTION));
        let tenant = TenantId::new(&tenant)
            .map_err(|reason| problems.push(format!("tenant = {tenant:?}: This cannot be a tenant's id: {reason}.")));
        let setup = PluginSetup::from_json(&table).map_err(|found| problems.extend(found));
        let (Ok(tenant), Ok(setup)) = (tenant, setup) else { return Err(problems) };
        match Collections::new(&collection, &setup.collections) {
            Err(reason) => {
                problems.push(format!("collection = {collection:?}: This cannot be a collection: {reason}."));
            }
            Ok(collections) if problems.is_empty() => {
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
        let (tenant, collection) = (TenantId::new(TENANT), Collections::new(COLLECTION, &[]));
        // The constants are names; a test makes one.
        let (Ok(tenant), Ok(collections)) = (tenant, collection) else { unreachable!("constant names are legal") };
        Self {
            tenant,
            collection: COLLECTION.to_owned(),
            collections,
            config: "{}".to_owned(),
            limits: PluginLimits::default(),
            keys: Map::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(table: &Value) -> Result<Setup, Vec<String>> {
        Setup::read(table.as_object().unwrap().clone())
    }

    #[test]
    fn what_is_not_said_is_as_in_a_tenants_settings() {
        let setup = read(&serde_json::json!({})).unwrap();
        assert_eq!(setup, Setup::default());
        assert_eq!((setup.tenant.as_str(), setup.config.as_str()), ("test", "{}"));
        assert_eq!(setup.limits, PluginLimits::default());
        assert_eq!(setup.collections, Collections::new("live_quotes", &[]).unwrap());
    }

    #[test]
    fn everything_that_is_wrong_is_told() {
        let problems = read(&serde_json::json!({
            "tenant": "a/b", "collection": 1, "limits": { "memory_mib": 0 }, "confg": {},
        }))
        .unwrap_err();
        assert_eq!(problems.len(), 4, "{problems:#?}");
        assert!(problems.iter().any(|problem| problem.contains("Did you mean config?")), "{problems:#?}");
    }
}

//! A folder with settings files, an environment and flags, so that a case is a few lines.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use quotegate_config::{Loaded, Override, Settings, SettingsError, Sources};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

pub(crate) struct Case {
    pub(crate) folder: TempDir,
    pub(crate) sources: Sources,
}

impl Case {
    /// No file, no variable, no flag.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), sources: Sources::default() }
    }

    /// The minimum that loads: one tenant and a dry run.
    pub(crate) fn new() -> Self {
        Self::empty().env("TENANT_ID", "acme").env("DRY_RUN", "1")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the main file.
    pub(crate) fn file(mut self, text: impl AsRef<[u8]>) -> Self {
        let path = self.path("quotegate.toml");
        fs::write(&path, text).unwrap();
        self.sources.file = Some(path);
        self
    }

    /// Writes another file in the folder.
    pub(crate) fn beside(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.sources.environment.push((name.into(), value.into()));
        self
    }

    pub(crate) fn flag(mut self, key: &str, value: &str) -> Self {
        let flag = format!("--{}", key.rsplit('.').next().unwrap_or_default().replace('_', "-"));
        self.sources.overrides.push(Override { key: key.into(), value: value.into(), flag });
        self
    }

    pub(crate) fn try_load(&self) -> Result<Loaded, SettingsError> {
        Settings::load(&self.sources)
    }

    pub(crate) fn load(&self) -> Loaded {
        match self.try_load() {
            Ok(loaded) => {
                assert_eq!(self.schema_errors(), [] as [String; 0], "the schema rejects what the loader accepts");
                loaded
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// What an editor says of the files that are TOML, by their JSON Schemas.
    pub(crate) fn schema_errors(&self) -> Vec<String> {
        let schema = |file: &PathBuf| if Some(file) == self.sources.file.as_ref() { &*SETTINGS } else { &*TENANT };
        let files = self.sources.files();
        let found = files.iter().filter_map(|file| schema(file).error(&fs::read_to_string(file).ok()?));
        found.map(|error| self.tidy(&error)).collect()
    }

    /// What a person sees if the settings are not valid, with the folder called `config`.
    pub(crate) fn error(&self) -> String {
        match self.try_load() {
            Ok(_) => panic!("these settings should be rejected"),
            Err(error) => self.tidy(&error.to_string()),
        }
    }

    pub(crate) fn tidy(&self, text: &str) -> String {
        text.replace(self.folder.path().to_str().unwrap(), "config")
    }
}

/// `key = value (origin)` of one row of the report.
pub(crate) fn row(loaded: &Loaded, key: &str) -> String {
    let row = loaded.rows.iter().find(|row| row.key == key).unwrap_or_else(|| panic!("no row {key}"));
    format!("{} ({})", row.value, row.origin)
}

static SETTINGS: LazyLock<Schema> = LazyLock::new(|| Schema::new(&quotegate_config::settings_schema()));
static TENANT: LazyLock<Schema> = LazyLock::new(|| Schema::new(&quotegate_config::tenant_schema()));

/// A compiled JSON Schema.
struct Schema {
    schemas: boon::Schemas,
    index: boon::SchemaIndex,
}

impl Schema {
    fn new(text: &str) -> Self {
        let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
        compiler.add_resource("schema.json", serde_json::from_str(text).unwrap()).unwrap();
        let index = compiler.compile("schema.json", &mut schemas).unwrap_or_else(|error| panic!("{error:#}"));
        Self { schemas, index }
    }

    /// What is wrong with a text, if it is TOML at all.
    fn error(&self, toml: &str) -> Option<String> {
        let document: toml_edit::DocumentMut = toml.parse().ok()?;
        let value = json_of_table(document.as_table());
        self.schemas.validate(&value, self.index).err().map(|error| error.to_string())
    }
}

fn json_of_table(table: &dyn toml_edit::TableLike) -> Json {
    table.iter().map(|(name, item)| (name.to_owned(), json_of_item(item))).collect()
}

fn json_of_item(item: &toml_edit::Item) -> Json {
    match item {
        toml_edit::Item::None => Json::Null,
        toml_edit::Item::Value(value) => json_of_value(value),
        toml_edit::Item::Table(table) => json_of_table(table),
        toml_edit::Item::ArrayOfTables(tables) => tables.iter().map(|table| json_of_table(table)).collect(),
    }
}

/// As editors do it: a date is a string, and NaN is null.
fn json_of_value(value: &toml_edit::Value) -> Json {
    match value {
        toml_edit::Value::String(text) => json!(text.value()),
        toml_edit::Value::Integer(number) => json!(number.value()),
        toml_edit::Value::Float(number) => json!(number.value()),
        toml_edit::Value::Boolean(flag) => json!(flag.value()),
        toml_edit::Value::Datetime(date) => json!(date.to_string()),
        toml_edit::Value::Array(array) => array.iter().map(json_of_value).collect(),
        toml_edit::Value::InlineTable(table) => json_of_table(table),
    }
}

/// Compares with `tests/golden/{name}.txt`; with UPDATE_GOLDEN=1 in the environment, writes it.
pub(crate) fn golden(name: &str, text: &str) {
    same_as_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.txt")), text);
}

pub(crate) fn same_as_file(path: &Path, text: &str) {
    let text = format!("{}\n", text.trim_end());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, &text).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    let path = path.display();
    assert!(
        text == expected,
        "{path} differs; `UPDATE_GOLDEN=1 cargo test -p quotegate-config` rewrites it. Now it is:\n{text}"
    );
}

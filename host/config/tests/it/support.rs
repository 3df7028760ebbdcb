//! A folder with settings files, an environment and flags, so that a case is a few lines.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its own part, and a test may fail")]

use std::fs;
use std::path::{Path, PathBuf};

use quotegate_config::{Loaded, Override, Problems, Settings, Sources};
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

    /// The least that loads: one tenant and a dry run.
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

    /// Writes a file below the folder.
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

    pub(crate) fn try_load(&self) -> Result<Loaded, Problems> {
        Settings::load(&self.sources)
    }

    pub(crate) fn load(&self) -> Loaded {
        match self.try_load() {
            Ok(loaded) => loaded,
            Err(problems) => panic!("{problems}"),
        }
    }

    /// What a person sees when the settings are bad, with the folder called `config`.
    pub(crate) fn complaint(&self) -> String {
        match self.try_load() {
            Ok(_) => panic!("these settings should be refused"),
            Err(problems) => self.tidy(&problems.to_string()),
        }
    }

    pub(crate) fn tidy(&self, text: &str) -> String {
        text.replace(self.folder.path().to_str().unwrap(), "config")
    }
}

/// `key = value (origin)` of one row of the report.
pub(crate) fn row(loaded: &Loaded, key: &str) -> String {
    let row = loaded.report().iter().find(|row| row.key == key).unwrap_or_else(|| panic!("no row {key}"));
    format!("{} ({})", row.value, row.origin)
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
    assert!(text == expected, "{} differs (UPDATE_GOLDEN=1 rewrites it); now it is:\n{text}", path.display());
}

use std::ffi::OsString;
use std::path::PathBuf;

/// Where settings come from. Later fields win over earlier ones. Not printable, because an environment contains secrets.
#[derive(Clone, Default)]
pub struct Sources {
    /// The TOML file; the folder `tenants` next to it belongs to it.
    pub file: Option<PathBuf>,
    /// The environment, usually `std::env::vars_os()`. Only variables that are settings are read.
    pub environment: Vec<(OsString, OsString)>,
    /// Settings from flags.
    pub overrides: Vec<Override>,
}

/// A setting from a command-line flag. Not printable, because the value may be a secret.
#[derive(Clone)]
pub struct Override {
    /// The key, dotted as in the file: `sink.batch_size`, `tenants.acme.symbols`.
    pub key: String,
    /// The value as text, read like an environment variable.
    pub value: String,
    /// The flag's name with its dashes, for messages.
    pub flag: String,
}

impl Sources {
    /// The files that settings come from, including those of the tenants, and those that do not exist (yet).
    pub fn files(&self) -> Vec<PathBuf> {
        let Some(file) = &self.file else { return Vec::new() };
        // `Settings::load` reports a folder that cannot be listed.
        let mut files = crate::layer::tenant_files(file, &mut Vec::new());
        files.push(file.clone());
        files
    }
}

use std::ffi::OsString;
use std::path::PathBuf;

/// Where settings come from, later ones first in command. Not printable, since an environment holds secrets.
#[derive(Clone, Default)]
pub struct Sources {
    /// The TOML file; the folder `tenants` beside it belongs to it.
    pub file: Option<PathBuf>,
    /// The environment, usually `std::env::vars_os()`. Only names that mean something here are looked at.
    pub environment: Vec<(OsString, OsString)>,
    /// What the flags set.
    pub overrides: Vec<Override>,
}

/// A setting given by a command-line flag. Not printable, since the value may be a secret.
#[derive(Clone)]
pub struct Override {
    /// The key, dotted as in the file: `sink.batch_size`, `tenants.acme.symbols`.
    pub key: String,
    /// The value as text, read as an environment variable's would be.
    pub value: String,
    /// The flag's name with its dashes, for messages.
    pub flag: String,
}

impl Sources {
    /// The files that settings come from, the tenants' own included; those that are not there (yet) too.
    pub fn files(&self) -> Vec<PathBuf> {
        let Some(file) = &self.file else { return Vec::new() };
        // What cannot be listed is told by `Settings::load`.
        let mut files = crate::layer::tenant_files(file, &mut Vec::new());
        files.push(file.clone());
        files
    }
}

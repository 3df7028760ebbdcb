use std::path::{Path, PathBuf};

use quotegate_io::{TEXT_LIMIT, read_text};
use serde_json::{Map, Value};

use crate::setup::Setup;
use crate::toml::{Dates, FileError, parse, to_json};

/// The language of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// With `plugins/sdk`.
    Rust,
    /// With componentize-js.
    JavaScript,
    /// With componentize-py.
    Python,
}

/// What a plugin exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `filter-plugin`.
    Filter,
    /// `map-plugin`.
    Map,
    /// `plugin`.
    Both,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rust, Self::JavaScript, Self::Python];

    /// The name in `plugin.toml` and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::JavaScript => "js",
            Self::Python => "python",
        }
    }

    /// The memory limit of new projects: enough for a small plugin and its runtime. SpiderMonkey collects no garbage before
    /// it has some 90 MiB; the others stay far below the default limit.
    pub(crate) const fn memory_mib(self) -> u32 {
        match self {
            Self::Rust | Self::Python => 64,
            Self::JavaScript => 128,
        }
    }
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Filter, Self::Map, Self::Both];

    /// The name in `plugin.toml` and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Map => "map",
            Self::Both => "both",
        }
    }

    /// The WIT world that exports it.
    pub const fn world(self) -> &'static str {
        match self {
            Self::Filter => "filter-plugin",
            Self::Map => "map-plugin",
            Self::Both => "plugin",
        }
    }
}

/// A folder with a plugin's source, its fixtures and a `plugin.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    /// The folder.
    pub folder: PathBuf,
    /// The plugin's name; its component is `<name>.wasm` in the folder.
    pub name: String,
    /// Its language.
    pub language: Language,
    /// What it exports.
    pub kind: Kind,
    /// The defaults for the setups of fixtures.
    pub setup: Setup,
}

impl Project {
    /// The file that makes a folder a project.
    pub const FILE: &str = "plugin.toml";

    /// Reads the folder's `plugin.toml`.
    pub fn open(folder: &Path) -> Result<Self, FileError> {
        let path = folder.join(Self::FILE);
        let invalid = |problems| FileError::new(&path, problems);
        let text = read_text(&path, TEXT_LIMIT).map_err(|reason| {
            invalid(vec![format!(
                "Cannot read it: {reason}. Every plugin project has this file; `quotegate plugin new NAME` creates one."
            )])
        })?;
        let document = parse(&text).map_err(|error| invalid(vec![error]))?;
        let mut table = to_json(document.as_table(), Dates::Refuse).map_err(|error| invalid(vec![error]))?;
        let mut problems = Vec::new();
        let name = name(&mut table).map_err(|error| problems.push(error));
        let language =
            choice(&mut table, "language", Language::ALL, Language::name).map_err(|error| problems.push(error));
        let kind = choice(&mut table, "kind", Kind::ALL, Kind::name).map_err(|error| problems.push(error));
        let setup = Setup::read(table, None).map_err(|found| problems.extend(found));
        match (name, language, kind, setup) {
            (Ok(name), Ok(language), Ok(kind), Ok(setup)) => {
                Ok(Self { folder: folder.to_owned(), name, language, kind, setup })
            }
            _ => Err(invalid(problems)),
        }
    }

    /// Where `quotegate plugin build` writes the component.
    pub fn component(&self) -> PathBuf {
        self.folder.join(format!("{}.wasm", self.name))
    }

    /// The folder with the fixtures.
    pub fn fixtures(&self) -> PathBuf {
        self.folder.join("fixtures")
    }
}

/// Lowercase letters, digits and `-`, starting with a letter: valid in settings, as a package name in every language, and
/// as a file name on every system.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= 64
        && name.bytes().all(plain)
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
}

fn name(table: &mut Map<String, Value>) -> Result<String, String> {
    match table.remove("name") {
        Some(Value::String(name)) if is_name(&name) => Ok(name),
        Some(other) => Err(format!(
            "name = {other}: This is not a valid plugin name. Use at most 64 lowercase letters, digits and -, starting with a letter."
        )),
        None => Err("name is missing. Write name = \"my-filter\".".to_owned()),
    }
}

fn choice<T: Copy, const N: usize>(
    table: &mut Map<String, Value>,
    key: &str,
    all: [T; N],
    name: impl Fn(T) -> &'static str,
) -> Result<T, String> {
    let names = || all.map(|one| format!("{:?}", name(one))).join(", ");
    match table.remove(key) {
        None => Err(format!("{key} is missing. Use one of {}.", names())),
        Some(value) => all
            .into_iter()
            .find(|one| value.as_str() == Some(name(*one)))
            .ok_or_else(|| format!("{key} = {value}: This is not a valid choice. Use one of {}.", names())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str) -> Result<Project, FileError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(Project::FILE), text).unwrap();
        Project::open(folder.path())
    }

    #[test]
    fn a_project_is_read_with_its_setup() {
        let text =
            "name = \"a-b\"\nlanguage = \"js\"\nkind = \"both\"\n[config]\nmax = 1\n[limits]\ntime_per_call_ms = 5\n";
        let project = open(text).unwrap();
        assert_eq!(
            (project.language, project.kind, project.kind.world()),
            (Language::JavaScript, Kind::Both, "plugin")
        );
        assert_eq!(
            (project.setup.config.as_str(), project.setup.limits.time_per_call.as_millis()),
            (r#"{"max":1}"#, 5)
        );
        assert!(project.component().ends_with("a-b.wasm"));
    }

    #[test]
    fn all_errors_are_reported_at_once() {
        let error = open("name = \"A\"\nlanguage = \"go\"\nfixtures = 1\n").unwrap_err().to_string();
        for part in ["name = \"A\"", "language = \"go\"", "kind is missing", "fixtures: There is no such key."] {
            assert!(error.contains(part), "{part} in {error}");
        }
        assert!(open("name = ").unwrap_err().to_string().contains("is not TOML"));
        let missing = Project::open(Path::new("/no/such/folder")).unwrap_err().to_string();
        assert!(missing.contains("quotegate plugin new"), "{missing}");
    }
}

//! Creates projects from `host/devkit/templates`, which `host/devkit/build.rs` embeds.
//!
//! A project is the union of these folders. Each may be missing, and no path occurs twice:
//!
//! | folder | for |
//! |---|---|
//! | `common/all`, `common/<kind>` | every language: `plugin.toml`, `README.md` and the fixtures, because all languages implement the same rule |
//! | `<language>/all`, `<language>/<kind>` | one language: its source and its tools' files |
//! | `wit/0.1.0` | every project, below `quotegate/` |
//! | `plugins/sdk`, `plugins/sdk-js`, `plugins/sdk-python` | every project of that language, below `quotegate/` |
//!
//! A template called `dot-gitignore` becomes `.gitignore`, so that it does not affect this repository. Only in templates, `{{name}}`, `{{module}}` (the name with _ for -), `{{kind}}`, `{{lang}}`, `{{world}}`, `{{memory_mib}}`, `{{wit}}` and
//! `{{version}}` (of quotegate) are replaced.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::project::{Kind, Language, is_name};

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The WIT version of new projects.
pub(crate) const WIT: &str = "0.1.0";

/// Names that do not work for a Rust package: keywords, standard crates, and the template's dependencies.
const RESERVED: [&str; 53] = [
    "abstract", "alloc", "as", "async", "await", "become", "box", "break", "const", "continue", "core", "crate", "do",
    "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro",
    "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "serde", "static", "std",
    "struct", "super", "test", "trait", "true", "try", "type", "unsafe", "use", "virtual", "where", "while",
];

/// Why a project could not be created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// An invalid name.
    #[error(
        "{0:?} is not a valid plugin name. Use at most 64 lowercase letters, digits and -, starting with a letter: my-filter."
    )]
    Name(String),
    /// A name that does not work in this language.
    #[error("{0:?} is a reserved name in Rust. Choose a longer name: {0}-filter.")]
    Reserved(String),
    /// The folder is in use.
    #[error("{0} already exists and is not empty. Nothing was written. Choose another name, or remove it first.")]
    Exists(PathBuf),
    /// Writing failed.
    #[error("Cannot write {0}: {1}")]
    File(PathBuf, io::Error),
}

/// Creates a project in this folder, which must be empty or missing: existing files are never overwritten. Returns the paths
/// of the files inside the folder.
pub fn create(folder: &Path, name: &str, language: Language, kind: Kind) -> Result<Vec<String>, CreateError> {
    if !is_name(name) {
        return Err(CreateError::Name(name.to_owned()));
    }
    if language == Language::Rust && RESERVED.contains(&name) {
        return Err(CreateError::Reserved(name.to_owned()));
    }
    if occupied(folder) {
        return Err(CreateError::Exists(folder.to_owned()));
    }
    let files = files(name, language, kind);
    for (path, text) in &files {
        let path = folder.join(path);
        write_new(&path, text).map_err(|reason| CreateError::File(path, reason))?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

fn occupied(folder: &Path) -> bool {
    match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => folder.symlink_metadata().is_ok(),
    }
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    File::create_new(path)?.write_all(text.as_bytes())
}

/// The files of a new project: path inside its folder and text, sorted by path.
fn files(name: &str, language: Language, kind: Kind) -> Vec<(String, String)> {
    let template = |path: &'static str| {
        let (owner, rest) = path.split_once('/')?;
        let (for_kind, rest) = rest.split_once('/')?;
        let wanted = (owner == "common" || owner == language.name()) && (for_kind == "all" || for_kind == kind.name());
        wanted.then_some(rest)
    };
    let vendored = |path: &'static str| {
        let rest = path.strip_prefix("wit/");
        rest.or_else(|| path.strip_prefix("sdk/").filter(|_| language == Language::Rust))
    };
    let mut files: Vec<(String, String)> = FILES
        .iter()
        .filter_map(|&(path, text)| match vendored(path) {
            Some(rest) => Some((format!("quotegate/{rest}"), text.to_owned())),
            None => template(path).map(|rest| (without_dot_prefix(rest), fill(text, name, language, kind))),
        })
        .collect();
    if let Some((_, lock)) = files.iter_mut().find(|(path, _)| path == "Cargo.lock") {
        *lock = sorted(lock);
    }
    files.sort_unstable();
    files
}

fn without_dot_prefix(path: &str) -> String {
    let (folder, file) = path.rsplit_once('/').map_or(("", path), |(folder, file)| (folder, file));
    let file = file.strip_prefix("dot-").map_or_else(|| file.to_owned(), |rest| format!(".{rest}"));
    if folder.is_empty() { file } else { format!("{folder}/{file}") }
}

fn fill(text: &str, name: &str, language: Language, kind: Kind) -> String {
    let words = [
        ("{{name}}", name),
        ("{{module}}", &name.replace('-', "_")),
        ("{{kind}}", kind.name()),
        ("{{lang}}", language.name()),
        ("{{world}}", kind.world()),
        ("{{memory_mib}}", &language.memory_mib().to_string()),
        ("{{wit}}", WIT),
        ("{{version}}", env!("CARGO_PKG_VERSION")),
    ];
    words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value))
}

/// Cargo sorts its lock file by name, and would rewrite one in which the new name is out of order.
fn sorted(lock: &str) -> String {
    const SEPARATOR: &str = "\n[[package]]\n";
    let mut blocks = lock.trim_end().split(SEPARATOR);
    let head = blocks.next().unwrap_or_default().to_owned();
    let mut blocks: Vec<&str> = blocks.map(str::trim_end).collect();
    blocks.sort_by_key(|block| block.lines().next());
    blocks.into_iter().fold(head, |lock, block| format!("{lock}{SEPARATOR}{block}\n"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::project::Project;

    fn all() -> impl Iterator<Item = (Language, Kind)> {
        Language::ALL.into_iter().flat_map(|language| Kind::ALL.map(|kind| (language, kind)))
    }

    #[test]
    fn every_new_project_can_be_opened_and_has_no_path_twice() {
        for (language, kind) in all() {
            let folder = tempfile::tempdir().unwrap();
            let written = create(folder.path(), "my-one", language, kind).unwrap();
            assert_eq!(written.iter().collect::<BTreeSet<_>>().len(), written.len(), "{written:?}");
            let project = Project::open(folder.path()).unwrap();
            assert_eq!((project.name.as_str(), project.language, project.kind), ("my-one", language, kind));
            assert!(written.iter().any(|path| path.starts_with("fixtures/")), "{written:?}");
            assert!(written.contains(&"quotegate/wit/0.1.0/world.wit".to_owned()), "{written:?}");
        }
    }

    #[test]
    fn the_examples_vendor_the_same_files_as_a_new_project() {
        let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
        for (name, language) in [("odd-lots", Language::JavaScript), ("volatility-flag", Language::Python)] {
            for (path, text) in files(name, language, Kind::Both) {
                if path.starts_with("quotegate/") {
                    let example = fs::read_to_string(plugins.join(name).join(&path)).unwrap();
                    assert!(
                        example == text,
                        "plugins/{name}/{path} is not what `quotegate plugin new` writes: copy it there"
                    );
                }
            }
        }
    }

    #[test]
    fn no_placeholder_is_left() {
        for (language, kind) in all() {
            for (path, text) in files("my-one", language, kind) {
                let left = text
                    .split("{{")
                    .skip(1)
                    .filter_map(|rest| rest.split_once("}}"))
                    .find(|(word, _)| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()));
                assert_eq!(left.map(|(word, _)| word), None, "{path}");
            }
        }
    }

    #[test]
    fn existing_files_are_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes");
        fs::write(&file, "mine").unwrap();
        for place in [folder.path(), &file] {
            let error = create(place, "my-one", Language::Rust, Kind::Filter).unwrap_err().to_string();
            assert!(error.contains(&place.display().to_string()) && error.contains("already"), "{error}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn invalid_names_are_rejected_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["", "My", "a_b", "1a", "a/b", "fn", "std", "serde"] {
            let place = folder.path().join("place");
            create(&place, name, Language::Rust, Kind::Filter).unwrap_err();
            assert!(!place.exists(), "{name}");
        }
    }
}

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::build::build_folders;
use crate::project::Project;

/// The modification times of a project's source files. Polling them is cheap for so few files, and works on every file
/// system, including mounted ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources(BTreeMap<PathBuf, (SystemTime, u64)>);

impl Sources {
    /// Reads the folder, except hidden files, build folders and the component.
    pub fn of(project: &Project) -> Self {
        let mut sources = Self::default();
        sources.add(&project.folder, project);
        sources
    }

    fn add(&mut self, folder: &Path, project: &Project) {
        // Files that disappear now are noticed at the next poll.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let Ok(file) = entry.metadata() else { continue };
            if name.starts_with('.') || name.ends_with('~') || is_component(&path, project) {
                continue;
            }
            if file.is_dir() {
                if !build_folders(project.language).contains(&name.as_ref()) {
                    self.add(&path, project);
                }
            } else {
                self.0.insert(path, (file.modified().unwrap_or(SystemTime::UNIX_EPOCH), file.len()));
            }
        }
    }

    /// The number of files.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The files that were added, removed or changed since `before`, sorted by path.
    pub fn changed_since<'a>(&'a self, before: &'a Self) -> Vec<&'a Path> {
        let differs = |path: &&PathBuf| self.0.get(*path) != before.0.get(*path);
        let gone = before.0.keys().filter(|path| !self.0.contains_key(*path));
        let mut changed: Vec<&Path> = self.0.keys().filter(differs).chain(gone).map(PathBuf::as_path).collect();
        changed.sort_unstable();
        changed
    }
}

/// Also its temporary file while it is being written.
fn is_component(path: &Path, project: &Project) -> bool {
    let component = project.component();
    path == component || path == component.with_extension("wasm.new")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::create::create;
    use crate::project::{Kind, Language};

    #[test]
    fn saves_are_noticed_and_build_output_is_not() {
        let folder = tempfile::tempdir().unwrap();
        create(folder.path(), "mine", Language::Rust, Kind::Filter).unwrap();
        let project = Project::open(folder.path()).unwrap();
        let before = Sources::of(&project);
        let write = |path: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "// changed").unwrap();
        };
        for made in ["target/debug/out", "mine.wasm", "mine.wasm.new", ".git/index", "src/lib.rs~"] {
            write(made);
        }
        assert_eq!(Sources::of(&project).changed_since(&before), Vec::<&Path>::new());

        write("src/lib.rs");
        write("src/rule.rs");
        fs::remove_file(folder.path().join("README.md")).unwrap();
        let after = Sources::of(&project);
        let names = ["README.md", "src/lib.rs", "src/rule.rs"].map(|name| folder.path().join(name));
        assert_eq!(after.changed_since(&before), names.iter().map(PathBuf::as_path).collect::<Vec<_>>());
        assert_eq!(after.count(), before.count());
    }
}

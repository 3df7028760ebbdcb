use std::path::{Path, PathBuf};

use crate::project::Project;
use crate::setup::Setup;
use crate::toml::FileError;

/// A component and the project that it belongs to.
#[derive(Debug, Clone)]
pub struct Target {
    /// The file.
    pub component: PathBuf,
    /// The plugin's name.
    pub name: String,
    /// The project that it was built from, if there is one.
    pub project: Option<Project>,
}

impl Target {
    /// `path` is a project's folder or a component. A component's project is the one in its folder, if that builds this
    /// file.
    pub fn find(path: &Path) -> Result<Self, FileError> {
        if path.is_dir() {
            let project = Project::open(path)?;
            return Ok(Self { component: project.component(), name: project.name.clone(), project: Some(project) });
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let project = if folder.join(Project::FILE).exists() { Some(Project::open(folder)?) } else { None };
        let project = project.filter(|project| project.component().file_name() == path.file_name());
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let name = project.as_ref().map_or(stem, |project| project.name.clone());
        Ok(Self { component: path.to_owned(), name, project })
    }

    /// The project's setup, or the defaults.
    pub fn setup(&self) -> Setup {
        self.project.as_ref().map_or_else(Setup::default, |project| project.setup.clone())
    }

    /// The project's fixtures, or the folder `fixtures` next to the component.
    pub fn fixtures(&self) -> PathBuf {
        match &self.project {
            Some(project) => project.fixtures(),
            None => self.component.with_file_name("fixtures"),
        }
    }
}

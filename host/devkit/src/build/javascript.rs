//! Builds JavaScript with componentize-js. It reads a single folder, whose path must not contain spaces, so the sources are
//! first copied to a temporary folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::guest::{self, read, temporary_folder, write};
use super::{OnProgress, Progress, missing, tool};
use crate::project::Project;

/// Created by npm.
pub(super) const BUILD_FOLDERS: &[&str] = &["node_modules"];

/// Installs the tool into the project, in the versions of its lock file.
pub(super) const SETUP_COMMAND: Option<&str> = Some("npm ci");

const PACKAGE: &str = "@bytecodealliance/componentize-js";
const DRIVER: &str = include_str!("javascript.mjs");
const REPEATABLE: &str = include_str!("javascript.repeatable.js");

pub(super) fn build(project: &Project, on_progress: &mut OnProgress<'_>) -> Result<Vec<u8>> {
    let Some(package) = package(&project.folder) else {
        let what = format!("{PACKAGE}, which builds JavaScript plugins,");
        return Err(missing(&what, &install(&project.folder)));
    };
    let wit = guest::wit(project)?;
    let work = temporary_folder()?;
    copy_sources(&project.folder, work.path())?;
    let place = |name: &str| work.path().join(name);
    write(&place("quotegate.build.mjs"), DRIVER)?;
    write(&place("quotegate.repeatable.js"), REPEATABLE)?;
    write(&place("quotegate.entry.js"), &entry(project))?;
    on_progress(Progress::Step("building with componentize-js, which takes a few seconds"));
    let mut command = Command::new("node");
    command
        .arg("quotegate.build.mjs")
        .args([&package, &wit])
        .arg(project.kind.world())
        .current_dir(work.path())
        .env("TMPDIR", work.path());
    tool::run(&mut command, ("Node.js", "apt-get install nodejs npm, or see https://nodejs.org"), on_progress)?;
    read(&place("quotegate.component.wasm"))
}

/// The entry module, which connects the author's plugin to the interfaces of its world. Modules run in the order of their
/// imports.
fn entry(project: &Project) -> String {
    let kind = project.kind.name();
    format!(
        "import \"./quotegate.repeatable.js\";\n\
         import * as host from \"quotegate:plugin/host@{}\";\n\
         import {{ exportsOf }} from \"./quotegate/quotegate.js\";\n\
         import plugin from \"./plugin.js\";\n\
         export const {{ lifecycle, filter, mapping }} = exportsOf(plugin, \"{kind}\", host);\n",
        crate::create::WIT
    )
}

fn install(folder: &Path) -> String {
    let locked = folder.join("package-lock.json").exists();
    guest::install(folder, if locked { "npm ci" } else { "npm install" })
}

/// The package's folder: as Node would resolve it from the project, or else from the command on PATH.
fn package(folder: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    let near = folder.ancestors().map(|place| place.join("node_modules").join(PACKAGE));
    near.chain(installed()).find(|place| place.join("package.json").is_file())
}

/// `bin/componentize-js` links to the package's `src/cli.js`.
fn installed() -> Option<PathBuf> {
    let command = tool::find("componentize-js")?.canonicalize().ok()?;
    command.ancestors().find(|place| place.ends_with(PACKAGE)).map(Path::to_owned)
}

/// Copies all modules of the project, and the targets of links.
fn copy_sources(from: &Path, to: &Path) -> Result<()> {
    let folder = || from.display().to_string();
    for entry in fs::read_dir(from).with_context(folder)? {
        let path = entry.with_context(folder)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or(".");
        if name.starts_with('.') || BUILD_FOLDERS.contains(&name) {
            continue;
        }
        let target = to.join(name);
        if path.is_dir() {
            copy_sources(&path, &target)?;
        } else if name.ends_with(".js") || name.ends_with(".mjs") {
            fs::create_dir_all(to).with_context(|| to.display().to_string())?;
            fs::copy(&path, &target).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_modules_and_the_targets_of_links_are_copied() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let library = from.path().join("library.txt");
        write(&library, "the library").unwrap();
        let project = from.path().join("a project");
        for folder in ["lib/deep", "node_modules/other", ".git", "fixtures"] {
            fs::create_dir_all(project.join(folder)).unwrap();
        }
        for file in
            ["plugin.js", "lib/deep/one.mjs", "node_modules/other/two.js", ".git/three.js", "fixtures/four.toml"]
        {
            write(&project.join(file), file).unwrap();
        }
        std::os::unix::fs::symlink(&library, project.join("quotegate.js")).unwrap();
        copy_sources(&project, to.path()).unwrap();
        assert_eq!(fs::read_to_string(to.path().join("quotegate.js")).unwrap(), "the library");
        assert!(to.path().join("lib/deep/one.mjs").is_file() && to.path().join("plugin.js").is_file());
        for absent in ["node_modules", ".git", "fixtures"] {
            assert!(!to.path().join(absent).exists(), "{absent}");
        }
    }

    #[test]
    fn the_tool_is_resolved_like_node_does() {
        let root = tempfile::tempdir().unwrap();
        let (project, package) = (root.path().join("plugins/mine"), root.path().join("node_modules").join(PACKAGE));
        fs::create_dir_all(&project).unwrap();
        fs::create_dir_all(&package).unwrap();
        write(&package.join("package.json"), "{}").unwrap();
        assert_eq!(super::package(&project), Some(package.canonicalize().unwrap()));
    }

    #[test]
    fn the_install_command_works_from_the_current_folder() {
        let folder = tempfile::tempdir().unwrap();
        let command = install(folder.path());
        assert!(command.starts_with("cd '/") && command.ends_with("' && npm install"), "{command}");
        write(&folder.path().join("package-lock.json"), "{}").unwrap();
        assert!(install(folder.path()).ends_with("' && npm ci"));
        assert_eq!(install(Path::new(".")), "npm install");
    }
}

//! Removes the paths of the author's machine from the component, so that the same source gives the same bytes in any
//! folder, for any user.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::super::OnProgress;
use super::super::tool::output_of;
use super::compiler::Compiler;
use super::{CARGO, TARGET};

#[derive(Debug)]
pub(super) struct Paths {
    project: PathBuf,
    workspace: PathBuf,
    /// Folders with unpacked crates. Their names contain the registry, which may be a mirror.
    registries: BTreeSet<PathBuf>,
    /// The folders and names of path and git dependencies.
    packages: BTreeSet<(PathBuf, String)>,
}

impl Paths {
    /// Runs `cargo metadata`, which also fetches missing dependencies.
    pub(super) fn read(mut metadata: Command, folder: &Path, on_progress: &mut OnProgress<'_>) -> Result<Self> {
        metadata.args(["--format-version", "1", "--filter-platform", TARGET]);
        let output = output_of(&mut metadata, CARGO, on_progress)?;
        let metadata = serde_json::from_str(&output).context("the output of cargo metadata")?;
        Ok(Self::of(&metadata, folder))
    }

    fn of(metadata: &Value, folder: &Path) -> Self {
        let path = |value: &Value| value.as_str().map(PathBuf::from).unwrap_or_default();
        let mut paths = Self {
            project: folder.to_owned(),
            workspace: path(&metadata["workspace_root"]),
            registries: BTreeSet::new(),
            packages: BTreeSet::new(),
        };
        for package in metadata["packages"].as_array().into_iter().flatten() {
            let manifest = path(&package["manifest_path"]);
            let Some(place) = manifest.parent() else { continue };
            let source = package["source"].as_str().unwrap_or_default();
            if source.starts_with("registry+") || source.starts_with("sparse+") {
                paths.registries.extend(place.parent().map(Path::to_owned));
            } else {
                paths.packages.insert((place.to_owned(), package["name"].as_str().unwrap_or_default().to_owned()));
            }
        }
        paths
    }

    /// The compiler's flags. The last prefix that matches a path wins.
    pub(super) fn rustflags(&self, name: &str, compiler: &Compiler) -> Vec<OsString> {
        let source = compiler.sysroot.join("lib/rustlib/src/rust");
        // A link on Debian, where the compiler uses both names.
        let real_source = source.canonicalize().unwrap_or_else(|_| source.clone());
        let mut names = vec![
            (compiler.sysroot.clone(), "/rust".to_owned()),
            (real_source, "/rust-src".to_owned()),
            (source, "/rust-src".to_owned()),
        ];
        names.extend(self.registries.iter().map(|folder| (folder.clone(), "/crates".to_owned())));
        names.push((self.workspace.clone(), "/workspace".to_owned()));
        let elsewhere = self.packages.iter().filter(|(folder, _)| !folder.starts_with(&self.workspace));
        names.extend(elsewhere.map(|(folder, package)| (folder.clone(), format!("/{package}"))));
        names.push((self.project.clone(), format!("/{name}")));
        let mut flags: Vec<OsString> = vec!["-Ctarget-feature=+simd128".into()];
        for (folder, name) in names.iter().filter(|(folder, _)| !folder.as_os_str().is_empty()) {
            let mut flag = OsString::from("--remap-path-prefix=");
            flag.push(folder);
            flag.push("=");
            flag.push(name);
            flags.push(flag);
        }
        flags
    }

    /// Paths that are still in the component.
    pub(super) fn left_in(&self, component: &[u8]) -> Vec<&Path> {
        let packages = self.packages.iter().map(|(folder, _)| folder);
        let all = self.registries.iter().chain(packages).chain([&self.project, &self.workspace]);
        let known: BTreeSet<&Path> = all.map(PathBuf::as_path).collect();
        let found = |path: &&Path| contains(component, path.as_os_str().as_encoded_bytes());
        known.into_iter().filter(|path| path.components().count() > 1).filter(found).collect()
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len().max(1)).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_that_cargo_names_is_remapped() {
        let metadata = serde_json::json!({
            "workspace_root": "/home/a/ws",
            "packages": [
                {"name": "serde", "source": "registry+https://x", "manifest_path": "/home/a/.cargo/src/mirror-1/serde-1/Cargo.toml"},
                {"name": "mine", "source": null, "manifest_path": "/home/a/ws/mine/Cargo.toml"},
                {"name": "near", "source": null, "manifest_path": "/home/a/near/Cargo.toml"},
            ],
        });
        let paths = Paths::of(&metadata, Path::new("/home/a/ws/mine"));
        let compiler = Compiler::at("/opt/rust");
        let flags: Vec<_> =
            paths.rustflags("mine", &compiler).iter().map(|flag| flag.to_string_lossy().into_owned()).collect();
        let at = |name: &str| flags.iter().position(|flag| flag == &format!("--remap-path-prefix={name}"));
        assert!(at("/home/a/.cargo/src/mirror-1=/crates").is_some() && at("/home/a/near=/near").is_some(), "{flags:?}");
        assert!(at("/home/a/ws=/workspace") < at("/home/a/ws/mine=/mine"), "{flags:?}");

        let left = paths.left_in(b"..../home/a/near/src/lib.rs....");
        assert_eq!(left, [Path::new("/home/a/near")]);
    }
}

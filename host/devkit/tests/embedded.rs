//! What travels into new projects says the same as this workspace.

#![allow(clippy::unwrap_used, clippy::expect_used)] // in a test, a panic is the message

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use quotegate_devkit::{Kind, Language, create};
use toml_edit::{DocumentMut, Item};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn manifest(path: &str) -> DocumentMut {
    fs::read_to_string(root().join(path)).unwrap().parse().unwrap()
}

/// Version and features, however it is written.
fn wanted(dependency: &Item) -> (String, BTreeSet<String>) {
    if let Some(version) = dependency.as_str() {
        return (version.to_owned(), BTreeSet::new());
    }
    let features = dependency.get("features").and_then(Item::as_array);
    let features = features.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    (dependency["version"].as_str().unwrap_or_default().to_owned(), features)
}

#[test]
fn the_sdk_which_inherits_nothing_has_the_versions_of_the_workspace() {
    let (sdk, workspace) = (manifest("plugins/sdk/Cargo.toml"), manifest("Cargo.toml"));
    for key in ["version", "edition", "rust-version", "license", "publish"] {
        let (own, common) = (&sdk["package"][key], &workspace["workspace"]["package"][key]);
        assert_eq!(own.to_string().trim(), common.to_string().trim(), "{key}");
    }
    let wasm = &sdk["target"]["cfg(target_arch = \"wasm32\")"]["dependencies"];
    let tables = [&sdk["dependencies"], &sdk["dev-dependencies"], wasm];
    let dependencies: Vec<(&str, &Item)> = tables.iter().flat_map(|table| table.as_table().unwrap().iter()).collect();
    assert!(dependencies.iter().any(|(name, _)| *name == "wit-bindgen"));
    for (name, own) in dependencies {
        let ((version, features), common) = (wanted(own), wanted(&workspace["workspace"]["dependencies"][name]));
        assert_eq!(version, common.0, "plugins/sdk/Cargo.toml: {name}");
        assert!(
            features.is_subset(&common.1),
            "plugins/sdk/Cargo.toml: {name} has features that nothing here is tested with"
        );
    }
    for (tool, lint, level) in lints(&sdk["lints"]) {
        let common = workspace["workspace"]["lints"][&tool][&lint].to_string();
        // Without the comment behind it.
        assert_eq!(common.split('#').next().map(str::trim), Some(level.as_str()), "{tool}: {lint}");
    }
}

fn lints(table: &Item) -> Vec<(String, String, String)> {
    let tools = table.as_table().unwrap().iter();
    tools
        .flat_map(|(tool, lints)| {
            let lints = lints.as_table().unwrap().iter();
            lints.map(move |(lint, level)| (tool.to_owned(), lint.to_owned(), level.to_string().trim().to_owned()))
        })
        .collect()
}

/// Cargo takes the workspace's lock file to a new project, and leaves of it what the project needs.
#[test]
fn the_lock_file_of_a_new_project_has_the_versions_of_the_workspace() {
    let folder = tempfile::tempdir().unwrap();
    create(folder.path(), "mine", Language::Rust, Kind::Filter).unwrap();
    let lock = folder.path().join("Cargo.lock");
    let ours = fs::read_to_string(&lock).unwrap();
    fs::copy(root().join("Cargo.lock"), &lock).unwrap();
    let update = ["update", "--workspace", "--offline", "--quiet"];
    let output = Command::new("cargo").args(update).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs = fs::read_to_string(&lock).unwrap();
    let remedy =
        "host/devkit/templates/rust/all/Cargo.lock is old: write there what this test has got, with {{name}} for mine";
    assert!(ours == theirs, "{remedy}:\n{theirs}");
}

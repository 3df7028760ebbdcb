mod compiler;
mod paths;

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use wit_component::ComponentEncoder;

use self::compiler::Compiler;
use self::paths::Paths;
use super::tool::{self, find};
use super::{OnProgress, Progress, missing};
use crate::project::Project;

pub(super) const BUILD_FOLDERS: &[&str] = &["target"];
pub(super) const SETUP_COMMAND: Option<&str> = None;

const TARGET: &str = "wasm32-unknown-unknown";
const CARGO: (&str, &str) =
    ("cargo, which comes with Rust,", "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh");

/// A profile based on the project's `release`, because the project may be in a workspace whose profiles are for servers.
/// `opt-level` is up to the author.
const PROFILE: &str = "quotegate-plugin";
const PROFILE_KEYS: [&str; 8] = [
    "inherits=\"release\"",
    "lto=true",
    "codegen-units=1",
    "panic=\"abort\"",
    "strip=true",
    "debug=false",
    "split-debuginfo=\"off\"",
    "incremental=false",
];

pub(super) fn build(project: &Project, on_progress: &mut OnProgress<'_>) -> Result<Vec<u8>> {
    let folder = project.folder.canonicalize().with_context(|| project.folder.display().to_string())?;
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() {
        bail!("{} does not exist, but plugin.toml says language = \"rust\".", manifest.display());
    }
    find("cargo").ok_or_else(|| missing(CARGO.0, CARGO.1))?;
    let compiler = Compiler::find(&folder, on_progress)?;
    if env::var_os("RUSTFLAGS").is_some_and(|flags| !flags.is_empty()) {
        on_progress(Progress::Step("ignoring RUSTFLAGS, so that builds are reproducible"));
    }
    let hint = if folder.join("target").join(TARGET).exists() { "" } else { "; the first build takes a minute" };
    on_progress(Progress::Step(&format!("compiling {} for {TARGET}{hint}", project.name)));
    let paths = Paths::read(cargo(&folder, "metadata", &compiler), &folder, on_progress)?;

    let mut command = cargo(&folder, "build", &compiler);
    command.args(["--lib", "--profile", PROFILE, "--message-format", "json-render-diagnostics", "--target", TARGET]);
    for key in PROFILE_KEYS {
        command.args(["--config", &format!("profile.{PROFILE}.{key}")]);
    }
    // Overrides the environment and config files, because `watch` and .gitignore expect this folder.
    command.arg("--target-dir").arg(folder.join("target")).args(compiler.flags());
    let rustflags = paths.rustflags(&project.name, &compiler);
    command.env("CARGO_ENCODED_RUSTFLAGS", rustflags.join(OsStr::new("\u{1f}"))).env("CARGO_INCREMENTAL", "0");
    let messages = tool::output_of(&mut command, CARGO, on_progress)?;

    let module = module(&messages, &manifest).ok_or_else(|| no_module(&manifest))?;
    let module = fs::read(&module).with_context(|| module.display().to_string())?;
    let component = component(&module)?;
    for left in paths.left_in(&component) {
        let left = left.display();
        on_progress(Progress::Step(&format!(
            "the component contains the path {left}: check your use of env! and file!"
        )));
    }
    Ok(component)
}

fn cargo(folder: &Path, verb: &str, compiler: &Compiler) -> Command {
    let mut command = Command::new("cargo");
    // Otherwise rustup would install missing toolchains, which may have hundreds of megabytes.
    command.arg(verb).current_dir(folder).env("RUSTUP_AUTO_INSTALL", "0").envs(compiler.environment());
    let plain = |name| env::var_os(name).is_none_or(|value| value.is_empty());
    if std::io::stderr().is_terminal() && plain("NO_COLOR") && plain("CARGO_TERM_COLOR") {
        command.env("CARGO_TERM_COLOR", "always");
    }
    command
}

/// The module built from the project's library, from cargo's JSON messages (one per line).
fn module(messages: &str, manifest: &Path) -> Option<PathBuf> {
    let mut messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let cdylib = Value::from("cdylib");
    let own = |message: &Value| {
        let types = message["target"]["crate_types"].as_array();
        message["reason"] == "compiler-artifact"
            && types.is_some_and(|types| types.contains(&cdylib))
            && message["manifest_path"].as_str().map(Path::new) == Some(manifest)
    };
    let artifact = messages.rfind(own)?;
    let mut files = artifact["filenames"].as_array()?.iter().filter_map(Value::as_str).map(PathBuf::from);
    files.find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}

fn no_module(manifest: &Path) -> anyhow::Error {
    let remedy = "The library is not a cdylib. Write crate-type = [\"cdylib\", \"rlib\"] below [lib].";
    anyhow!("{}: {remedy}", manifest.display())
}

fn component(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default().validate(true).module(module).and_then(|mut encoder| encoder.encode()).map_err(|reason| {
        anyhow!(
            "The library is not a plugin: {reason:#}. End src/lib.rs with export_filter!, export_map! or export_plugin!."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_the_one_of_the_projects_own_library() {
        let line = |manifest: &str, types: &str, file: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"{manifest}","target":{{"crate_types":[{types}]}},"filenames":["{file}"]}}"#
            )
        };
        let messages = [
            line("/p/quotegate/Cargo.toml", r#""cdylib""#, "/t/other.wasm"),
            line("/p/Cargo.toml", r#""bin""#, "/t/tool.wasm"),
            "warning: not JSON".to_owned(),
            line("/p/Cargo.toml", r#""cdylib","rlib""#, "/t/named_otherwise.wasm"),
        ];
        let manifest = Path::new("/p/Cargo.toml");
        assert_eq!(module(&messages.join("\n"), manifest), Some("/t/named_otherwise.wasm".into()));
        assert_eq!(module(&messages[..3].join("\n"), manifest), None);
        assert!(no_module(manifest).to_string().contains("crate-type"));
    }
}

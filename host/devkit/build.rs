//! Embeds what `quotegate plugin new` writes: the templates, the SDK and the WIT. A new project thus gets the SDK that was
//! tested with this host.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Folders, and the prefix of their files in the table.
const SOURCES: [(&str, &str); 5] = [
    ("templates", ""),
    ("../../plugins/sdk", "sdk/plugins/sdk/"),
    ("../../plugins/sdk-js", "js/all/quotegate/"),
    ("../../plugins/sdk-python", "python/all/quotegate/"),
    ("../../wit/0.1.0", "wit/wit/0.1.0/"),
];

fn main() -> io::Result<()> {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let mut table = String::from("pub(super) static FILES: &[(&str, &str)] = &[\n");
    for (folder, name) in SOURCES {
        println!("cargo::rerun-if-changed={folder}");
        add(&here, Path::new(folder), name, &mut table)?;
    }
    table.push_str("];\n");
    fs::write(Path::new(&variable("OUT_DIR")?).join("files.rs"), table)
}

/// `folder` is relative to `here`.
fn add(here: &Path, folder: &Path, name: &str, table: &mut String) -> io::Result<()> {
    let mut entries = fs::read_dir(here.join(folder))?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let file = entry.file_name().to_string_lossy().into_owned();
        let path = folder.join(&file);
        if file.starts_with('.') || matches!(file.as_str(), "target" | "node_modules" | "__pycache__") {
            continue; // created by tools
        }
        if entry.path().is_dir() {
            add(here, &path, &format!("{name}{file}/"), table)?;
        } else {
            let (name, path) = (format!("{name}{file}"), Path::new("/").join(&path));
            // Not with the whole path: cargo does not run this again for a checkout that was moved with its target folder.
            let _ = writeln!(table, "    ({name:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))),");
        }
    }
    Ok(())
}

fn variable(name: &str) -> io::Result<String> {
    env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")))
}

//! Finds a Rust compiler that can build for WebAssembly.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::super::tool::{find, output_of};
use super::super::{OnProgress, Progress, missing};
use super::TARGET;

/// Debian's compiler, which can build the standard library from a Debian package instead of rustup.
const DEBIAN: &str = "/usr/bin/rustc";
const RUSTC: (&str, &str) = ("rustc", "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh");

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Compiler {
    pub(super) sysroot: PathBuf,
    /// Set if Debian's compiler also builds the standard library. The linker is that of the toolchain without the target.
    borrowed_linker: Option<PathBuf>,
}

impl Compiler {
    /// The project's toolchain if it has the target, or else Debian's compiler.
    pub(super) fn find(folder: &Path, on_progress: &mut OnProgress<'_>) -> Result<Self> {
        let program = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let wanted = ["--print", "sysroot", "--print", "host-tuple", "--print", "target-libdir", "--target", TARGET];
        let mut command = Command::new(program);
        command.args(wanted).current_dir(folder).env("RUSTUP_AUTO_INSTALL", "0");
        let output = output_of(&mut command, RUSTC, on_progress)?;
        let mut lines = output.lines();
        let mut line = || lines.next().unwrap_or_default();
        let (sysroot, host, library) = (PathBuf::from(line()), line(), PathBuf::from(line()));
        if library.is_dir() {
            return Ok(Self { sysroot, borrowed_linker: None });
        }
        let linker = sysroot.join("lib/rustlib").join(host).join("bin/rust-lld");
        match debian(on_progress).filter(|_| linker.is_file()) {
            Some(sysroot) => {
                on_progress(Progress::Step(&format!(
                    "this Rust does not have the target {TARGET}: using {DEBIAN} and building the standard library"
                )));
                Ok(Self { sysroot, borrowed_linker: Some(linker) })
            }
            None => {
                let rustup = if find("rustup").is_some() {
                    format!("rustup target add {TARGET}")
                } else {
                    format!("rustup target add {TARGET} (rustup is missing, too: https://rustup.rs)")
                };
                Err(missing(&format!("Rust's target {TARGET}"), &rustup))
            }
        }
    }

    #[cfg(test)]
    pub(super) fn at(sysroot: &str) -> Self {
        Self { sysroot: sysroot.into(), borrowed_linker: None }
    }

    /// Additional arguments for cargo.
    pub(super) fn flags(&self) -> &'static [&'static str] {
        if self.borrowed_linker.is_some() { &["-Zbuild-std=std,panic_abort"] } else { &[] }
    }

    /// Additional environment variables for cargo.
    pub(super) fn environment(&self) -> Vec<(&'static str, OsString)> {
        match &self.borrowed_linker {
            None => Vec::new(),
            Some(linker) => vec![
                ("RUSTC", DEBIAN.into()),
                // Enables `-Zbuild-std` on stable compilers.
                ("RUSTC_BOOTSTRAP", "1".into()),
                ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker.into()),
            ],
        }
    }
}

/// The sysroot of Debian's compiler, if the source of its standard library is there.
fn debian(on_progress: &mut OnProgress<'_>) -> Option<PathBuf> {
    if !Path::new(DEBIAN).is_file() {
        return None;
    }
    let output = output_of(Command::new(DEBIAN).args(["--print", "sysroot"]), RUSTC, on_progress).ok()?;
    let sysroot = PathBuf::from(output.trim_end());
    sysroot.join("lib/rustlib/src/rust/library").is_dir().then_some(sysroot)
}

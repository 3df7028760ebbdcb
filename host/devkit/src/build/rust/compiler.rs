//! The Rust compiler that can build for WebAssembly here.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::tool::{find, output_of};
use super::super::{BuildError, OnProgress, Progress};
use super::TARGET;

/// Debian's compiler, whose package with the standard library's source needs no rustup.
const DEBIAN: &str = "/usr/bin/rustc";
const RUSTC: (&str, &str) = ("rustc", "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh");

/// What compiles.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Compiler {
    /// Of the compiler that is used.
    pub(super) sysroot: PathBuf,
    /// Debian's compiler builds the standard library too, and borrows this linker of the toolchain that lacks the target.
    borrowed_linker: Option<PathBuf>,
}

impl Compiler {
    /// The toolchain of the project's folder if it has the target, else Debian's compiler.
    pub(super) fn find(folder: &Path, on_progress: &mut OnProgress<'_>) -> Result<Self, BuildError> {
        let program = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let wanted = ["--print", "sysroot", "--print", "host-tuple", "--print", "target-libdir", "--target", TARGET];
        let mut command = Command::new(program);
        command.args(wanted).current_dir(folder).env("RUSTUP_AUTO_INSTALL", "0");
        let told = output_of(&mut command, RUSTC, on_progress)?;
        let mut lines = told.lines();
        let mut line = || lines.next().unwrap_or_default();
        let (sysroot, host, library) = (PathBuf::from(line()), line(), PathBuf::from(line()));
        if library.is_dir() {
            return Ok(Self { sysroot, borrowed_linker: None });
        }
        let linker = sysroot.join("lib/rustlib").join(host).join("bin/rust-lld");
        match debian(on_progress).filter(|_| linker.is_file()) {
            Some(sysroot) => {
                on_progress(Progress::Step(&format!(
                    "this Rust has no target {TARGET}: building with {DEBIAN} and its standard library's source"
                )));
                Ok(Self { sysroot, borrowed_linker: Some(linker) })
            }
            None => {
                let rustup = if find("rustup").is_some() {
                    format!("rustup target add {TARGET}")
                } else {
                    format!("rustup target add {TARGET} (rustup is at https://rustup.rs; it is missing here, too)")
                };
                Err(BuildError::Missing { what: format!("Rust's target {TARGET}"), command: rustup })
            }
        }
    }

    #[cfg(test)]
    pub(super) fn at(sysroot: &str) -> Self {
        Self { sysroot: sysroot.into(), borrowed_linker: None }
    }

    /// More of cargo's arguments.
    pub(super) fn flags(&self) -> &'static [&'static str] {
        if self.borrowed_linker.is_some() { &["-Zbuild-std=std,panic_abort"] } else { &[] }
    }

    /// What cargo must find in its environment.
    pub(super) fn environment(&self) -> Vec<(&'static str, OsString)> {
        match &self.borrowed_linker {
            None => Vec::new(),
            Some(linker) => vec![
                ("RUSTC", DEBIAN.into()),
                // Makes the flag above known to compilers that are no nightly.
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
    let told = output_of(Command::new(DEBIAN).args(["--print", "sysroot"]), RUSTC, on_progress).ok()?;
    let sysroot = PathBuf::from(told.trim_end());
    sysroot.join("lib/rustlib/src/rust/library").is_dir().then_some(sysroot)
}

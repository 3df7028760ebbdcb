//! `with-emulator COMMAND…` runs a command with one Firestore emulator for all its tests.

#![allow(clippy::print_stderr)] // for people

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        eprintln!("usage: with-emulator COMMAND…");
        return ExitCode::from(2);
    };
    match quotegate_test_support::with_emulator(Command::new(&program).args(words)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("could not start {}: {error}", program.display());
            ExitCode::FAILURE
        }
    }
}

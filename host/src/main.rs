//! The `quotegate` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    quotegate::cli::main()
}

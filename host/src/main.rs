//! The `quotegate` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    quotegate_cli::main()
}

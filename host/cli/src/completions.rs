use std::io::{ErrorKind, Write, stdout};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::{Cli, Failure};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate completions bash > ~/.local/share/bash-completion/completions/quotegate
  quotegate completions zsh > ~/.zfunc/_quotegate       requires ~/.zfunc in fpath
  quotegate completions fish > ~/.config/fish/completions/quotegate.fish
  quotegate completions elvish >> ~/.config/elvish/rc.elv
  quotegate completions powershell >> $PROFILE")]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    match stdout().write_all(&script(args.shell)) {
        // A reader such as `head` may close the pipe early.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("could not write to standard output").map_err(Failure::Running)
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "quotegate", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_completes_every_verb() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell)).unwrap();
            for verb in Cli::command().get_subcommands() {
                assert!(script.contains(verb.get_name()), "{shell}: {}", verb.get_name());
            }
        }
    }

    #[test]
    fn bash_completes_a_partial_verb() {
        let complete =
            "COMP_WORDS=(quotegate est); COMP_CWORD=1; _quotegate quotegate est quotegate; echo \"${COMPREPLY[@]}\"";
        let text = format!("{}\n{complete}", String::from_utf8(script(Shell::Bash)).unwrap());
        let output = Command::new("bash").args(["--norc", "-c", &text]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "estimate", "{output:?}");
    }
}

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::Cli;
use super::output::out;

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

pub(super) fn run(args: &CompletionsArgs) -> ExitCode {
    out!("{}", script(args.shell));
    ExitCode::SUCCESS
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "quotegate", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_completes_every_verb() {
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for verb in Cli::command().get_subcommands() {
                assert!(script.contains(verb.get_name()), "{shell}: {}", verb.get_name());
            }
        }
    }

    #[test]
    fn bash_completes_a_partial_verb() {
        let complete =
            "COMP_WORDS=(quotegate est); COMP_CWORD=1; _quotegate quotegate est quotegate; echo \"${COMPREPLY[@]}\"";
        let text = format!("{}\n{complete}", script(Shell::Bash));
        let output = Command::new("bash").args(["--norc", "-c", &text]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "estimate", "{output:?}");
    }
}

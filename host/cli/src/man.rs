use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, CommandFactory};

use super::overwrite::Overwrite;
use super::{Cli, Failure};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate man --out ~/.local/share/man/man1           then: man quotegate-run
  quotegate man --out man && man -l man/quotegate.1")]
pub(super) struct ManArgs {
    /// The folder for the pages, one per verb; created if it does not exist
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    #[command(flatten)]
    overwrite: Overwrite,
}

pub(super) fn run(args: &ManArgs) -> Result<ExitCode, Failure> {
    args.overwrite.check(&args.out.join("quotegate.1"))?;
    write_pages(&args.out).map_err(Failure::Running)?;
    Ok(ExitCode::SUCCESS)
}

fn write_pages(folder: &Path) -> anyhow::Result<()> {
    let write = || {
        fs::create_dir_all(folder)?;
        clap_mangen::generate_to(Cli::command(), folder)
    };
    write().with_context(|| format!("could not write man pages to {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page_with_its_flags_and_examples() {
        let folder = tempfile::tempdir().unwrap();
        let pages = folder.path().join("man1");
        write_pages(&pages).unwrap();
        for verb in Cli::command().get_subcommands() {
            assert!(pages.join(format!("quotegate-{}.1", verb.get_name())).is_file(), "{}", verb.get_name());
        }
        let page = fs::read_to_string(pages.join("quotegate-check.1")).unwrap();
        assert!(page.contains("\\-\\-config") && page.contains("Examples:"), "{page}");
    }

    #[test]
    fn an_unwritable_folder_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = write_pages(&file.path().join("man1")).unwrap_err();
        assert!(error.to_string().contains("man1"), "{error}");
    }
}

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;
use quotegate_devkit::{CreateError, Kind, Language, create, setup_command};

use super::common::Paint;
use crate::Failure;
use crate::output::outln;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate plugin new my-filter                          Rust, a filter
  quotegate plugin new my-map --lang js --kind map        JavaScript, a map
  quotegate plugin new mine --kind both --in plugins      a filter and a map, in plugins/mine

The project has a rule of ten lines, its fixtures and everything it is built against. It builds and passes its tests
immediately, in any folder. Nothing is overwritten: a folder that exists and is not empty is an error.")]
pub(super) struct NewArgs {
    /// Lowercase letters, digits and -; names the project's folder and the component
    name: String,
    /// What it is written in
    #[arg(long, value_name = "LANGUAGE", default_value = Language::Rust.name(),
        value_parser = PossibleValuesParser::new(Language::ALL.map(Language::name)))]
    lang: String,
    /// A filter refuses quotes, a map makes the documents, both does both
    #[arg(long, value_name = "KIND", default_value = Kind::Filter.name(),
        value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::name)))]
    kind: String,
    /// The parent of the project's folder
    #[arg(long = "in", value_name = "DIR", default_value = ".")]
    parent: PathBuf,
}

pub(super) fn run(args: &NewArgs) -> Result<ExitCode, Failure> {
    let language = Language::ALL.into_iter().find(|one| one.name() == args.lang).unwrap_or(Language::Rust);
    let kind = Kind::ALL.into_iter().find(|one| one.name() == args.kind).unwrap_or(Kind::Filter);
    let folder = if args.parent == Path::new(".") { PathBuf::from(&args.name) } else { args.parent.join(&args.name) };
    let files = create(&folder, &args.name, language, kind).map_err(|error| match error {
        CreateError::Name(_) | CreateError::Reserved(_) => Failure::Usage(error.into()),
        CreateError::Exists(_) | CreateError::File(..) => Failure::Running(error.into()),
    })?;
    let (vendored, own): (Vec<_>, Vec<_>) = files.iter().partition(|path| path.starts_with("quotegate/"));
    outln!("{}: a plugin ({}, {})", folder.display(), kind.name(), language.name());
    for path in own {
        outln!("  {path}");
    }
    outln!("  quotegate/ ({} files: what it is built against)", vendored.len());
    outln!("\nNext:");
    let commands = [Some(format!("cd {}", quoted(&folder))), setup_command(language).map(str::to_owned)];
    for command in
        commands.into_iter().flatten().chain(["build", "test"].map(|verb| format!("quotegate plugin {verb}")))
    {
        outln!("  {}", Paint::new().bold(&command));
    }
    Ok(ExitCode::SUCCESS)
}

/// Quoted for a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte));
    if plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_space_is_quoted_for_the_shell() {
        assert_eq!(quoted(Path::new("plugins/my-filter")), "plugins/my-filter");
        assert_eq!(quoted(Path::new("my work's/x")), r"'my work'\''s/x'");
    }
}

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use quotegate_config::{Settings, Sources};

use super::Failure;
use super::settings::setting;
use quotegate_loader::precompile;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate precompile --folder /var/cache/quotegate
  quotegate precompile --folder /var/cache/quotegate --config config/quotegate.toml

Made for building an image. The host looks there with plugins.cache_folder set to the folder, which may then be
read-only; it takes code only from folders and files that belong to its own user or to root and that nobody else can
write to. The code runs on every x86-64 server since 2013; where it does not fit, the host compiles anew and says so.")]
pub(super) struct PrecompileArgs {
    /// Where the compiled code goes; made if it is not there
    #[arg(long, value_name = "FOLDER")]
    folder: PathBuf,
    /// Compile the plugins of these settings' tenants too
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) async fn run(args: PrecompileArgs) -> Result<ExitCode, Failure> {
    let settings = match args.config {
        None => None,
        Some(file) => {
            // Nothing is read or written here, so credentials are not asked for.
            let overrides = vec![setting("sink.kind", "dry-run", "precompile")];
            let sources = Sources { file: Some(file), environment: std::env::vars_os().collect(), overrides };
            Some(Settings::load(&sources).map_err(|problems| Failure::Usage(problems.into()))?.settings)
        }
    };
    for plugin in precompile(&args.folder, settings.as_ref()).await? {
        let (kib, seconds) = (plugin.bytes.div_ceil(1024), plugin.took.as_secs_f64());
        println!("{:<24} {} {kib:>7} KiB {seconds:>6.2} s", plugin.name, plugin.sha256);
    }
    Ok(ExitCode::SUCCESS)
}

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use quotegate_config::{Settings, Sources};
use quotegate_loader::precompile;

use super::Failure;
use super::output::outln;
use super::settings::offline;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate precompile --folder /var/cache/quotegate
  quotegate precompile --folder /var/cache/quotegate --config config/quotegate.toml

For building container images. Set plugins.cache_folder to the folder, which may be read-only at run time. The host loads \
code only from folders and files that belong to root or its own user, and that no one else can write. The code runs on \
x86-64 servers made since 2013. If it does not match the machine, the host compiles the plugin again and logs that.")]
pub(super) struct PrecompileArgs {
    /// The folder for the compiled code; created if it does not exist
    #[arg(long, value_name = "FOLDER")]
    folder: PathBuf,
    /// Also compile the plugins of the tenants in these settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) async fn run(args: PrecompileArgs) -> Result<ExitCode, Failure> {
    let settings = match args.config {
        None => None,
        Some(file) => {
            let environment = std::env::vars_os().collect();
            let sources = Sources { file: Some(file), environment, overrides: offline("precompile") };
            Some(Settings::load(&sources).map_err(|problems| Failure::Usage(problems.into()))?.settings)
        }
    };
    for plugin in precompile(&args.folder, settings.as_ref()).await? {
        let (kib, seconds) = (plugin.bytes.div_ceil(1024), plugin.took.as_secs_f64());
        outln!("{:<24} {} {kib:>7} KiB {seconds:>6.2} s", plugin.name, plugin.sha256);
    }
    Ok(ExitCode::SUCCESS)
}

use std::path::PathBuf;

use clap::Args;
use quotegate_config::{Loaded, LogSettings, Override, Settings, Sources};
use quotegate_runtime::log;
use tracing_appender::non_blocking::WorkerGuard;

use super::Failure;

/// The flags of every verb that reads settings.
#[derive(Debug, Clone, Args)]
pub(super) struct SettingsArgs {
    /// TOML file with settings; also reads the files in the folder `tenants` next to it [env: QUOTEGATE_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write nothing; log the documents that would be written
    #[arg(long)]
    dry_run: bool,
    /// Override a setting by its key in the file; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

const CONFIG_VARIABLE: &str = "QUOTEGATE_CONFIG";

impl SettingsArgs {
    /// Reads every layer, with `extra` settings from the verb's own flags on top, and reports all problems at once.
    pub(super) fn load_with(&self, extra: Vec<Override>) -> Result<Loaded, Failure> {
        let sources = self.sources(extra)?;
        Settings::load(&sources).map_err(|errors| Failure::Usage(errors.into()))
    }

    /// Where the settings come from.
    pub(super) fn sources(&self, extra: Vec<Override>) -> Result<Sources, Failure> {
        let mut overrides = Vec::new();
        for pair in &self.set {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(Failure::Usage(anyhow::anyhow!(
                    "quotegate: --set requires KEY=VALUE, as in --set sink.batch_size=50"
                )));
            };
            overrides.push(setting(key.trim(), value, "--set"));
        }
        if self.dry_run {
            overrides.push(setting("sink.kind", "dry-run", "--dry-run"));
        }
        overrides.extend(extra);
        let environment = std::env::vars_os().filter(|(name, _)| name != CONFIG_VARIABLE).collect();
        let variable = std::env::var_os(CONFIG_VARIABLE).filter(|file| !file.is_empty());
        Ok(Sources { file: self.config.clone().or(variable.map(PathBuf::from)), environment, overrides })
    }
}

/// A setting that comes from a flag.
pub(super) fn setting(key: &str, value: impl std::fmt::Display, flag: &str) -> Override {
    Override { key: key.to_owned(), value: value.to_string(), flag: flag.to_owned() }
}

/// The settings of a verb that writes nothing: it needs no credentials and no relay.
pub(super) fn offline(verb: &str) -> Vec<Override> {
    [("sink.kind", "dry-run"), ("relay.url", ""), ("run.role", "all")]
        .map(|(key, value)| setting(key, value, verb))
        .into()
}

/// Reads every layer, and starts the log with the format and level that they have. Problems are reported in that format too.
pub(super) fn load_and_log(sources: &Sources) -> Result<(Loaded, WorkerGuard), Failure> {
    let loaded = Settings::load(sources).map_err(|errors| {
        log::set_format(errors.log_format());
        Failure::Usage(errors.into())
    })?;
    let LogSettings { format, level } = &loaded.settings.log;
    let guard = log::start(*format, level).map_err(Failure::Usage)?;
    Ok((loaded, guard))
}

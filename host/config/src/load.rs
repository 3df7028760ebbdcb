use std::collections::BTreeSet;
use std::path::Path;

use crate::key::TENANTS;
use crate::layer::{Layer, Merged, environment_layer, file_layer, flag_layer, tenant_files_layer};
use crate::reader::Reader;
use crate::schema::Schema;
use crate::switches::Switches;
use crate::{LogFormat, LogSettings, Origin, Row, SettingError, Settings, SettingsError, Sources};

/// Settings without an error, and where each came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What goes inside.
    pub settings: Settings,
    /// Every setting in the order of the documentation, then every tenant's by id. A tenant has a row for each of its
    /// keys, also for the inherited ones.
    pub rows: Vec<Row>,
}

impl Settings {
    /// Reads every source, checks everything, and gives all of the settings or all of the errors. Touches the named
    /// files and no others, and no network.
    pub fn load(sources: &Sources) -> Result<Loaded, SettingsError> {
        let mut errors = Vec::new();
        let merged = match Merged::new(layers(sources, &mut errors)) {
            Ok(merged) => merged,
            // No layer's provider fails, so this would be an error of figment's own.
            Err(error) => {
                let sentence = format!("The layers do not merge: {}.", error.kind);
                errors.push(SettingError::new(Origin::Default, sentence, "Please report this as a bug."));
                Merged::default()
            }
        };
        let mut invalid: BTreeSet<String> = errors.iter().filter_map(|error| error.key.clone()).collect();
        let unusable: Vec<&Path> = errors.iter().filter_map(SettingError::unusable_path).collect();
        if !unusable.is_empty() {
            invalid.insert(TENANTS.to_owned());
        }
        let has_main_file = !unusable.iter().any(|path| Some(*path) == sources.file.as_deref());

        let mut reader = Reader::new(&merged, invalid);
        let settings = Settings::read(&mut reader);
        let Reader { rows, errors: found, .. } = reader;
        // Without the main file, settings are missing for that reason.
        if has_main_file {
            errors.extend(found);
        }
        match settings {
            Some(settings) if errors.is_empty() => {
                let switches = Switches::from_environment(&sources.environment);
                Ok(Loaded { settings: Settings { switches, ..settings }, rows })
            }
            _ => Err(SettingsError::new(errors, log_format(&merged))),
        }
    }
}

/// The format of the log, also if other settings are wrong.
fn log_format(merged: &Merged) -> LogFormat {
    LogSettings::read(Reader::new(merged, BTreeSet::new()).section(["log"], "")).format
}

/// The layers in the order of precedence, the weakest first.
fn layers(sources: &Sources, errors: &mut Vec<SettingError>) -> Vec<Layer> {
    let schema = Schema::new();
    let mut layers = Vec::new();
    if let Some(file) = &sources.file {
        let main = file_layer(file, &schema, errors);
        let tenants = tenant_files_layer(file, &main, &schema, errors);
        layers.extend([main, tenants]);
    }
    let ids: Vec<String> = layers.iter().flat_map(|layer| layer.tenants.keys().cloned()).collect();
    layers.push(environment_layer(&sources.environment, &ids, &schema, errors));
    let known = layers.iter().flat_map(|layer| layer.tenants.keys()).map(String::as_str).collect();
    let flags = flag_layer(&sources.overrides, &known, &schema, errors);
    layers.push(flags);
    layers
}

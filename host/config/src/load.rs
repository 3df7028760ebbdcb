use std::collections::BTreeSet;
use std::path::Path;

use crate::catalogue::Catalogue;
use crate::key::TENANTS;
use crate::layer::{Layer, Merged, environment_layer, file_layer, flag_layer, tenant_files_layer};
use crate::reader::Reader;
use crate::{Origin, Problem, Problems, Row, Settings, Sources};

/// Settings without a problem, and where each came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What goes inside.
    pub settings: Settings,
    rows: Vec<Row>,
}

impl Loaded {
    /// Every setting in the order of the documentation, then every tenant's by id. A tenant has a row for each of its
    /// keys, also for the inherited ones.
    pub fn report(&self) -> &[Row] {
        &self.rows
    }
}

impl Settings {
    /// Reads every source, checks everything, and gives all of the settings or all of the problems. Touches the named
    /// files and no others, and no network.
    ///
    /// # Errors
    ///
    /// Every problem there is: see [`Problems`].
    pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
        let mut problems = Vec::new();
        let merged = match Merged::new(layers(sources, &mut problems)) {
            Ok(merged) => merged,
            // No layer's provider fails, so this would be an error of figment's own.
            Err(error) => {
                let sentence = format!("The layers do not merge: {}.", error.kind);
                problems.push(Problem::new(Origin::Default, sentence, "Report this as a defect."));
                Merged::default()
            }
        };
        let mut refused: BTreeSet<String> = problems.iter().filter_map(Problem::key).map(str::to_owned).collect();
        let unusable: Vec<&Path> = problems.iter().filter_map(Problem::unusable_path).collect();
        if !unusable.is_empty() {
            refused.insert(TENANTS.to_owned());
        }
        let has_main_file = !unusable.iter().any(|path| Some(*path) == sources.file.as_deref());

        let mut reader = Reader::new(&merged, refused);
        let settings = Settings::read(&mut reader);
        let (rows, found) = reader.into_rows_and_problems();
        // Without the main file, what is missing is missing for that reason.
        if has_main_file {
            problems.extend(found);
        }
        match (settings, Problems::from_list(problems)) {
            (Some(settings), None) => Ok(Loaded { settings, rows }),
            (_, Some(problems)) => Err(problems),
            (None, None) => Err(Problems::unexplained()),
        }
    }
}

/// The layers in the order of precedence, the weakest first.
fn layers(sources: &Sources, problems: &mut Vec<Problem>) -> Vec<Layer> {
    let catalogue = Catalogue::new();
    let mut layers = Vec::new();
    if let Some(file) = &sources.file {
        let main = file_layer(file, &catalogue, problems);
        let tenants = tenant_files_layer(file, &main, &catalogue, problems);
        layers.extend([main, tenants]);
    }
    let ids: Vec<String> = layers.iter().flat_map(|layer| layer.tenants().keys().cloned()).collect();
    layers.push(environment_layer(&sources.environment, &ids, &catalogue, problems));
    layers.push(flag_layer(&sources.overrides, &catalogue, problems));
    layers
}

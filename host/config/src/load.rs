use crate::catalogue::Catalogue;
use crate::layer::{Layer, Merged, environment_layer, file_layer, flag_layer, tenant_file_layers};
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
        let refused = problems.iter().filter_map(Problem::key).map(str::to_owned).collect();
        let mut reader = Reader::new(&merged, refused);
        let settings = Settings::read(&mut reader);
        let (rows, found) = reader.into_rows_and_problems();
        // With a file that cannot be read, everything that is missing is missing for that reason.
        let unread = problems.iter().any(Problem::is_of_a_whole_file);
        if !unread {
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
        let main = file_layer(file, &catalogue, problems).unwrap_or_default();
        let tenants = tenant_file_layers(file, &main, &catalogue, problems);
        layers.push(main);
        layers.extend(tenants);
    }
    let ids: Vec<String> = layers.iter().flat_map(|layer| layer.tenants().keys().cloned()).collect();
    layers.push(environment_layer(&sources.environment, &ids, &catalogue, problems));
    layers.push(flag_layer(&sources.overrides, &catalogue, problems));
    layers
}

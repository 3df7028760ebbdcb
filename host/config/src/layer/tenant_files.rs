use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::Layer;
use super::file::{tenant_file_layer, unreadable};
use crate::catalogue::Catalogue;
use crate::key::{KeyPath, TENANTS};
use crate::{Origin, Problem};

/// One layer for every `tenants/*.toml` beside `file`, in the order of their names. A tenant that `main` or an earlier
/// file has already is a problem: which of the two counts would depend on a file's name.
pub(crate) fn tenant_file_layers(
    file: &Path,
    main: &Layer,
    catalogue: &Catalogue,
    problems: &mut Vec<Problem>,
) -> Vec<Layer> {
    let mut seen: BTreeMap<String, Origin> = main.tenants().clone();
    let mut layers = Vec::new();
    for path in tenant_files(file, problems) {
        let Some(layer) = tenant_file_layer(&path, catalogue, problems) else { continue };
        for (id, origin) in layer.tenants() {
            if let Some(first) = seen.insert(id.clone(), origin.clone()) {
                let sentence = format!("The tenant {id:?} is there twice: here and at {first}.");
                let remedy = "Keep one of the two, or give this one another id.";
                problems.push(Problem::new(origin.clone(), sentence, remedy).of(&KeyPath::new([TENANTS, id])));
            }
        }
        layers.push(layer);
    }
    layers
}

/// The files to read, sorted. Hidden ones (an editor's leftovers, a mounted volume's own links) are no tenants.
fn tenant_files(file: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let folder = file.parent().unwrap_or(Path::new("")).join(TENANTS);
    let listing = fs::read_dir(&folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut paths: Vec<PathBuf> = match listing {
        Ok(paths) => paths,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            problems.push(unreadable(&folder, "folder", &error));
            return Vec::new();
        }
    };
    let hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml") && !hidden(path));
    paths.sort();
    paths
}

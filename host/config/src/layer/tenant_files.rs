use std::fs;
use std::path::{Path, PathBuf};

use super::Layer;
use super::file::{TenantFile, unreadable};
use crate::Problem;
use crate::catalogue::Catalogue;
use crate::key::{KeyPath, TENANTS};

/// What all `tenants/*.toml` beside `file` say. A tenant that `main` or an earlier file has already is a problem: which
/// of the two counts would depend on a file's name.
pub(crate) fn tenant_files_layer(
    file: &Path,
    main: &Layer,
    catalogue: &Catalogue,
    problems: &mut Vec<Problem>,
) -> Layer {
    let mut layer = Layer::default();
    for path in tenant_files(file, problems) {
        let Some(tenant) = TenantFile::open(&path, problems) else { continue };
        if let Some(first) = main.tenants().get(&tenant.id).or_else(|| layer.tenants().get(&tenant.id)) {
            let sentence = format!("The tenant {:?} is there twice: here and at {first}.", tenant.id);
            let remedy = "Keep one of the two, or give this one another id.";
            let problem = Problem::new(tenant.origin.clone(), sentence, remedy);
            problems.push(problem.of(&KeyPath::new([TENANTS, &tenant.id])));
        }
        tenant.read_into(&mut layer, catalogue, problems);
    }
    layer
}

/// The files to read, sorted. Hidden ones (an editor's leftovers, a mounted volume's own links) are no tenants.
pub(crate) fn tenant_files(file: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
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

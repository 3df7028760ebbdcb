use std::fs;
use std::path::{Path, PathBuf};

use super::Layer;
use super::file::{TenantFile, unreadable};
use crate::SettingError;
use crate::key::{KeyPath, TENANTS};
use crate::schema::Schema;

/// The settings in all `tenants/*.toml` next to `file`. A tenant that `main` or an earlier file has too is an error,
/// because which of the two applies would depend on the name of a file.
pub(crate) fn tenant_files_layer(file: &Path, main: &Layer, schema: &Schema, errors: &mut Vec<SettingError>) -> Layer {
    let mut layer = Layer::default();
    for path in tenant_files(file, errors) {
        let Some(tenant) = TenantFile::open(&path, errors) else { continue };
        if let Some(first) = main.tenants.get(&tenant.id).or_else(|| layer.tenants.get(&tenant.id)) {
            let sentence = format!("The tenant {:?} is defined twice, here and at {first}.", tenant.id);
            let remedy = "Remove one of the two, or change the ID of this one.";
            let error = SettingError::new(tenant.origin.clone(), sentence, remedy);
            errors.push(error.of(&KeyPath::new([TENANTS, &tenant.id])));
        }
        tenant.read_into(&mut layer, schema, errors);
    }
    layer
}

/// The files to read, sorted. Hidden files, such as an editor's or a mounted volume's, are not tenants.
pub(crate) fn tenant_files(file: &Path, errors: &mut Vec<SettingError>) -> Vec<PathBuf> {
    let folder = file.parent().unwrap_or(Path::new("")).join(TENANTS);
    let listing = fs::read_dir(&folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut paths: Vec<PathBuf> = match listing {
        Ok(paths) => paths,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            errors.push(unreadable(&folder, "folder", &error));
            return Vec::new();
        }
    };
    let hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml") && !hidden(path));
    paths.sort();
    paths
}

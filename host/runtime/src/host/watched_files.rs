use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::PathBuf;
use std::time::SystemTime;

/// Settings files that are watched for changes.
pub struct WatchedFiles {
    list: Box<dyn Fn() -> Vec<PathBuf> + Send + Sync>,
    /// Before anything was read. A start takes seconds if it compiles, and what changes meanwhile must not be missed.
    before: FileStates,
    since: SystemTime,
}

/// Modification time and size, if the file exists.
type FileState = Option<(SystemTime, u64)>;
/// Of each watched file, by path.
pub(super) type FileStates = BTreeMap<PathBuf, FileState>;

impl WatchedFiles {
    /// Watches what `list` returns, which may change: files of tenants come and go.
    pub fn new(list: impl Fn() -> Vec<PathBuf> + Send + Sync + 'static) -> Self {
        let since = SystemTime::now();
        let before = list().into_iter().map(|path| (path.clone(), state(std::fs::metadata(path)))).collect();
        Self { list: Box::new(list), before, since }
    }

    /// The states of all settings files, and of `plugins`, before they were read.
    pub(super) async fn before(&self, plugins: &[PathBuf]) -> FileStates {
        let mut states = self.before.clone();
        for path in plugins {
            let state = state(tokio::fs::metadata(path).await);
            states.entry(path.clone()).or_insert(state.filter(|(modified, _)| *modified <= self.since));
        }
        states
    }

    /// The states of all settings files, and of `plugins`.
    pub(super) async fn now(&self, plugins: &[PathBuf]) -> FileStates {
        let mut states = FileStates::new();
        for path in (self.list)().into_iter().chain(plugins.iter().cloned()) {
            let state = state(tokio::fs::metadata(&path).await);
            states.insert(path, state);
        }
        states
    }
}

fn state(metadata: std::io::Result<Metadata>) -> FileState {
    let metadata = metadata.ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_changes_while_the_host_starts_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (settings, plugin) = (folder.path().join("quotegate.toml"), folder.path().join("plugin.wasm"));
        std::fs::write(&settings, "old").unwrap();
        std::fs::write(&plugin, "old").unwrap();
        let (list, plugins) = (vec![settings.clone()], vec![plugin.clone()]);
        let files = || {
            let list = list.clone();
            WatchedFiles::new(move || list.clone())
        };

        let watched = files();
        assert_eq!(watched.before(&plugins).await, watched.now(&plugins).await, "nothing has changed");
        std::fs::write(&settings, "longer").unwrap();
        assert_ne!(watched.before(&plugins).await, watched.now(&plugins).await, "the settings");

        let watched = files();
        let later = SystemTime::now() + std::time::Duration::from_secs(1);
        std::fs::File::open(&plugin).unwrap().set_modified(later).unwrap();
        assert_ne!(watched.before(&plugins).await, watched.now(&plugins).await, "the plugin");
    }
}

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::engine::EngineProblem;
use crate::prepare::Sha256Hash;

/// Compiled code on disk, one file a plugin, engine and processor.
///
/// A file holds a hash of its rest, keyed by where it belongs, and the code. Compiled code is as good as the host's own,
/// so three things guard it: the folder belongs to this user and nobody else may write to it; the hash finds what a
/// disk or a crash broke; the key finds what was renamed. Whatever does not fit is compiled again and overwritten.
#[derive(Debug)]
pub(crate) struct CodeCache {
    folder: PathBuf,
    compatibility: u64,
}

const HASH_LEN: usize = 32;

impl CodeCache {
    pub(crate) fn open(folder: &Path, engine: &Engine) -> Result<Self, EngineProblem> {
        let problem = |reason: String| EngineProblem::Cache { folder: folder.into(), reason };
        create_private(folder).map_err(|error| problem(error.to_string()))?;
        check_private(folder).map_err(problem)?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { folder: folder.into(), compatibility: hasher.finish() })
    }

    /// The component compiled before from the bytes with this hash, if its file is whole.
    pub(crate) fn load(&self, engine: &Engine, plugin: &Sha256Hash) -> Option<Component> {
        let path = self.path(plugin);
        check_private(&path).ok()?;
        let file = std::fs::read(&path).ok()?;
        let (hash, code) = file.split_at_checked(HASH_LEN)?;
        if hash != self.seal(plugin, code).as_slice() {
            tracing::warn!(event_type = "plugin_cache_broken", plugin = %plugin, "a file of compiled code is damaged or foreign; the plugin is compiled again");
            return None;
        }
        deserialize(engine, code)
            .inspect_err(|error| tracing::warn!(event_type = "plugin_cache_broken", plugin = %plugin, error = format!("{error:#}"), "compiled code does not fit this engine; the plugin is compiled again"))
            .ok()
    }

    /// Whether there is a file for it; whether it is whole is seen when it is loaded.
    pub(crate) fn has(&self, plugin: &Sha256Hash) -> bool {
        self.path(plugin).is_file()
    }

    /// Keeps compiled code. Failing is no harm: the next start compiles again.
    pub(crate) fn store(&self, plugin: &Sha256Hash, component: &Component) {
        if let Err(error) = self.try_store(plugin, component) {
            tracing::warn!(event_type = "plugin_cache_write", plugin = %plugin, error = format!("{error:#}"), "compiled code could not be kept; the next start compiles again");
        }
    }

    fn try_store(&self, plugin: &Sha256Hash, component: &Component) -> wasmtime::Result<()> {
        let code = component.serialize()?;
        let path = self.path(plugin);
        // A name of its own, so that two hosts with one folder do not write into one file; the rename is atomic.
        let draft = self.folder.join(format!("{plugin}.{}.{:016x}.draft", std::process::id(), fastrand::u64(..)));
        let written = create_new_private(&draft).and_then(|mut file| {
            file.write_all(&self.seal(plugin, &code))?;
            file.write_all(&code)?;
            file.sync_all()?;
            std::fs::rename(&draft, &path)
        });
        if written.is_err() {
            let _gone = std::fs::remove_file(&draft);
        }
        Ok(written?)
    }

    fn path(&self, plugin: &Sha256Hash) -> PathBuf {
        self.folder.join(format!("{plugin}-{:016x}.code", self.compatibility))
    }

    fn seal(&self, plugin: &Sha256Hash, code: &[u8]) -> [u8; HASH_LEN] {
        let mut hash = Sha256::new();
        hash.update(b"quotegate compiled plugin 1");
        hash.update(plugin.as_bytes());
        hash.update(self.compatibility.to_le_bytes());
        hash.update(code);
        hash.finalize().into()
    }
}

#[allow(unsafe_code, reason = "wasmtime marks loading of compiled code unsafe; the proof is in the body")]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the code must come unchanged from `Component::serialize`. `code` was read from a file that belongs to this
    // user and that nobody else can write, in a folder of which the same holds (`check_private`), so this program
    // wrote it; its hash shows that it is what was written; bytes, not a mapped file, so it cannot change from here on.
    // wasmtime itself checks that version, settings and processor fit. Nothing that a tenant hands in comes this way.
    unsafe { Component::deserialize(engine, code) }
}

#[cfg(unix)]
fn create_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(unix)]
fn create_new_private(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Refuses links, files of other users, and what group or others may write.
#[cfg(unix)]
fn check_private(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    if metadata.is_symlink() {
        return Err("it is a symbolic link".into());
    }
    if metadata.mode() & 0o022 != 0 {
        return Err("others may write to it".into());
    }
    if metadata.uid() != own_user() {
        return Err("it belongs to another user".into());
    }
    Ok(())
}

#[cfg(unix)]
fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

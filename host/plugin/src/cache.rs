use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{Config, Engine};

use crate::engine::EngineError;
use crate::prepare::Sha256Hash;

/// Compiled code on disk, one file a plugin and kind of engine.
///
/// There are two kinds: what this very engine compiled, for exactly this processor, and what was compiled ahead of time
/// for any processor of the last ten years ([`crate::Precompiler`]). The first is preferred.
///
/// A file holds a hash of its rest, keyed by where it belongs, and the code. Compiled code is as good as the host's own,
/// so three things guard it: the folder and the file belong to this user, or to root, and nobody else may write to them;
/// the hash finds what a disk or a crash broke; the key finds what was renamed. Whatever does not fit is compiled again,
/// and overwritten where the folder can be written to.
#[derive(Debug)]
pub(crate) struct CodeCache {
    folder: PathBuf,
    /// This engine's own, then the portable one.
    kinds: [String; 2],
    /// It has been told that nothing can be kept.
    told: AtomicBool,
}

const HASH_LEN: usize = 32;
/// Not a hundredth of what a component may have as source; a file that is larger is none of ours.
const MAX_FILE: u64 = 1 << 30;

impl CodeCache {
    /// `None` if the folder is not there and cannot be made: then every start compiles, as without a cache.
    /// `portable`: the kind of code that was compiled ahead of time for engines like this one.
    pub(crate) fn open(folder: &Path, engine: &Engine, portable: String) -> Result<Option<Self>, EngineError> {
        let problem = |reason: String| EngineError::Cache { folder: folder.into(), reason };
        match create_folder(folder) {
            Ok(()) => {}
            Err(error) if cannot_write(&error) => {
                tracing::warn!(event_type = "plugin_cache_off", folder = %folder.display(), %error, "the folder for compiled plugins cannot be made; every start compiles");
                return Ok(None);
            }
            Err(error) => return Err(problem(error.to_string())),
        }
        let metadata = std::fs::symlink_metadata(folder).map_err(|error| problem(error.to_string()))?;
        check_private(&metadata).map_err(|reason| problem(reason.into()))?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let kinds = [format!("{:016x}", hasher.finish()), portable];
        Ok(Some(Self { folder: folder.into(), kinds, told: AtomicBool::new(false) }))
    }

    /// The component compiled before from the bytes with this hash, if one of its files is whole.
    pub(crate) fn load(&self, engine: &Engine, plugin: &Sha256Hash) -> Option<Component> {
        self.kinds.iter().find_map(|kind| self.load_kind(engine, plugin, kind))
    }

    fn load_kind(&self, engine: &Engine, plugin: &Sha256Hash, kind: &str) -> Option<Component> {
        let file = read_private(&self.path(plugin, kind))?;
        let (hash, code) = file.split_at_checked(HASH_LEN)?;
        if hash != seal(plugin, kind, code).as_slice() {
            tracing::warn!(event_type = "plugin_cache_broken", plugin = %plugin, "a file of compiled code is damaged or foreign; the plugin is compiled again");
            return None;
        }
        deserialize(engine, code)
            .inspect_err(|error| tracing::warn!(event_type = "plugin_cache_broken", plugin = %plugin, error = format!("{error:#}"), "compiled code does not fit this engine or processor; the plugin is compiled again"))
            .ok()
    }

    /// Whether there is a file for it; whether it is whole is seen when it is loaded.
    pub(crate) fn has(&self, plugin: &Sha256Hash) -> bool {
        self.kinds.iter().any(|kind| self.path(plugin, kind).is_file())
    }

    /// Keeps code that this engine compiled. Failing is no harm: the next start compiles again.
    pub(crate) fn store(&self, plugin: &Sha256Hash, component: &Component) {
        let [own, _] = &self.kinds;
        match component.serialize().map(|code| keep(&self.path(plugin, own), plugin, own, &code)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) if cannot_write(&error) => {
                if !self.told.swap(true, Relaxed) {
                    tracing::info!(event_type = "plugin_cache_read_only", folder = %self.folder.display(), "the folder for compiled plugins is read-only; what is not in it is compiled at every start");
                }
            }
            Ok(Err(error)) => warn_not_kept(plugin, &error),
            Err(error) => warn_not_kept(plugin, &format_args!("{error:#}")),
        }
    }

    fn path(&self, plugin: &Sha256Hash, kind: &str) -> PathBuf {
        file_path(&self.folder, plugin, kind)
    }
}

fn warn_not_kept(plugin: &Sha256Hash, error: &dyn std::fmt::Display) {
    tracing::warn!(event_type = "plugin_cache_write", plugin = %plugin, %error, "compiled code could not be kept; the next start compiles again");
}

pub(crate) fn file_path(folder: &Path, plugin: &Sha256Hash, kind: &str) -> PathBuf {
    folder.join(format!("{plugin}-{kind}.code"))
}

/// Writes a file that [`CodeCache::load`] takes, whole or not at all.
pub(crate) fn keep(path: &Path, plugin: &Sha256Hash, kind: &str, code: &[u8]) -> std::io::Result<()> {
    // A name of its own, so that two hosts with one folder do not write into one file; the rename is atomic.
    let draft = path.with_extension(format!("{}.{:016x}.draft", std::process::id(), fastrand::u64(..)));
    let written = create_new(&draft).and_then(|mut file| {
        file.write_all(&seal(plugin, kind, code))?;
        file.write_all(code)?;
        file.sync_all()?;
        std::fs::rename(&draft, path)
    });
    if written.is_err() {
        let _gone = std::fs::remove_file(&draft);
    }
    written
}

fn seal(plugin: &Sha256Hash, kind: &str, code: &[u8]) -> [u8; HASH_LEN] {
    let mut hash = Sha256::new();
    hash.update(b"quotegate compiled plugin 2");
    hash.update(plugin.as_bytes());
    hash.update((kind.len() as u64).to_le_bytes());
    hash.update(kind);
    hash.update(code);
    hash.finalize().into()
}

#[allow(unsafe_code, reason = "wasmtime marks loading of compiled code unsafe; the proof is in the body")]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the code must come unchanged from `Component::serialize` or `Engine::precompile_component`. `code` was
    // read from a file that belongs to this user or to root and that nobody else can write, in a folder of which the
    // same holds (`check_private`), so this program wrote it, or whoever could have replaced this program; its hash
    // shows that it is what was written; bytes, not a mapped file, so it cannot change from here on. wasmtime itself
    // checks that version, settings and processor fit. Nothing that a tenant hands in comes this way.
    unsafe { Component::deserialize(engine, code) }
}

/// Instructions that code compiled ahead of time uses: what processors for servers have had since 2013 (Intel Haswell,
/// AMD Excavator), Cloud Run's among them. Nothing newer, so that where it is built does not matter.
const INSTRUCTIONS: [&str; 11] = [
    "has_sse3",
    "has_ssse3",
    "has_sse41",
    "has_sse42",
    "has_popcnt",
    "has_avx",
    "has_avx2",
    "has_fma",
    "has_bmi1",
    "has_bmi2",
    "has_lzcnt",
];

#[allow(unsafe_code, reason = "wasmtime marks settings of its compiler unsafe; the proof is in the body")]
pub(crate) fn target_any_server(config: &mut Config) -> wasmtime::Result<()> {
    config.target(&format!("{}-unknown-linux-gnu", std::env::consts::ARCH))?;
    if cfg!(target_arch = "x86_64") {
        for instructions in INSTRUCTIONS {
            // SAFETY: code with these instructions must not run on a processor without them. An engine of this
            // configuration never runs any: what it compiles is written to a file, and whoever loads that goes through
            // `Component::deserialize`, which asks the processor for each of them.
            unsafe { config.cranelift_flag_enable(instructions) };
        }
    }
    Ok(())
}

pub(crate) fn cannot_write(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

// Others may read: code compiled when an image is built is loaded by another user, and holds no secret.
pub(crate) fn create_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)
}

fn create_new(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)
}

/// What is in a file, if it is a private one; what was checked is what is read.
fn read_private(path: &Path) -> Option<Vec<u8>> {
    // A link is refused by its own metadata; between the two looks only those can change it who may write here.
    check_private(&std::fs::symlink_metadata(path).ok()?).ok()?;
    let file = std::fs::File::open(path).ok()?;
    let metadata = file.metadata().ok()?;
    check_private(&metadata).ok()?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).ok()?);
    file.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Refuses links, what belongs neither to this user nor to root, and what group or others may write.
fn check_private(metadata: &std::fs::Metadata) -> Result<(), &'static str> {
    use std::os::unix::fs::MetadataExt as _;
    if metadata.is_symlink() {
        return Err("it is a symbolic link");
    }
    if metadata.mode() & 0o022 != 0 {
        return Err("others may write to it");
    }
    if ![0, rustix::process::geteuid().as_raw()].contains(&metadata.uid()) {
        return Err("it belongs to another user");
    }
    Ok(())
}

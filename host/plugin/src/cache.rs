use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{Config, Engine};

use crate::engine::EngineError;
use crate::hash::Sha256Hash;

/// Compiled code on disk: one file per plugin and kind of engine.
///
/// There are two kinds: code that this engine compiled, for exactly this processor, and portable code that was compiled
/// ahead of time for any server since 2013 ([`crate::Precompiler`]). The first is preferred.
///
/// A file holds a checksum and the code. The host runs this code with its own rights, so three checks guard it: folder
/// and file belong to this user or to root, and no one else may write to them; the checksum finds damage; and the
/// checksum covers the plugin and the kind, which finds renamed files. A file that fails a check is compiled again, and
/// overwritten if the folder is writable.
///
/// When the files together become larger than `max_bytes`, those that were not used for the longest time are deleted.
#[derive(Debug)]
pub(crate) struct CodeCache {
    folder: PathBuf,
    max_bytes: u64,
    /// This engine's kind, then the portable one.
    kinds: [String; 2],
    /// The log already says that the folder is read-only.
    logged_read_only: AtomicBool,
}

const CHECKSUM_LEN: usize = 32;
/// Far more than the code of the largest component allowed.
const MAX_FILE: u64 = 1 << 30;

impl CodeCache {
    /// `None` if the folder does not exist and cannot be created: every start then compiles, as without a cache.
    /// `portable` is the kind of code that was compiled ahead of time for engines like this one.
    pub(crate) fn open(
        folder: &Path,
        max_bytes: u64,
        engine: &Engine,
        portable: String,
    ) -> Result<Option<Self>, EngineError> {
        let unusable = |reason: String| EngineError::Cache(folder.into(), reason);
        match create_folder(folder) {
            Ok(()) => {}
            Err(error) if cannot_write(&error) => {
                tracing::warn!(event_type = "plugin_cache_off", folder = %folder.display(), %error, "cannot create the folder for compiled plugins; every start compiles them again");
                return Ok(None);
            }
            Err(error) => return Err(unusable(error.to_string())),
        }
        let metadata = std::fs::symlink_metadata(folder).map_err(|error| unusable(error.to_string()))?;
        check_private(&metadata).map_err(|reason| unusable(reason.into()))?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let kinds = [format!("{:016x}", hasher.finish()), portable];
        Ok(Some(Self { folder: folder.into(), max_bytes, kinds, logged_read_only: AtomicBool::new(false) }))
    }

    /// The component that was compiled from the bytes with this hash, if one of its files is intact.
    pub(crate) fn load(&self, engine: &Engine, plugin: &Sha256Hash) -> Option<Component> {
        self.kinds.iter().find_map(|kind| self.load_kind(engine, plugin, kind))
    }

    fn load_kind(&self, engine: &Engine, plugin: &Sha256Hash, kind: &str) -> Option<Component> {
        let file = read_private(&self.path(plugin, kind))?;
        let (stored, code) = file.split_at_checked(CHECKSUM_LEN)?;
        if stored != checksum(plugin, kind, code).as_slice() {
            tracing::warn!(event_type = "plugin_cache_broken", plugin = %plugin, "a file of compiled code is damaged or belongs to another plugin; compiling the plugin again");
            return None;
        }
        deserialize(engine, code)
            .inspect_err(|error| tracing::warn!(event_type = "plugin_cache_broken", plugin = %plugin, error = format!("{error:#}"), "compiled code does not fit this engine or processor; compiling the plugin again"))
            .ok()
    }

    /// Whether it has a file. Loading checks whether the file is intact.
    pub(crate) fn has(&self, plugin: &Sha256Hash) -> bool {
        self.kinds.iter().any(|kind| self.path(plugin, kind).is_file())
    }

    /// Stores code that this engine compiled. A failure is harmless: the next start compiles again.
    pub(crate) fn store(&self, plugin: &Sha256Hash, component: &Component) {
        let [own, _] = &self.kinds;
        let path = self.path(plugin, own);
        match component.serialize().map(|code| write_file(&path, plugin, own, &code)) {
            Ok(Ok(())) => delete_oldest(&self.folder, self.max_bytes),
            Ok(Err(error)) if cannot_write(&error) => {
                if !self.logged_read_only.swap(true, Relaxed) {
                    tracing::info!(event_type = "plugin_cache_read_only", folder = %self.folder.display(), "the folder for compiled plugins is read-only; plugins that are not in it are compiled at every start");
                }
            }
            Ok(Err(error)) => warn_not_stored(plugin, &error),
            Err(error) => warn_not_stored(plugin, &format_args!("{error:#}")),
        }
    }

    fn path(&self, plugin: &Sha256Hash, kind: &str) -> PathBuf {
        file_path(&self.folder, plugin, kind)
    }
}

fn warn_not_stored(plugin: &Sha256Hash, error: &dyn std::fmt::Display) {
    tracing::warn!(event_type = "plugin_cache_write", plugin = %plugin, %error, "could not store compiled code; the next start compiles it again");
}

pub(crate) fn file_path(folder: &Path, plugin: &Sha256Hash, kind: &str) -> PathBuf {
    folder.join(format!("{plugin}-{kind}.code"))
}

/// Writes a file for [`CodeCache::load`], completely or not at all.
pub(crate) fn write_file(path: &Path, plugin: &Sha256Hash, kind: &str, code: &[u8]) -> std::io::Result<()> {
    // A unique name, because two hosts may share the folder; the rename is atomic.
    let draft = path.with_extension(format!("{}.{:016x}.draft", std::process::id(), fastrand::u64(..)));
    let written = create_new(&draft).and_then(|mut file| {
        file.write_all(&checksum(plugin, kind, code))?;
        file.write_all(code)?;
        file.sync_all()?;
        std::fs::rename(&draft, path)
    });
    if written.is_err() {
        let _ignored = std::fs::remove_file(&draft);
    }
    written
}

/// Deletes files until the rest is no larger than `max_bytes`.
fn delete_oldest(folder: &Path, max_bytes: u64) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
        .filter_map(|entry| {
            let (path, metadata) = (entry.as_ref().ok()?.path(), entry.as_ref().ok()?.metadata().ok()?);
            // Drafts are left behind by processes that were killed.
            let is_ours = path.extension().is_some_and(|extension| extension == "code" || extension == "draft");
            is_ours.then_some((metadata.modified().ok()?, metadata.len(), path))
        })
        .collect();
    files.sort();
    let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, bytes, path) in files {
        if total <= max_bytes {
            return;
        }
        // Another host that shares the folder may have deleted it.
        let _ignored = std::fs::remove_file(&path);
        total -= bytes;
        tracing::info!(event_type = "plugin_cache_deleted", file = %path.display(), bytes, "deleted a compiled plugin, because the folder for them is full");
    }
}

fn checksum(plugin: &Sha256Hash, kind: &str, code: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut hash = Sha256::new();
    hash.update(b"quotegate compiled plugin 2");
    hash.update(plugin.as_bytes());
    hash.update((kind.len() as u64).to_le_bytes());
    hash.update(kind);
    hash.update(code);
    hash.finalize().into()
}

#[allow(unsafe_code, reason = "loading compiled code is unsafe in wasmtime; the body says why it is sound here")]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the code must come unchanged from `Component::serialize` or `Engine::precompile_component`. `code` was
    // read from a file that belongs to this user or to root and that no one else can write, in a folder for which the
    // same holds (`check_private`). So either this program wrote it, or someone who could have replaced this program
    // did. The checksum shows that it is unchanged, and because it is a buffer and not a mapped file it stays so.
    // wasmtime checks that version, settings and processor fit. Bytes that a tenant supplies never get here.
    unsafe { Component::deserialize(engine, code) }
}

/// Instructions that code compiled ahead of time uses: those of every server processor since 2013 (Intel Haswell, AMD
/// Excavator), including Cloud Run's. Nothing newer, so the machine that builds the image does not matter.
const INSTRUCTIONS: [&str; 11] =
    ["sse3", "ssse3", "sse41", "sse42", "popcnt", "avx", "avx2", "fma", "bmi1", "bmi2", "lzcnt"];

#[allow(unsafe_code, reason = "compiler flags are unsafe in wasmtime; the body says why they are sound here")]
pub(crate) fn target_any_server(config: &mut Config) -> wasmtime::Result<()> {
    config.target(&format!("{}-unknown-linux-gnu", std::env::consts::ARCH))?;
    if cfg!(target_arch = "x86_64") {
        for instructions in INSTRUCTIONS {
            // SAFETY: code with these instructions must not run on a processor without them. An engine with this
            // configuration runs nothing: it compiles into files, and `Component::deserialize` checks that the
            // processor has each of the instructions before it loads one.
            unsafe { config.cranelift_flag_enable(&format!("has_{instructions}")) };
        }
    }
    Ok(())
}

pub(crate) fn cannot_write(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

// Others may read: an image's code is loaded by a different user than the one that built it, and holds no secrets.
pub(crate) fn create_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)
}

fn create_new(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)
}

/// The contents of a file that passes [`check_private`]. The open file is checked again, so nothing can be swapped in.
fn read_private(path: &Path) -> Option<Vec<u8>> {
    // A link is refused by its own metadata. Between the two checks, only a user who may write here can swap the file.
    check_private(&std::fs::symlink_metadata(path).ok()?).ok()?;
    let file = std::fs::File::open(path).ok()?;
    let metadata = file.metadata().ok()?;
    check_private(&metadata).ok()?;
    // Used now, so it is not among the oldest. Fails in a read-only folder, where nothing is deleted either.
    let _ignored = file.set_modified(SystemTime::now());
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).ok()?);
    file.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Refuses links, files of users other than this one and root, and files that the group or others may write.
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

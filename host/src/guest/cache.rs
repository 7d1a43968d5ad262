//! Compiled plugins on disk, so that a second start takes milliseconds.
//!
//! Loading compiled code means to trust it as much as this program itself. So a file is only loaded from a folder that
//! belongs to us and that nobody else may write to, under a name that holds the digest of the component and the
//! hash of the engine's settings; and only files that this program wrote are there.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use wasmtime::Engine;
use wasmtime::component::Component;

/// The file of a compiled component, by the digest of its bytes.
fn file(folder: &Path, engine: &Engine, digest: &str) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    folder.join(format!("{digest}-{:016x}.cwasm", hasher.finish()))
}

/// The compiled component out of the cache, if it is there and can be trusted.
#[allow(
    unsafe_code,
    reason = "loading compiled code is unsafe; the checks above the call are the reason why it is sound"
)]
pub(super) fn load(folder: &Path, engine: &Engine, digest: &str) -> Option<Component> {
    let path = file(folder, engine, digest);
    if !path.exists() {
        return None;
    }
    if let Err(reason) = trusted(folder).and_then(|()| trusted(&path)) {
        tracing::warn!(path = %path.display(), "The compiled plugin in the cache isn't used: {reason}.");
        return None;
    }
    // SAFETY: the file was written by `store` below: only our user can write to it and to its folder, which `trusted`
    // has just checked, and its name ties it to this component and these settings.
    match unsafe { Component::deserialize_file(engine, &path) } {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::warn!(path = %path.display(), "The compiled plugin in the cache can't be used and is made anew: {error}.");
            None
        }
    }
}

/// Keeps a compiled component. A failure only costs time at the next start.
pub(super) fn store(folder: &Path, engine: &Engine, digest: &str, component: &Component) {
    let path = file(folder, engine, digest);
    let result = create_private(folder).and_then(|()| {
        let bytes = component.serialize().map_err(|error| std::io::Error::other(error.to_string()))?;
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut file = private(fs::OpenOptions::new().create(true).truncate(true).write(true)).open(&temporary)?;
        file.write_all(&bytes)?;
        // Under its name it is complete, also after a power cut.
        file.sync_all()?;
        fs::rename(&temporary, &path)
    });
    if let Err(error) = result {
        tracing::warn!(
            path = %path.display(),
            "The compiled plugin can't be kept, so the next start compiles it again: {error}."
        );
    }
}

/// Lets a new file be read and written by its owner only, whatever the umask is.
#[cfg(unix)]
fn private(options: &mut fs::OpenOptions) -> &mut fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600)
}

#[cfg(not(unix))]
fn private(options: &mut fs::OpenOptions) -> &mut fs::OpenOptions {
    options
}

#[cfg(unix)]
fn create_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create_private(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)
}

/// Whether a file or folder belongs to us and only we may change it.
#[cfg(unix)]
fn trusted(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(format!("{} belongs to another user", path.display()));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(format!("{} can be written to by others", path.display()));
    }
    Ok(())
}

#[cfg(not(unix))]
fn trusted(_path: &Path) -> Result<(), String> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest component: nothing but its version.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn what_is_damaged_or_not_ours_alone_is_not_used() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("cache");
        let engine = Engine::default();
        let component = Component::from_binary(&engine, EMPTY).unwrap();
        assert!(load(&folder, &engine, "digest").is_none());
        store(&folder, &engine, "digest", &component);
        assert!(load(&folder, &engine, "digest").is_some());
        assert!(load(&folder, &engine, "another").is_none());

        let path = file(&folder, &engine, "digest");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o077, 0);
        }
        let whole = fs::read(&path).unwrap();
        let garbage: Vec<u8> = whole.iter().map(|byte| byte ^ 0x5a).collect();
        for damaged in [&whole[..0], &whole[..10], &whole[..whole.len() / 2], &garbage] {
            fs::write(&path, damaged).unwrap();
            assert!(load(&folder, &engine, "digest").is_none(), "{} bytes", damaged.len());
            store(&folder, &engine, "digest", &component);
            assert!(load(&folder, &engine, "digest").is_some());
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no temporary file is left");

        #[cfg(unix)]
        for open in [&folder, &path] {
            use std::os::unix::fs::PermissionsExt as _;
            let private = fs::metadata(open).unwrap().permissions();
            fs::set_permissions(open, fs::Permissions::from_mode(private.mode() | 0o020)).unwrap();
            assert!(load(&folder, &engine, "digest").is_none());
            fs::set_permissions(open, private).unwrap();
        }
        assert!(load(&folder, &engine, "digest").is_some());
    }
}

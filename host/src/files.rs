//! Opening files whose paths somebody named.
//!
//! The invariant: nothing here waits. A named pipe, a device, a socket or a folder is refused with a word that says which
//! it is, before it is opened.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

/// Opens a regular file. One that isn't there is made if the options say so.
///
/// # Errors
/// If it can't be opened, or isn't a regular file.
pub fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    match path.metadata() {
        Ok(metadata) => regular(&metadata)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let file = without_waiting(options).open(path)?;
    // Somebody may have put another one there meanwhile.
    regular(&file.metadata()?)?;
    Ok(file)
}

/// Reads a regular file whole, or what somebody opened for us, as a shell does for `<(command)`.
///
/// # Errors
/// If it can't be read, isn't a regular file, or holds more than `limit` bytes.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let opened_for_us = ["/dev/fd", "/proc/self/fd", "/dev/stdin"].iter().any(|place| path.starts_with(place));
    let file = if opened_for_us { File::open(path)? } else { open(path, OpenOptions::new().read(true))? };
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it holds more than {limit} bytes")));
    }
    Ok(bytes)
}

/// As [`read`], for text in UTF-8.
///
/// # Errors
/// As [`read`], and if it is no UTF-8.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read(path, limit)?).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Fails for everything but a regular file.
///
/// # Errors
/// With a word that says what it is.
pub fn regular(metadata: &Metadata) -> io::Result<()> {
    match what(metadata) {
        None => Ok(()),
        Some(what) => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}, and a regular file is needed")))
        }
    }
}

#[cfg(unix)]
fn what(metadata: &Metadata) -> Option<&'static str> {
    use std::os::unix::fs::FileTypeExt as _;
    let kind = metadata.file_type();
    match () {
        () if kind.is_file() => None,
        () if kind.is_dir() => Some("a folder"),
        () if kind.is_fifo() => Some("a named pipe"),
        () if kind.is_socket() => Some("a socket"),
        () => Some("a device"),
    }
}

#[cfg(not(unix))]
fn what(metadata: &Metadata) -> Option<&'static str> {
    (!metadata.is_file()).then_some("a folder or a device")
}

#[cfg(unix)]
fn without_waiting(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
}

#[cfg(not(unix))]
fn without_waiting(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened_and_links_to_them() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "text").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();

        assert_eq!(read_text(&at("file"), 4).unwrap(), "text");
        assert_eq!(read_text(&at("link"), 4).unwrap(), "text");
        assert!(read(&at("file"), 3).unwrap_err().to_string().contains("more than 3 bytes"));
        assert_eq!(read(&at("nothing"), 4).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::os::unix::fs::symlink(at("pipe"), at("link to pipe")).unwrap();
        for (name, what) in [
            (at("folder"), "a folder"),
            (at("pipe"), "a named pipe"),
            (at("link to pipe"), "a named pipe"),
            (at("socket"), "a socket"),
            ("/dev/null".into(), "a device"),
        ] {
            for error in [read(&name, 4).unwrap_err(), open(&name, OpenOptions::new().append(true)).unwrap_err()] {
                assert!(error.to_string().contains(what), "{name:?}: {error}");
            }
        }
        std::fs::write(at("file"), b"\xff").unwrap();
        assert!(read_text(&at("file"), 4).is_err());
    }
}

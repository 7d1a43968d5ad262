//! Records read from NDJSON files instead of generated.
//!
//! Invariant: a record is served as the bytes of its line; a line that occurs twice in a stream is one record.

use std::{collections::HashSet, fs, io, path::Path};

use crate::streams::STREAMS;

/// A record of the corpus and what it can be filtered by.
pub(crate) struct Line {
    pub(crate) bytes: Box<[u8]>,
    /// `vendorInformation.provider` of a legacy alert, else empty.
    pub(crate) provider: String,
}

/// Reads the files of `folder`, by stream.
///
/// # Errors
/// When the folder or a file cannot be read, or no file is named after a stream.
pub(crate) fn read(folder: &Path) -> io::Result<Vec<Vec<Line>>> {
    let mut streams: Vec<Vec<Line>> = STREAMS.iter().map(|_| Vec::new()).collect();
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    let mut seen = HashSet::new();
    for path in paths {
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| name.ends_with(".ndjson"))
        else {
            continue;
        };
        let prefix = match name.split('.').next().unwrap_or(name) {
            "o365-edge" => "o365-general",
            prefix => prefix,
        };
        let Some(stream) = STREAMS.iter().position(|stream| stream.corpus_prefix == prefix) else { continue };
        for line in fs::read(&path)?.split(|byte| *byte == b'\n') {
            let line = line.trim_ascii();
            let Ok(value) = serde_json::from_slice::<serde_json::Value>(line) else { continue };
            if value.is_object() && seen.insert((stream, line.to_vec())) {
                let provider = value.pointer("/vendorInformation/provider").and_then(|provider| provider.as_str());
                streams[stream].push(Line { bytes: line.into(), provider: provider.unwrap_or_default().to_owned() });
            }
        }
    }
    if streams.iter().all(Vec::is_empty) {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("No records found in {}: expected files such as o365-exchange.name.ndjson.", folder.display()),
        ));
    }
    Ok(streams)
}

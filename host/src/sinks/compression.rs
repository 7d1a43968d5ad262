//! Compressing whole pieces: each result is a gzip member or a Zstandard frame of its own, and several in a row are
//! again valid. So a file of them can be cut at the end of any piece.

use std::io::{self, Write as _};

use crate::config::Compression;

/// Compresses a piece.
///
/// # Errors
/// If the compressor fails, which is for want of memory.
pub(super) fn compress(compression: Compression, piece: &[u8]) -> io::Result<Vec<u8>> {
    match compression {
        Compression::None => Ok(piece.to_vec()),
        Compression::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::with_capacity(piece.len() / 8), flate2::Compression::new(6));
            encoder.write_all(piece)?;
            encoder.finish()
        }
        Compression::Zstd => zstd::bulk::compress(piece, 3),
    }
}

/// What the bytes at the beginning of a file say about how it is compressed.
pub(super) fn of_bytes(start: &[u8]) -> Compression {
    if start.starts_with(&[0x1f, 0x8b]) {
        Compression::Gzip
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Compression::Zstd
    } else {
        Compression::None
    }
}

/// The content of several pieces in a row.
#[cfg(test)]
pub(super) fn expand(compression: Compression, bytes: &[u8]) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut out = Vec::new();
    match compression {
        Compression::None => out.extend_from_slice(bytes),
        Compression::Gzip => drop(flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out)?),
        Compression::Zstd => out = zstd::stream::decode_all(bytes)?,
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_in_a_row_are_valid_and_can_be_told() {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let first = compress(compression, b"one\n").unwrap();
            assert_eq!(of_bytes(&first), compression);
            let both = [first.clone(), compress(compression, b"two\n").unwrap()].concat();
            assert_eq!(expand(compression, &both).unwrap(), b"one\ntwo\n");
            assert_eq!(expand(compression, &both[..first.len()]).unwrap(), b"one\n");
        }
    }
}

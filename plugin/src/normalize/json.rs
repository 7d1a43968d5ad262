//! Writing JSON text.
//!
//! Invariant: what is written is valid UTF-8 and valid JSON, on one line. Short pieces are copied in steps of fixed size, because a copy
//! of any size is a call out of the component.

use std::io::Write as _;

/// Appends bytes, of which there are few.
#[inline]
pub fn short(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes;
    while let Some((step, behind)) = rest.split_first_chunk::<16>() {
        out.extend_from_slice(step);
        rest = behind;
    }
    if let Some((step, behind)) = rest.split_first_chunk::<8>() {
        out.extend_from_slice(step);
        rest = behind;
    }
    match (rest.len(), bytes.last_chunk::<8>(), rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        (0, ..) => {}
        // The last eight bytes again, over the part of them that is there already.
        (missing, Some(last), ..) => {
            out.truncate(out.len() - (8 - missing));
            out.extend_from_slice(last);
        }
        (length, None, Some(first), Some(last)) => {
            out.extend_from_slice(first);
            out.truncate(out.len() - (8 - length));
            out.extend_from_slice(last);
        }
        _ => rest.iter().for_each(|byte| out.push(*byte)),
    }
}

/// Writes a string with its quotation marks.
#[inline]
pub fn text(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut rest = bytes;
    // Both halves are looked at together: a step costs a look at the capacity of `out`.
    while let Some((step, behind)) = rest.split_first_chunk::<16>() {
        let both = u128::from_le_bytes(*step);
        if (needs_escape_mask(both as u64) | needs_escape_mask((both >> 64) as u64)) != 0 {
            break;
        }
        out.extend_from_slice(step);
        rest = behind;
    }
    if let Some((step, behind)) = rest.split_first_chunk::<8>()
        && needs_escape_mask(u64::from_le_bytes(*step)) == 0
    {
        out.extend_from_slice(step);
        rest = behind;
    }
    match bytes.last_chunk::<8>() {
        Some(last) if rest.len() < 8 && needs_escape_mask(u64::from_le_bytes(*last)) == 0 => {
            // As in `short`.
            out.truncate(out.len() - (8 - rest.len()));
            out.extend_from_slice(last);
        }
        None if !rest.iter().any(|b| needs_escape(*b)) => short(out, rest),
        _ => escaped(out, rest),
    }
    out.push(b'"');
}

/// [`needs_escape`] of eight bytes at once: the highest bit of each that does. Behind the first one (the lowest), a bit can be set for a
/// byte that doesn't.
#[inline]
pub(super) fn needs_escape_mask(bytes: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let below = |bytes: u64, bound: u64| bytes.wrapping_sub(ONES * bound) & !bytes;
    let is = |byte: u8| below(bytes ^ (ONES * u64::from(byte)), 1);
    (below(bytes, 0x20) | is(b'"') | is(b'\\')) & HIGH
}

#[inline]
pub(super) fn needs_escape(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

fn escaped(out: &mut Vec<u8>, mut bytes: &[u8]) {
    while let Some(at) = bytes.iter().position(|b| needs_escape(*b)) {
        out.extend_from_slice(&bytes[..at]);
        match bytes[at] {
            b'"' => short(out, b"\\\""),
            b'\\' => short(out, b"\\\\"),
            b'\n' => short(out, b"\\n"),
            b'\r' => short(out, b"\\r"),
            b'\t' => short(out, b"\\t"),
            0x08 => short(out, b"\\b"),
            0x0c => short(out, b"\\f"),
            byte => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                short(out, b"\\u00");
                out.push(DIGITS[usize::from(byte >> 4)]);
                out.push(DIGITS[usize::from(byte & 15)]);
            }
        }
        bytes = &bytes[at + 1..];
    }
    out.extend_from_slice(bytes);
}

/// Writes a whole number.
pub fn integer(out: &mut Vec<u8>, number: i64) {
    short(out, itoa::Buffer::new().format(number).as_bytes());
}

/// Writes a whole number without sign.
pub fn unsigned(out: &mut Vec<u8>, number: u64) {
    short(out, itoa::Buffer::new().format(number).as_bytes());
}

/// Writes a finite number so that it reads back as the same one.
pub fn float(out: &mut Vec<u8>, number: f64) {
    // Writing to a Vec can't fail.
    let _ = write!(out, "{}", serde_json::json!(number));
}

/// Writes `true` or `false`.
pub fn boolean(out: &mut Vec<u8>, flag: bool) {
    short(out, if flag { b"true" } else { b"false" });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_reads_back(written in r#"[ -~\x00-\x1fä-ü"\\€]{0,60}"#) {
            let mut out = Vec::new();
            text(&mut out, &written);
            prop_assert!(!out.contains(&b'\n'));
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), written);
        }

        #[test]
        fn short_pieces_are_whole(bytes in proptest::collection::vec(any::<u8>(), 0..70)) {
            let mut out = b"before".to_vec();
            short(&mut out, &bytes);
            prop_assert_eq!(&out[6..], bytes);
        }

        #[test]
        fn numbers_read_back(number in any::<i64>(), fraction in -1e300..1e300_f64) {
            let mut out = Vec::new();
            integer(&mut out, number);
            prop_assert_eq!(serde_json::from_slice::<i64>(&out).unwrap(), number);
            out.clear();
            float(&mut out, fraction);
            prop_assert_eq!(serde_json::from_slice::<f64>(&out).unwrap(), fraction);
        }
    }
}

//! Writing JSON text.
//!
//! Invariant: what is written is valid UTF-8 and valid JSON, on one line. Short pieces are copied in steps of sixteen bytes, because a copy
//! of any size is a call out of the component, and with one look at the room for all of them.

#![allow(unsafe_code, reason = "a look at the room for each step took 3 % of the time of normalising")]

use std::io::Write as _;
use std::ops::Range;

use wide::u8x16;

const STEP: usize = 16;

/// The end of a buffer that has room, for steps that are written whole and count in part.
struct End<'o> {
    out: &'o mut Vec<u8>,
    length: usize,
}

impl<'o> End<'o> {
    /// Makes room for so many bytes and a step.
    #[inline]
    fn with_room(out: &'o mut Vec<u8>, bytes: usize) -> Self {
        out.reserve(bytes + STEP);
        Self { length: out.len(), out }
    }

    /// Writes a step of which the first `count` bytes count. All bytes that count may be no more than there was room made for.
    #[inline]
    fn step(&mut self, step: [u8; STEP], count: usize) {
        debug_assert!(count <= STEP && self.length + STEP <= self.out.capacity());
        // SAFETY: what was counted before this step is within the room that was made, and behind that is room for one step.
        unsafe { self.out.as_mut_ptr().add(self.length).cast::<[u8; STEP]>().write_unaligned(step) };
        self.length += count;
    }

    #[inline]
    fn finish(self) -> &'o mut Vec<u8> {
        debug_assert!(self.length <= self.out.capacity());
        // SAFETY: steps wrote every byte up to here, without leaving any out, and they were within the capacity.
        unsafe { self.out.set_len(self.length) };
        self.out
    }

    /// Writes the first `count` of the bytes.
    #[inline]
    fn key<const N: usize>(&mut self, bytes: &[u8; N], count: usize) {
        let (steps, rest) = bytes.as_chunks::<STEP>();
        steps.iter().for_each(|step| self.step(*step, STEP));
        self.step(padded(rest), rest.len());
        self.length -= N - count.min(N);
    }
}

/// Up to sixteen bytes, with zeros behind them.
#[inline]
fn padded(bytes: &[u8]) -> [u8; STEP] {
    let length = bytes.len();
    // The last bytes are moved to where the first ones end.
    let (low, high) = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => {
            (u64::from_le_bytes(*first), u64::from_le_bytes(*last) >> 8 >> (8 * (STEP - 1).saturating_sub(length)))
        }
        _ => match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
                (u64::from(first) | u64::from(last) << (8 * (length - 4)), 0)
            }
            _ => (bytes.iter().rev().fold(0, |step, byte| step << 8 | u64::from(*byte)), 0),
        },
    };
    let mut step = [0; STEP];
    step[..8].copy_from_slice(&low.to_le_bytes());
    step[8..].copy_from_slice(&high.to_le_bytes());
    step
}

/// Appends bytes, of which there are few.
#[inline]
pub fn short(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut end = End::with_room(out, bytes.len());
    let (steps, rest) = bytes.as_chunks::<STEP>();
    steps.iter().for_each(|step| end.step(*step, STEP));
    end.step(padded(rest), rest.len());
    end.finish();
}

/// Appends the first `count` of the bytes, which are few.
#[inline]
pub fn first<const N: usize>(out: &mut Vec<u8>, bytes: &[u8; N], count: usize) {
    let mut end = End::with_room(out, N);
    end.key(bytes, count);
    end.finish();
}

/// Appends what was written before, a part of `out`.
#[inline]
pub fn again(out: &mut Vec<u8>, part: Range<usize>) {
    let end = out.len() + part.len();
    let mut at = part.start;
    // What stands behind the part is copied with its end, and cut off.
    while at < part.end
        && let Some(step) = out[at..].first_chunk::<16>().copied()
    {
        out.extend_from_slice(&step);
        at += 16;
    }
    if at < part.end {
        out.extend_from_within(at..part.end);
    }
    out.truncate(end);
}

/// Writes a string with its quotation marks.
#[inline]
pub fn text(out: &mut Vec<u8>, text: &str) {
    text_at(End::with_room(out, text.len() + 2), text.as_bytes());
}

/// Writes a member of an object whose value is text: a comma if it isn't the first one, the key, which is the first `length` bytes of
/// `key`, and the text. Gives where the text begins.
#[inline]
pub fn member<const N: usize>(out: &mut Vec<u8>, (length, key): (usize, &[u8; N]), text: &str) -> usize {
    let first = out.last() == Some(&b'{');
    let mut end = End::with_room(out, N + text.len() + 3);
    end.step([b','; STEP], usize::from(!first));
    end.key(key, length);
    let start = end.length;
    text_at(end, text.as_bytes());
    start
}

/// A string behind what was written; there is room for it and two quotation marks.
#[inline]
fn text_at(mut end: End<'_>, bytes: &[u8]) {
    end.step([b'"'; STEP], 1);
    let (steps, rest) = bytes.as_chunks::<STEP>();
    for (index, step) in steps.iter().enumerate() {
        if need_escape(*step) != 0 {
            return escaped(end.finish(), &bytes[index * STEP..]);
        }
        end.step(*step, STEP);
    }
    let last = padded(rest);
    if need_escape(last) & ((1 << rest.len()) - 1) != 0 {
        return escaped(end.finish(), rest);
    }
    end.step(last, rest.len());
    end.step([b'"'; STEP], 1);
    end.finish();
}

/// [`needs_escape`] of sixteen bytes at once: a bit for each that does, the lowest for the first.
#[inline]
pub(super) fn need_escape(bytes: [u8; 16]) -> u32 {
    let bytes = u8x16::new(bytes);
    let control = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
    let quotation_mark = bytes.simd_eq(u8x16::splat(b'"'));
    let backslash = bytes.simd_eq(u8x16::splat(b'\\'));
    (control | quotation_mark | backslash).to_bitmask()
}

#[inline]
pub(super) fn needs_escape(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// The rest of a string in which something needs an escape, and its last quotation mark.
#[cold]
fn escaped(out: &mut Vec<u8>, mut bytes: &[u8]) {
    while let Some(at) = bytes.iter().position(|b| needs_escape(*b)) {
        short(out, &bytes[..at]);
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
    short(out, bytes);
    out.push(b'"');
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
        fn sixteen_bytes_are_looked_at_as_each_is(bytes: [u8; 16], common in proptest::array::uniform16(0x1d_u8..0x24)) {
            for bytes in [bytes, common] {
                let each = bytes.iter().rev().fold(0, |bits, byte| bits << 1 | u32::from(needs_escape(*byte)));
                prop_assert_eq!(need_escape(bytes), each);
            }
        }

        #[test]
        fn short_pieces_are_whole(bytes in proptest::collection::vec(any::<u8>(), 0..70), key: [u8; 24], count in 0..25_usize) {
            let mut out = b"before".to_vec();
            short(&mut out, &bytes);
            prop_assert_eq!(&out[..6], b"before");
            prop_assert_eq!(&out[6..], bytes);
            first(&mut out, &key, count);
            prop_assert_eq!(&out[out.len() - count..], &key[..count]);
        }

        #[test]
        fn a_part_comes_again(bytes in proptest::collection::vec(any::<u8>(), 0..70), ends: (prop::sample::Index, prop::sample::Index)) {
            let (one, other) = (ends.0.index(bytes.len() + 1), ends.1.index(bytes.len() + 1));
            let part = one.min(other)..one.max(other);
            let mut out = bytes.clone();
            again(&mut out, part.clone());
            prop_assert_eq!(&out[..bytes.len()], &bytes[..]);
            prop_assert_eq!(&out[bytes.len()..], &bytes[part]);
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

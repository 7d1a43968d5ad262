//! How far one JSON value goes, in bytes that come in pieces.
//!
//! Invariant: whatever the pieces, the end is found at the same byte. Blocks of 64 bytes are looked at as a whole: which of their bytes are
//! quotation marks, backslashes and brackets, as bits.

use wide::u8x16;

const BLOCK: usize = 64;

/// Where a scan through one JSON value stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scan {
    depth: u32,
    in_string: bool,
    /// The next byte is escaped.
    escaped: bool,
    /// The value is a number or a word, which ends before the byte behind it.
    pub(super) scalar: bool,
}

impl Scan {
    /// A scan of the value that begins with `first`, if a value can begin so.
    pub(super) fn of(first: u8) -> Option<Self> {
        match first {
            b'{' | b'[' | b'"' => Some(Self::default()),
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => Some(Self { scalar: true, ..Self::default() }),
            _ => None,
        }
    }

    /// Goes on through `bytes` and returns how many of them belong to the value, if it ends there.
    pub(super) fn run(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.scalar {
            return bytes.iter().position(|b| matches!(b, b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n'));
        }
        let mut at = 0;
        // A text that is all of the value ends at a quotation mark; no bracket does it.
        let is_text = self.depth == 0 && (self.in_string || bytes.first() == Some(&b'"'));
        while !is_text && let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
            if let Some(length) = self.block(block) {
                return Some(at + length);
            }
            at += BLOCK;
        }
        bytes[at..].iter().position(|byte| self.byte(*byte)).map(|last| at + last + 1)
    }

    /// Whether the value ends with this byte.
    fn byte(&mut self, byte: u8) -> bool {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => {
                self.in_string = !self.in_string;
                return !self.in_string && self.depth == 0;
            }
            b'{' | b'[' if !self.in_string => self.depth += 1,
            b'}' | b']' if !self.in_string => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }

    /// As [`Self::byte`] for a block; how many of its bytes belong to the value, if it ends there.
    #[inline]
    fn block(&mut self, block: &[u8; BLOCK]) -> Option<usize> {
        let Marks { quotation_marks, backslashes, mut opening, mut closing } = Marks::of(block);
        let escaped = self.escape(backslashes);
        // From each quotation mark to the next one.
        let mut strings = quotation_marks & !escaped;
        for distance in [1, 2, 4, 8, 16, 32] {
            strings ^= strings << distance;
        }
        if self.in_string {
            strings = !strings;
        }
        opening &= !(strings | escaped);
        closing &= !(strings | escaped);
        if closing.count_ones() < self.depth {
            self.depth = self.depth + opening.count_ones() - closing.count_ones();
        } else {
            let mut brackets = opening | closing;
            while brackets != 0 {
                let lowest = brackets & brackets.wrapping_neg();
                brackets ^= lowest;
                if opening & lowest != 0 {
                    self.depth += 1;
                    continue;
                }
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    // Nothing of the value comes behind.
                    (self.in_string, self.escaped) = (false, false);
                    return Some(lowest.trailing_zeros() as usize + 1);
                }
            }
        }
        self.in_string = strings >> (BLOCK - 1) != 0;
        None
    }

    /// Which bytes are escaped by a backslash in front of them. Outside of strings, where a backslash is no JSON, as inside.
    #[inline]
    fn escape(&mut self, backslashes: u64) -> u64 {
        let mut escaped = u64::from(self.escaped);
        let mut rest = backslashes & !escaped;
        self.escaped = false;
        while rest != 0 {
            let next = (rest & rest.wrapping_neg()) << 1;
            escaped |= next;
            // Neither this one nor, if it is a backslash, the one that it escapes.
            rest &= rest - 1;
            rest &= !next;
            self.escaped |= next == 0;
        }
        escaped
    }
}

/// What stands where in a block: a bit for each byte, the lowest for the first.
struct Marks {
    quotation_marks: u64,
    backslashes: u64,
    opening: u64,
    closing: u64,
}

impl Marks {
    #[inline]
    fn of(block: &[u8; BLOCK]) -> Self {
        let mut marks = Self { quotation_marks: 0, backslashes: 0, opening: 0, closing: 0 };
        let (parts, _) = block.as_chunks::<16>();
        for (index, part) in parts.iter().enumerate() {
            let bytes = u8x16::new(*part);
            // Square and curly brackets differ in this bit alone.
            let brackets = bytes | u8x16::splat(0x20);
            let place = |found: u8x16| u64::from(found.to_bitmask()) << (16 * index);
            marks.quotation_marks |= place(bytes.simd_eq(u8x16::splat(b'"')));
            marks.backslashes |= place(bytes.simd_eq(u8x16::splat(b'\\')));
            marks.opening |= place(brackets.simd_eq(u8x16::splat(b'{')));
            marks.closing |= place(brackets.simd_eq(u8x16::splat(b'}')));
        }
        marks
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The end, byte by byte.
    fn slowly(bytes: &[u8]) -> Option<usize> {
        let mut scan = Scan::of(bytes[0])?;
        bytes.iter().position(|byte| scan.byte(*byte)).map(|last| last + 1)
    }

    fn in_pieces(bytes: &[u8], cuts: &[prop::sample::Index]) -> Option<usize> {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut scan = Scan::of(bytes[0])?;
        cuts.windows(2).find_map(|ends| Some(ends[0] + scan.run(&bytes[ends[0]..ends[1]])?))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_end_is_where_it_is_byte_by_byte(
            text in r#"[{\["]([a-e ]{0,9}|["\\{}\[\]]{0,4}|\\{0,9}|\{"a": ?"(\\"|x){0,40}"\}){0,40}"#,
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            prop_assert_eq!(in_pieces(text.as_bytes(), &cuts), slowly(text.as_bytes()));
        }
    }

    #[test]
    fn ends_at_the_edges_of_blocks() {
        for length in 1..200 {
            for (open, fill, close) in
                [("{\"", "x", "\"}"), ("[", " ", "]"), ("\"", "\\\"", "\""), ("{\"a\":\"", "\\\\", "\"}")]
            {
                let text = format!("{open}{}{close}", fill.repeat(length));
                let whole = format!("{text},{{}}");
                assert_eq!(in_pieces(whole.as_bytes(), &[]), Some(text.len()), "{text}");
            }
        }
    }
}

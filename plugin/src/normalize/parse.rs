//! JSON text to a tree that borrows from it; its lists and the texts with escapes are in an arena.
//!
//! Invariant: takes what RFC 8259 calls JSON and nothing else, as `serde_json` does (a test holds one against the other), in time and
//! memory that grow with the text, and never deeper than [`MAX_DEPTH`]. Ours because the time to make the tree, which a general parser
//! spends on a visitor for each value, was a sixth of all the time of normalising.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bumpalo::{Bump, collections::String};

use super::record::{Member, Node, Object, tag};

/// Deepest nesting of a record; real records are 11 deep at most.
const MAX_DEPTH: u16 = 64;
/// From this many members on, repeated names are looked for at the end; also after [`MANY`] tries to find names for earlier values.
const WIDE: usize = 256;
const MANY: u32 = 64;

/// Why a text is no JSON, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct NotJson {
    reason: &'static str,
    /// Bytes from the beginning.
    at: usize,
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.at + 1)
    }
}

impl std::error::Error for NotJson {}

/// Reads one text. What doesn't stand in it as it is goes into the arena.
///
/// # Errors
/// If it is no JSON, with the reason and the place.
pub fn parse<'a>(text: &'a [u8], arena: &'a Bump) -> Result<Node<'a>, NotJson> {
    parse_deep(text, arena, MAX_DEPTH)
}

/// As [`parse`], with another limit of nesting.
///
/// # Errors
/// As [`parse`].
pub fn parse_deep<'a>(text: &'a [u8], arena: &'a Bump, max_depth: u16) -> Result<Node<'a>, NotJson> {
    // One check of the whole text instead of one for every string.
    let text = simdutf8::basic::from_utf8(text)
        .or_else(|_| std::str::from_utf8(text))
        .map_err(|e| NotJson { reason: "no UTF-8", at: e.valid_up_to() })?;
    let mut parser = Parser {
        text,
        bytes: text.as_bytes(),
        arena,
        at: 0,
        depth: 0,
        max_depth,
        refused: None,
        // Texts inside of a record are short, and there can be many of them.
        members: Vec::with_capacity((text.len() / 8).min(64)),
        items: Vec::with_capacity((text.len() / 8).min(16)),
    };
    parser.whole().ok_or_else(|| parser.refused.unwrap_or(NotJson { reason: "no value", at: parser.at }))
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    arena: &'a Bump,
    at: usize,
    depth: u16,
    max_depth: u16,
    /// Set where the reading ends early.
    refused: Option<NotJson>,
    /// The members of the objects that are being read; each takes its own off the end, so that it makes one list of the right size.
    members: Vec<Member<'a>>,
    /// The items of the lists that are being read.
    items: Vec<Node<'a>>,
}

impl<'a> Parser<'a> {
    /// Remembers why the text is no JSON.
    #[cold]
    fn no<T>(&mut self, reason: &'static str) -> Option<T> {
        self.refused = Some(NotJson { reason, at: self.at });
        None
    }

    /// The one value of the text.
    fn whole(&mut self) -> Option<Node<'a>> {
        let node = self.value()?;
        self.blanks();
        if self.at < self.bytes.len() { self.no("something behind the value") } else { Some(node) }
    }

    #[inline]
    fn peek(&self) -> u8 {
        // 0 is no part of JSON outside of strings, so it can stand for the end.
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// The byte behind blanks.
    #[inline]
    fn next_token(&mut self) -> u8 {
        let byte = self.peek();
        if byte > b' ' {
            return byte;
        }
        self.blanks();
        self.peek()
    }

    fn value(&mut self) -> Option<Node<'a>> {
        match self.next_token() {
            b'"' => self.string().map(Node::Str),
            b'{' => {
                self.enter()?;
                self.object()
            }
            b'[' => {
                self.enter()?;
                self.array()
            }
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word("true", Node::Bool(true)),
            b'f' => self.word("false", Node::Bool(false)),
            b'n' => self.word("null", Node::Null),
            0 if self.at >= self.bytes.len() => self.no("the end instead of a value"),
            _ => self.no("no value"),
        }
    }

    fn word(&mut self, word: &str, node: Node<'a>) -> Option<Node<'a>> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Some(node)
        } else {
            self.no("no value")
        }
    }

    /// Goes one level down, behind the bracket; the end of the object or list comes back up.
    fn enter(&mut self) -> Option<()> {
        if self.depth >= self.max_depth {
            return self.no("nesting too deep");
        }
        self.depth += 1;
        self.at += 1;
        Some(())
    }

    /// Comes back up behind the bracket.
    fn leave(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    fn object(&mut self) -> Option<Node<'a>> {
        let start = self.members.len();
        let mut repeated = 0;
        // How many names were tried for earlier values.
        let mut tries = 0;
        let mut seen = Seen::default();
        if self.next_token() == b'}' {
            self.leave();
            return Some(Node::Object(self.arena.alloc(Object::new(&[], 0, self.arena))));
        }
        loop {
            if self.next_token() != b'"' {
                return self.no("no name of a member");
            }
            let name = self.string()?;
            if self.next_token() != b':' {
                return self.no("no colon behind a name");
            }
            self.at += 1;
            let value = self.value()?;
            let key = tag(name);
            let own = &mut self.members[start..];
            let earlier = if seen.add(key) && own.len() < WIDE && tries < MANY {
                own.iter_mut().find(|m| m.tag == key && m.name == name)
            } else {
                None
            };
            match earlier {
                Some(earlier) => {
                    repeated += 1;
                    let before = std::mem::replace(&mut earlier.value, value);
                    if !same(&before, &earlier.value) {
                        let (name, number) = earlier_name(name, 1, |name| own.iter().any(|m| m.name == name));
                        tries += number;
                        let name = self.arena.alloc_str(&name);
                        let key = tag(name);
                        seen.add(key);
                        self.members.push(Member { name, tag: key, value: before, taken: Cell::new(false) });
                    }
                }
                None => self.members.push(Member { name, tag: key, value, taken: Cell::new(false) }),
            }
            match self.next_token() {
                b',' => self.at += 1,
                b'}' => break,
                _ => return self.no("neither a comma nor the end of an object"),
            }
        }
        self.leave();
        if self.members.len() - start >= WIDE || tries >= MANY {
            let mut members = self.members.split_off(start);
            repeated += keep_last(&mut members, self.arena);
            self.members.append(&mut members);
        }
        let members = self.arena.alloc_slice_fill_iter(self.members.drain(start..));
        Some(Node::Object(self.arena.alloc(Object::new(members, repeated, self.arena))))
    }

    fn array(&mut self) -> Option<Node<'a>> {
        let start = self.items.len();
        if self.next_token() == b']' {
            self.leave();
            return Some(Node::Array(&[]));
        }
        loop {
            let item = self.value()?;
            self.items.push(item);
            match self.next_token() {
                b',' => self.at += 1,
                b']' => break,
                _ => return self.no("neither a comma nor the end of a list"),
            }
        }
        self.leave();
        Some(Node::Array(self.arena.alloc_slice_fill_iter(self.items.drain(start..))))
    }

    /// A string, of which `at` is the first quotation mark.
    #[inline]
    fn string(&mut self) -> Option<&'a str> {
        let start = self.at + 1;
        let end = special(self.bytes, start);
        self.at = end;
        if self.peek() == b'"' {
            self.at = end + 1;
            return Some(&self.text[start..end]);
        }
        self.escaped(start)
    }

    /// The rest of a string with escapes; `at` is at the first of them.
    #[cold]
    fn escaped(&mut self, start: usize) -> Option<&'a str> {
        // It gets no longer than it is written, and what grows in an arena leaves its earlier places behind.
        let mut end = self.at;
        while self.bytes.get(end) == Some(&b'\\') {
            end = special(self.bytes, (end + 2).min(self.bytes.len()));
        }
        let mut out = String::with_capacity_in(end - start, self.arena);
        out.push_str(&self.text[start..self.at]);
        loop {
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Some(out.into_bump_str());
                }
                b'\\' => {
                    self.at += 1;
                    let byte = self.peek();
                    self.at += 1;
                    out.push(match byte {
                        b'"' | b'\\' | b'/' => char::from(byte),
                        b'b' => '\u{8}',
                        b'f' => '\u{c}',
                        b'n' => '\n',
                        b'r' => '\r',
                        b't' => '\t',
                        b'u' => self.code_point()?,
                        _ => return self.no("an escape that JSON doesn't have"),
                    });
                }
                _ if self.at >= self.bytes.len() => return self.no("the end inside of a string"),
                _ => return self.no("a control character inside of a string"),
            }
            let end = special(self.bytes, self.at);
            out.push_str(&self.text[self.at..end]);
            self.at = end;
        }
    }

    /// What `\u` names, with the second half of a pair if it is one.
    fn code_point(&mut self) -> Option<char> {
        let first = self.hex()?;
        let code = match first {
            0xd800..0xdc00 if self.bytes[self.at..].starts_with(b"\\u") => {
                self.at += 2;
                match self.hex()? {
                    second @ 0xdc00..0xe000 => 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                    _ => return self.no("half of a surrogate pair"),
                }
            }
            code => code,
        };
        char::from_u32(code).or_else(|| self.no("half of a surrogate pair"))
    }

    fn hex(&mut self) -> Option<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = char::from(self.peek()).to_digit(16).or_else(|| self.no("no hexadecimal digit"))?;
            code = code << 4 | digit;
            self.at += 1;
        }
        Some(code)
    }

    fn number(&mut self) -> Option<Node<'a>> {
        let start = self.at;
        let negative = self.peek() == b'-';
        if negative {
            self.at += 1;
        }
        let first = self.at;
        let mut whole = 0_u64;
        let mut fits = true;
        while let digit @ b'0'..=b'9' = self.peek() {
            let longer = whole.checked_mul(10).and_then(|n| n.checked_add(u64::from(digit - b'0')));
            fits &= longer.is_some();
            whole = longer.unwrap_or(0);
            self.at += 1;
        }
        if self.at == first || (self.bytes[first] == b'0' && self.at > first + 1) {
            return self.no("no number");
        }
        let mut fraction = false;
        if self.peek() == b'.' {
            fraction = true;
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            fraction = true;
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        if fits && !fraction {
            match (negative, i64::try_from(whole)) {
                (false, Ok(number)) => return Some(Node::Int(number)),
                (false, Err(_)) => return Some(Node::UInt(whole)),
                // Minus zero has no whole number.
                (true, Ok(number)) if number != 0 => return Some(Node::Int(-number)),
                (true, Err(_)) if whole == 1 << 63 => return Some(Node::Int(i64::MIN)),
                _ => {}
            }
        }
        match self.text[start..self.at].parse::<f64>() {
            Ok(number) if number.is_finite() => Some(Node::Float(number)),
            _ => self.no("a number that is too large"),
        }
    }

    fn digits(&mut self) -> Option<()> {
        let first = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == first { self.no("no digit") } else { Some(()) }
    }
}

/// Where the next quotation mark, backslash or control character is, or the end.
#[inline]
fn special(bytes: &[u8], mut at: usize) -> usize {
    while let Some(step) = bytes.get(at..).and_then(<[u8]>::first_chunk::<16>) {
        let found = super::json::need_escape(*step);
        if found != 0 {
            return at + found.trailing_zeros() as usize;
        }
        at += 16;
    }
    while at < bytes.len() && !super::json::needs_escape(bytes[at]) {
        at += 1;
    }
    at
}

/// Gives the earlier values of names that come again names of their own, or takes them away if they say nothing else. How many there were.
fn keep_last<'a>(members: &mut Vec<Member<'a>>, arena: &'a Bump) -> u32 {
    let mut names: Vec<&str> = members.iter().map(|member| member.name).collect();
    names.sort_unstable();
    if names.windows(2).all(|pair| pair[0] != pair[1]) {
        return 0;
    }
    drop(names);
    let mut last = BTreeMap::new();
    for (index, member) in members.iter().enumerate() {
        last.insert(member.name, index);
    }
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    // The number after the last one that was tried, for each name, so that none is tried twice.
    let mut next: BTreeMap<&str, u32> = BTreeMap::new();
    let mut repeated = 0;
    let earlier: Vec<Option<&'a str>> = members
        .iter()
        .enumerate()
        .map(|(index, member)| {
            let last_index = *last.get(member.name)?;
            if last_index == index {
                return None;
            }
            repeated += 1;
            if same(&member.value, &members[last_index].value) {
                return Some("");
            }
            let from = next.entry(member.name).or_insert(1);
            let (name, number) =
                earlier_name(member.name, *from, |name| last.contains_key(name) || taken.contains(name));
            *from = number + 1;
            let name = arena.alloc_str(&name);
            taken.insert(name);
            Some(name)
        })
        .collect();
    let mut earlier = earlier.into_iter();
    members.retain_mut(|member| match earlier.next().flatten() {
        None => true,
        Some("") => false,
        Some(name) => {
            member.tag = tag(name);
            member.name = name;
            true
        }
    });
    repeated
}

/// A bit for the tag of each name that was there, so that most names are known to be new without looking.
#[derive(Default)]
struct Seen([u64; 4]);

impl Seen {
    /// Adds a tag. False if it wasn't there for sure.
    #[inline]
    fn add(&mut self, tag: u32) -> bool {
        let place = tag.wrapping_mul(0x9e37_79b9) >> 24;
        let (word, bit) = (&mut self.0[(place >> 6) as usize], 1 << (place & 63));
        let was_there = *word & bit != 0;
        *word |= bit;
        was_there
    }
}

/// The name under which an earlier value of a name is kept, and its number: `name#1`, or the next number that is free.
fn earlier_name(name: &str, from: u32, is_there: impl Fn(&str) -> bool) -> (std::string::String, u32) {
    let mut number = from;
    loop {
        let candidate = format!("{name}#{number}");
        if !is_there(&candidate) {
            return (candidate, number);
        }
        number += 1;
    }
}

/// Whether two values are plain and the same.
fn same(left: &Node<'_>, right: &Node<'_>) -> bool {
    match (left, right) {
        (Node::Null, Node::Null) => true,
        (Node::Bool(left), Node::Bool(right)) => left == right,
        (Node::Int(left), Node::Int(right)) => left == right,
        (Node::Str(left), Node::Str(right)) => left == right,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn value(node: &Node<'_>) -> Value {
        match node {
            Node::Null => Value::Null,
            Node::Bool(flag) => Value::from(*flag),
            Node::Int(number) => Value::from(*number),
            Node::UInt(number) => Value::from(*number),
            Node::Float(number) => Value::from(*number),
            Node::Str(text) => Value::from(*text),
            Node::Array(items) => items.iter().map(value).collect(),
            Node::Object(object) => {
                // The other parser forgets earlier values.
                let there = |name: &str| object.peek(name).is_some();
                let earlier = |name: &str| {
                    object.repeated > 0
                        && name.rsplit_once('#').is_some_and(|(n, count)| there(n) && count.parse::<u32>().is_ok())
                };
                let members = object.members().iter().filter(|m| !earlier(m.name));
                Value::Object(members.map(|m| (m.name.to_string(), value(&m.value))).collect::<Map<_, _>>())
            }
        }
    }

    /// Both read the same, or both refuse.
    fn compare(text: &[u8]) -> Result<(), TestCaseError> {
        let expected: Result<Value, _> = serde_json::from_slice(text);
        let arena = Bump::new();
        let found = parse(text, &arena).map(|node| value(&node));
        match (found, expected) {
            (Ok(found), Ok(expected)) => prop_assert_eq!(found, expected),
            (Err(found), Ok(_)) if found.reason.starts_with("nesting") => {}
            (found, expected) => {
                prop_assert!(found.is_err() && expected.is_err(), "{:?}: {:?}, {:?}", text, found, expected);
            }
        }
        Ok(())
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,20}".prop_map(Value::from),
            "[\\x00-\\x7f]{0,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec(("[a-c]{0,2}|\\PC{0,12}", inner), 0..8)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn json_is_read_as_serde_json_reads_it(json in any_json(), pretty: bool) {
            let text = if pretty { serde_json::to_vec_pretty(&json) } else { serde_json::to_vec(&json) }.unwrap();
            compare(&text)?;
        }

        #[test]
        fn damaged_json_is_refused_where_serde_json_refuses_it(
            json in any_json(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
        ) {
            let mut text = serde_json::to_vec(&json).unwrap();
            for (place, byte, how) in changes {
                let place = place.index(text.len() + 1);
                match how {
                    0 if place < text.len() => text[place] = byte,
                    1 => text.insert(place, byte),
                    _ => text.truncate(place),
                }
            }
            compare(&text)?;
        }

        #[test]
        fn anything_that_looks_like_json(text in r#"[\[\]{}:,"\\/bfnrtu0-9a-fA-F.eE+\- \x00-\x20dD]{0,40}"#) {
            compare(text.as_bytes())?;
        }

        #[test]
        fn numbers_and_escapes(number in r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{0,20})?([eE][+-]?[0-9]{0,4})?", escape in r"(\\u[0-9a-fA-F]{0,4}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\[a-z]|x){0,5}") {
            compare(number.as_bytes())?;
            compare(format!("\"{escape}\"").as_bytes())?;
        }
    }

    #[test]
    fn a_long_text_of_escapes_takes_its_place_once() {
        for text in ["\\n".repeat(1 << 20), "x\\\"".repeat(1 << 20), "\\u00e4".repeat(1 << 18), "\\\\".repeat(1 << 20)]
        {
            let text = format!("\"{text}\"");
            let arena = Bump::new();
            assert!(matches!(parse(text.as_bytes(), &arena), Ok(Node::Str(_))));
            assert!(arena.allocated_bytes() < text.len() + 4096, "{} for {}", arena.allocated_bytes(), text.len());
        }
    }

    #[test]
    fn the_place_and_the_reason_are_told() {
        let told = |text: &str| parse(text.as_bytes(), &Bump::new()).unwrap_err().to_string();
        assert_eq!(told(r#"{"a":1,}"#), "no name of a member at byte 8");
        assert_eq!(told(r#"{"a":1"#), "neither a comma nor the end of an object at byte 7");
        assert_eq!(told("\"abc"), "the end inside of a string at byte 5");
        assert_eq!(told(""), "the end instead of a value at byte 1");
        assert_eq!(parse(b"\"\xff\"", &Bump::new()).unwrap_err().to_string(), "no UTF-8 at byte 2");
        // Wherever it stands, and also where the text is cut in the middle of a character.
        for at in [0, 1, 14, 15, 16, 31, 62, 63, 64, 127, 128, 1000] {
            for bad in [&b"\xff"[..], b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc0\xaf", b"\xed\xa0\x80"] {
                let text = [&vec![b' '; at], bad].concat();
                let place = std::str::from_utf8(&text).unwrap_err().valid_up_to() + 1;
                let reason = parse(&text, &Bump::new()).unwrap_err().to_string();
                assert_eq!(reason, format!("no UTF-8 at byte {place}"), "{bad:x?} at {at}");
            }
        }
        assert_eq!(told(&"[".repeat(1_000)), "nesting too deep at byte 65");
    }
}

//! Text that somebody else wrote, of services, plugins and files, on its way to the log, a terminal, the ledger or an event.
//!
//! Invariant: what comes out of [`readable`] is one line of bounded length in which no character hides or moves another one, and no live
//! secret: whoever holds one says so with [`hide`] or [`hide_token`]. What looks like the value of an `Authorization` header goes as well,
//! whoever it belongs to.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{PoisonError, RwLock};

use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD, Engine};
use zeroize::Zeroizing;

/// What stands in the place of a secret.
pub const HIDDEN: &str = "[redacted]";

/// A sentence or two of somebody else, in characters.
pub const SENTENCE: usize = 1_000;

/// A name, a code or an id of somebody else, in characters.
pub const WORD: usize = 200;

/// A shorter secret is part of ordinary words, so that hiding it would hide those. In bytes.
const SHORTEST: usize = 6;
/// Of longer ones a beginning of this length is looked for. In bytes.
const STEM: usize = 8;
/// So many of the newest tokens are hidden. Each audience has one that lives and one that was replaced.
const TOKENS: usize = 64;
/// So much of a secret is hidden where the rest of it was cut off or changed, in bytes.
const PART: usize = 16;

static SECRETS: RwLock<Secrets> = RwLock::new(Secrets { kept: Vec::new(), tokens: VecDeque::new() });

struct Secrets {
    kept: Vec<Forms>,
    tokens: VecDeque<Forms>,
}

/// A secret in the forms in which it may be repeated; the first one is as it is.
struct Forms(Vec<Zeroizing<String>>);

impl Forms {
    fn of(secret: &str) -> Self {
        let percent: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let html = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        let json = serde_json::to_string(secret).unwrap_or_default().trim_matches('"').to_owned();
        let mut all = vec![
            secret.to_owned(),
            percent.to_ascii_lowercase(),
            percent.replace('+', "%20"),
            percent,
            html.replace('\'', "&#39;"),
            html,
            json.replace('/', "\\/"),
            json,
        ];
        // In the base64 of a longer text, such as `user:password`, it begins at one of three places.
        for before in 0..3 {
            let mut bytes = Zeroizing::new(vec![0; before]);
            bytes.extend_from_slice(secret.as_bytes());
            // The characters that depend on nothing else.
            let (first, last) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
            for engine in [BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD] {
                let text = Zeroizing::new(engine.encode(&bytes));
                all.extend(text.get(first..last).filter(|text| text.len() >= STEM).map(str::to_owned));
            }
        }
        let mut forms: Vec<Zeroizing<String>> = Vec::with_capacity(all.len());
        for form in all.into_iter().map(Zeroizing::new) {
            if !forms.contains(&form) {
                forms.push(form);
            }
        }
        Self(forms)
    }

    fn is_of(&self, secret: &str) -> bool {
        self.0.first().is_some_and(|form| form.as_str() == secret)
    }
}

/// Hides a secret for as long as the process lives.
pub fn hide(secret: &str) {
    let mut secrets = SECRETS.write().unwrap_or_else(PoisonError::into_inner);
    if secret.len() >= SHORTEST && !secrets.kept.iter().any(|forms| forms.is_of(secret)) {
        secrets.kept.push(Forms::of(secret));
    }
}

/// Hides a token that will be replaced.
pub fn hide_token(token: &str) {
    let mut secrets = SECRETS.write().unwrap_or_else(PoisonError::into_inner);
    if token.len() >= SHORTEST && !secrets.tokens.iter().any(|forms| forms.is_of(token)) {
        if secrets.tokens.len() >= TOKENS {
            secrets.tokens.pop_front();
        }
        secrets.tokens.push_back(Forms::of(token));
    }
}

/// One line of at most so many characters, and `…` if there was more: blanks of any kind as one blank, and characters that would move or
/// hide others as `\u{…}`.
pub fn readable(text: &str, characters: usize) -> String {
    // What is cut off is nobody's to read; a secret that the cut goes through is known by its beginning.
    let most = characters.saturating_mul(8);
    let cut = text.len() > most;
    let text = without_secrets(&text[..text.floor_char_boundary(most)]);
    let mut out = String::with_capacity(text.len().min(characters + 8));
    let (mut count, mut blank) = (0, false);
    for character in text.trim().chars() {
        if matches!(character, ' ' | '\t' | '\r' | '\n') {
            blank = true;
            continue;
        }
        if count >= characters {
            out.push('…');
            return out;
        }
        if std::mem::take(&mut blank) {
            out.push(' ');
            count += 1;
        }
        let before = out.len();
        show(character, &mut out);
        count += if out.len() - before > 4 { out.len() - before } else { 1 };
    }
    if cut {
        out.push('…');
    }
    out
}

/// Writes a character, or what it is if it is none to see.
fn show(character: char, out: &mut String) {
    if is_harmless(character) {
        out.push(character);
    } else {
        out.extend(character.escape_unicode());
    }
}

/// Whether a character neither steers a terminal nor moves or hides other characters: no control (Unicode: general category Cc), no
/// line or paragraph separator, no bidirectional control (Unicode: UAX 9), none without a width, no tag.
pub(crate) fn is_harmless(character: char) -> bool {
    !character.is_control()
        && !matches!(character,
            '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text without live secrets, and otherwise as it is.
pub fn without_secrets(text: &str) -> Cow<'_, str> {
    let mut found = Vec::new();
    {
        let secrets = SECRETS.read().unwrap_or_else(PoisonError::into_inner);
        for form in secrets.kept.iter().chain(&secrets.tokens).flat_map(|forms| &forms.0) {
            find(text, form, &mut found);
        }
    }
    find_authorization(text, &mut found);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    found.sort_unstable();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (start, end) in found {
        if start >= at {
            out.push_str(&text[at..start]);
            out.push_str(HIDDEN);
        }
        at = at.max(end);
    }
    out.push_str(&text[at..]);
    Cow::Owned(out)
}

/// Where the secret stands, whole, or a long beginning of it, or a beginning that ends with the text.
fn find(text: &str, secret: &str, found: &mut Vec<(usize, usize)>) {
    let stem = secret.floor_char_boundary(STEM);
    let mut from = 0;
    for start in memchr::memmem::find_iter(text.as_bytes(), &secret.as_bytes()[..stem]) {
        if start < from {
            continue;
        }
        let same = text[start..].bytes().zip(secret.bytes()).take_while(|(a, b)| a == b).count();
        let end = text.ceil_char_boundary(start + same);
        if same == secret.len() || same >= PART || start + same == text.len() {
            found.push((start, end));
            from = end;
        }
    }
}

/// Where something stands that looks like a token: behind `Bearer` or `Basic`, or a JWT.
fn find_authorization(text: &str, found: &mut Vec<(usize, usize)>) {
    let bytes = text.as_bytes();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=%".contains(&byte);
    let length = |from: usize| bytes[from..].iter().take_while(|byte| is_token(**byte)).count();
    for start in memchr::memchr3_iter(b'B', b'b', b'e', bytes) {
        let rest = &bytes[start..];
        let behind = [&b"bearer"[..], b"basic"].into_iter().find_map(|scheme| {
            rest.get(..scheme.len()).filter(|word| word.eq_ignore_ascii_case(scheme)).map(|_| start + scheme.len())
        });
        if let Some(behind) = behind {
            let blanks = bytes[behind..].iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'+' | b':')).count();
            let from = behind + blanks;
            let token = length(from);
            // A word of a sentence is shorter, and has no digit.
            let long = token >= 24 || (token >= STEM && bytes[from..from + token].iter().any(u8::is_ascii_digit));
            if blanks > 0 && long {
                found.push((from, from + token));
            }
        } else if rest.starts_with(b"eyJ") && (start == 0 || !is_token(bytes[start - 1])) {
            let token = length(start);
            if token >= 24 && bytes[start..start + token].contains(&b'.') {
                found.push((start, start + token));
            }
        }
    }
}

/// A place for log lines, which writes each without secrets and with what steers a terminal made visible.
#[derive(Debug)]
pub struct Hiding<W> {
    inner: W,
    /// Whether the lines are coloured, with sequences that stay as they are.
    coloured: bool,
}

impl<W> Hiding<W> {
    /// Lines go on to `inner`; `coloured` says whether they hold escape sequences of ours.
    pub fn new(inner: W, coloured: bool) -> Self {
        Self { inner, coloured }
    }
}

impl<W: Write> Write for Hiding<W> {
    /// Takes whole lines, as a log writes them.
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(buffer);
        let line = without_secrets(text.strip_suffix('\n').unwrap_or(&text));
        let mut out = String::with_capacity(line.len() + 1);
        for character in line.chars() {
            if character == '\t' || (self.coloured && character == '\u{1b}') {
                out.push(character);
            } else {
                show(character, &mut out);
            }
        }
        if text.ends_with('\n') {
            out.push('\n');
        }
        self.inner.write_all(out.as_bytes())?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_stays_one_line_and_shows_what_is_in_it() {
        assert_eq!(readable("a\r\n ERROR  b\u{1b}[31m\u{202e}c\0", 100), "a ERROR b\\u{1b}[31m\\u{202e}c\\u{0}");
        assert_eq!(readable("  grüße 日本 👩‍💻 שלום ", 100), "grüße 日本 👩‍💻 שלום");
        assert_eq!(readable(&"x".repeat(30 << 20), 100), format!("{}…", "x".repeat(100)));
        assert_eq!(readable(&"\n".repeat(30 << 20), 100), "…");
        assert!(readable(&"\u{202e}".repeat(10_000), 100).len() < 120);
    }

    #[test]
    fn secrets_are_hidden_in_every_form() {
        let secret = "Canary~a+b/c=d&e\"f\\g 1";
        hide(secret);
        let percent: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let all = [
            secret.to_owned(),
            format!("{{\"echo\": {}}}", serde_json::to_string(secret).unwrap()),
            percent.clone(),
            percent.to_ascii_lowercase(),
            BASE64_STANDARD_NO_PAD.encode(secret),
            BASE64_STANDARD_NO_PAD.encode(format!("user:{secret}")),
            BASE64_STANDARD_NO_PAD.encode(format!("users:{secret}")),
            BASE64_URL_SAFE_NO_PAD.encode(format!("my:{secret} and more")),
            format!("cut off here: {}", &secret[..12]),
        ];
        for text in all {
            let shown = readable(&format!("it said {text}"), 500);
            assert!(shown.starts_with("it said ") && shown.contains(HIDDEN), "{text}: {shown}");
            assert!(!shown.contains("Canary") && !shown.contains("anary~a"), "{shown}");
            let kept = BASE64_STANDARD_NO_PAD.encode(&secret[3..12]);
            assert!(!shown.contains(&kept), "{shown}");
        }
    }

    #[test]
    fn what_looks_like_a_token_is_hidden_and_words_are_not() {
        for (text, shown) in [
            ("Authorization: Bearer abc123def4", "Authorization: Bearer [redacted]"),
            ("authorization=bearer+abc123def4&x", "authorization=bearer+[redacted]&x"),
            ("Basic dXNlcjpwYXNzd29yZA==!", "Basic [redacted]!"),
            ("got eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0. here", "got [redacted] here"),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
        for text in [
            "Bearer authentication is required",
            "a basic understanding",
            "Bearer realm=\"x\"",
            "bearer token",
            "keyJx",
        ] {
            assert_eq!(without_secrets(text), text);
        }
    }

    #[test]
    fn only_the_newest_tokens_are_kept() {
        hide_token("token-canary-of-old");
        (0..2 * TOKENS).for_each(|n| hide_token(&format!("token-canary-{n:08}")));
        assert!(SECRETS.read().unwrap().tokens.len() <= TOKENS);
    }

    #[test]
    fn a_log_line_is_written_whole_and_without_secrets() {
        hide("line-canary-77");
        let mut out = Vec::new();
        Hiding::new(&mut out, false).write_all("WARN a line-canary-77\nERROR \u{1b}[2J\n".as_bytes()).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "WARN a [redacted]\\u{a}ERROR \\u{1b}[2J\n");
    }

    proptest! {
        #[test]
        fn any_text(text in "(\\PC|[\\x00-\\x20]|prop-canary-5501|Bearer |eyJ){0,40}", most in 0_usize..60) {
            hide("prop-canary-5501");
            let shown = readable(&text, most);
            prop_assert!(shown.chars().all(is_harmless));
            prop_assert!(!shown.contains("prop-canary-5501"));
            prop_assert!(shown.chars().count() <= most + 20);
        }
    }
}

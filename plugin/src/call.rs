//! What the state machines of the source ask for and what they get back: requests, answers, steps.
//!
//! Invariant: nothing here does I/O. `driver.rs` carries requests out through the traits below, `component.rs`
//! implements the traits over the `http` and `log` imports, and tests implement them with a script.

use crate::clock;
use crate::error::{Error, ErrorKind};

/// The methods that the two APIs need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Starts a subscription.
    Post,
}

/// One request to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// An absolute URL.
    pub url: String,
    /// Further headers, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The audience whose token the host puts on.
    pub audience: &'static str,
    /// The quota the request counts against.
    pub quota: &'static str,
    /// The time limit of the whole exchange, in milliseconds.
    pub timeout_ms: u32,
}

/// Status and headers of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The HTTP status.
    pub status: u16,
    /// The headers as received.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The first header of that name, in any letter case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The server's clock when it answered, in milliseconds since 1970. It is a claim: the host has put it into bounds, and
    /// no other reason to take a time for listed.
    pub fn date_ms(&self) -> Option<u64> {
        self.header("date").and_then(clock::parse_http_date)
    }

    /// How long the server asks to wait, in milliseconds: `Retry-After` in seconds, of which Graph sends fractions
    /// (microsoft-graph-docs#3877), or as a time that is compared with the answer's own `Date`. An hour at most.
    pub fn retry_after_ms(&self) -> Option<u64> {
        let value = self.header("retry-after")?;
        let number = value.bytes().any(|byte| byte.is_ascii_digit())
            && value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let wait = if number {
            // What doesn't fit becomes the largest number there is.
            (value.parse::<f64>().ok()? * clock::SECOND as f64).ceil() as u64
        } else {
            clock::parse_http_date(value)?.saturating_sub(self.date_ms()?)
        };
        Some(wait.min(clock::HOUR))
    }

    /// ` (request id …)` for messages, from the header that names the request in Microsoft's logs; empty without one.
    pub fn request_id(&self) -> String {
        match self.header("request-id").or_else(|| self.header("x-ms-request-id")) {
            Some(id) if id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_graphic()) => {
                format!(" (request id {id})")
            }
            _ => String::new(),
        }
    }
}

/// An answer whose body is small and was read whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Status and headers.
    pub head: Head,
    /// The decoded body.
    pub body: Vec<u8>,
}

/// What a machine wants next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// Make this call and hand its answer over.
    Call(Request),
    /// The work is done.
    Done(T),
    /// The work can't be done.
    Fail(Error),
}

/// A conversation with a service in small answers: it says what to call, is told the answer, and so on until done.
pub trait Machine {
    /// What the conversation is for.
    type Output;
    /// The first step.
    fn start(&mut self) -> Step<Self::Output>;
    /// The step after an answer, or after a call that had none.
    fn on_answer(&mut self, answer: Result<Answer, Error>) -> Step<Self::Output>;
    /// Lines for the operator that have come up since the last call.
    fn take_notes(&mut self) -> Vec<Note> {
        Vec::new()
    }
}

/// How a line for the operator weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For those who look closely.
    Debug,
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warn,
}

/// A line for the operator. Never holds content of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its weight.
    pub level: Level,
    /// One sentence.
    pub message: String,
}

/// Sends requests.
pub trait Http {
    /// The body of an answer, read in pieces.
    type Body: Body;
    /// Waits for status and headers. An error means that there is no answer.
    fn send(&mut self, request: &Request) -> Result<(Head, Self::Body), Error>;
}

/// A body being read.
pub trait Body {
    /// The next at most `max` bytes; empty at the end.
    fn read(&mut self, max: u32) -> Result<Vec<u8>, Error>;
}

/// Takes lines for the operator.
pub trait Log {
    /// Writes one line that belongs to a stream.
    fn write(&mut self, stream: &str, note: Note);
}

/// Adds to a refusal by the host's policy where the address came from: a service that hands out an address on another
/// host is something that the operator has to see.
pub fn handed_out(error: Error, root: &str, what: &str, url: &str) -> Error {
    if error.kind != ErrorKind::DeniedByHost {
        return error;
    }
    Error {
        message: format!(
            "The service handed out a {what} at {}, and the configured root is {root}; the host refused to call it: {} If the tenant lives in another cloud, choose that cloud in the configuration.",
            excerpt(host_of(url)),
            error.message
        ),
        ..error
    }
}

/// The same path and query on the configured root's host; none if that is where the address points, or if it has no path.
pub fn at_root(url: &str, root: &str) -> Option<String> {
    let (host, own) = (host_of(url), host_of(root));
    let path = &url[host.len()..];
    (host != own && path.starts_with('/')).then(|| format!("{own}{path}"))
}

/// Whether two addresses are of one page, on whichever host.
pub fn same_page(one: &str, other: &str) -> bool {
    one[host_of(one).len()..] == other[host_of(other).len()..]
}

/// What is told when the host refused to call a next page that the service handed out, and it is asked for at the configured root.
pub fn asked_at_root(what: &str, url: &str, root: &str) -> Note {
    Note {
        level: Level::Warn,
        message: format!(
            "The service handed out a {what} at {}, which isn't the configured root {root} and isn't called; the page is asked for there.",
            excerpt(host_of(url))
        ),
    }
}

/// Scheme, host and port of an address, without the path, which may hold ids.
pub fn host_of(url: &str) -> &str {
    let after = url.find("://").map_or(0, |i| i + 3);
    let end = url[after..].find(['/', '?', '#']).map_or(url.len(), |i| after + i);
    &url[..end]
}

/// At most 300 characters of a service's own words, on one line. A character that a terminal or an editor acts upon instead of
/// showing it stands there by its number.
pub fn excerpt(text: &str) -> String {
    const LENGTH: usize = 300;
    let mut out = String::new();
    for (number, word) in text.split_whitespace().enumerate() {
        if number > 0 {
            out.push(' ');
        }
        for character in word.chars().take(LENGTH + 1) {
            if acts(character) {
                out.extend(character.escape_unicode());
            } else {
                out.push(character);
            }
        }
        if let Some((end, _)) = out.char_indices().nth(LENGTH) {
            out.truncate(end);
            out.push('…');
            break;
        }
    }
    out
}

/// Whether a character changes how others are shown: controls, marks of direction and of joining, line separators, tags.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: &[(&str, &str)]) -> Head {
        Head { status: 200, headers: headers.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect() }
    }

    #[test]
    fn headers_match_in_any_case() {
        let head = head(&[("nextpageURI", " https://x/ ")]);
        assert_eq!(head.header("NextPageUri"), Some("https://x/"));
    }

    #[test]
    fn retry_after_takes_seconds_and_dates() {
        assert_eq!(head(&[("Retry-After", "30")]).retry_after_ms(), Some(30_000));
        let dated =
            head(&[("Retry-After", "Sun, 29 Nov 2026 20:29:52 GMT"), ("Date", "Sun, 29 Nov 2026 20:28:52 GMT")]);
        assert_eq!(dated.retry_after_ms(), Some(60_000));
        assert_eq!(head(&[("Retry-After", "later")]).retry_after_ms(), None);
        assert_eq!(head(&[("Retry-After", "0.249")]).retry_after_ms(), Some(249));
        for text in ["31536000", "18446744073709551615", "99999999999999999999", &"9".repeat(400)] {
            assert_eq!(head(&[("Retry-After", text)]).retry_after_ms(), Some(clock::HOUR), "{text}");
        }
        for text in ["", "-1", ".", "1.2.3", "1e3", "NaN", "inf"] {
            assert_eq!(head(&[("Retry-After", text)]).retry_after_ms(), None, "{text}");
        }
    }

    #[test]
    fn host_and_excerpt() {
        assert_eq!(host_of("https://a.example:1/x?y"), "https://a.example:1");
        assert_eq!(host_of("nonsense"), "nonsense");
        let root = "https://own.example/manage";
        assert_eq!(at_root("https://a.example:1/x?y=/z", root).as_deref(), Some("https://own.example/x?y=/z"));
        for not in ["https://own.example/x", "https://a.example", "https://a.example?x", "nonsense", ""] {
            assert_eq!(at_root(not, root), None, "{not}");
        }
        // Whatever stands there, the host is ours.
        for (url, at) in [
            ("https://own.example@evil.example/x", "https://own.example/x"),
            ("https://evil.example//other.example/x", "https://own.example//other.example/x"),
            ("http://own.example/x", "https://own.example/x"),
            ("https://own.example:444/@evil.example/", "https://own.example/@evil.example/"),
        ] {
            assert_eq!(at_root(url, root).as_deref(), Some(at));
        }
        assert!(same_page("https://a/x?y", "https://b/x?y") && !same_page("https://a/x?y", "https://a/x?z"));
        assert_eq!(excerpt("a\r\n b"), "a b");
        assert_eq!(excerpt(&"é".repeat(400)).chars().count(), 301);
        assert_eq!(excerpt(&"é é".repeat(400)).chars().count(), 301);
    }

    #[test]
    fn what_acts_instead_of_showing_is_shown_by_its_number() {
        assert_eq!(excerpt("a\u{1b}[31m\r\nERROR forged\u{202e}"), "a\\u{1b}[31m ERROR forged\\u{202e}");
        assert_eq!(excerpt("\0\u{feff}\u{200b}\u{2066}x"), "\\u{0}\\u{feff}\\u{200b}\\u{2066}x");
        assert_eq!(excerpt("Müller – 日本語 🙂"), "Müller – 日本語 🙂");
        for character in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let shown = excerpt(&character.to_string());
            assert!(shown.len() <= 20 && !shown.chars().any(acts), "{character:?}");
        }
        let forged = Head { status: 500, headers: vec![("request-id".into(), "ab\u{1b}[31mc".into())] };
        assert_eq!(forged.request_id(), "");
    }
}

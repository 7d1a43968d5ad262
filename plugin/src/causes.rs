//! What answers mean, as rows of data: which status, code and words of which call, and what that is to the host and to the operator.
//!
//! Invariant: the first row that fits counts. A row says what it needs and nothing else, so that the tables of the APIs are read from
//! top to bottom. A status of 200 is no success by itself: what comes here with one wasn't what was asked for.

use crate::call::{Answer, excerpt};
use crate::error::{Diagnosis, ErrorKind};

/// Which statuses a row is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Every one.
    Any,
    /// These.
    Is(&'static [u16]),
    /// From this one on.
    From(u16),
}

/// One row. `A` is what a call can be about.
#[derive(Clone, Copy, Debug)]
pub struct Cause<A: 'static> {
    /// The statuses that it needs.
    pub status: Status,
    /// The codes, one of which it needs in any letter case; one that ends with `*` stands for all that begin so. Empty: any.
    pub codes: &'static [&'static str],
    /// Words in lower case, one of which the service's text has to hold; a `*` stands for anything between. Empty: any.
    pub text: &'static [&'static str],
    /// What the call was about. Empty: anything.
    pub about: &'static [A],
    /// Whether the body has to be markup.
    pub markup: bool,
    /// What the host acts upon.
    pub kind: ErrorKind,
    /// The stable word, if it isn't the service's own code.
    pub code: Option<&'static str>,
    /// One sentence that says what it means; empty if the service's own words do.
    pub says: &'static str,
    /// What to do: `{permissions}` stands for the permissions of the stream.
    pub mend: &'static str,
}

impl<A: Copy + PartialEq> Cause<A> {
    /// A row that fits everything.
    pub const ANY: Self = Self {
        status: Status::Any,
        codes: &[],
        text: &[],
        about: &[],
        markup: false,
        kind: ErrorKind::Protocol,
        code: None,
        says: "",
        mend: "",
    };

    fn fits(&self, status: u16, words: &Words, about: A) -> bool {
        let status = match self.status {
            Status::Any => true,
            Status::Is(list) => list.contains(&status),
            Status::From(least) => status >= least,
        };
        let text = || {
            let text = words.text.to_lowercase();
            self.text.iter().any(|words| holds(&text, words))
        };
        status
            && (!self.markup || words.html)
            && (self.about.is_empty() || self.about.contains(&about))
            && (self.codes.is_empty() || self.codes.iter().any(|code| words.has(code)))
            && (self.text.is_empty() || text())
    }
}

/// Whether a text holds the words between the stars, one behind the other.
fn holds(text: &str, words: &str) -> bool {
    let mut rest = text;
    words.split('*').all(|word| match rest.split_once(word) {
        Some((_, behind)) => {
            rest = behind;
            true
        }
        None => false,
    })
}

/// What a service says in a body that isn't what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The codes, outermost first.
    pub codes: Vec<String>,
    /// The text, whole: what the rows look for may stand behind a stack trace. It is shown as an excerpt.
    pub text: String,
    /// Whether the body is markup.
    pub html: bool,
    /// What the body is, for one that says nothing.
    pub shape: &'static str,
}

impl Words {
    /// Whether one of the codes is this one, in any letter case; with a `*` at its end, whether one begins so.
    pub fn has(&self, code: &str) -> bool {
        self.codes.iter().any(|known| match code.strip_suffix('*') {
            Some(start) => known.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start)),
            None => known.eq_ignore_ascii_case(code),
        })
    }
}

/// What a body is, for people: its content is never shown, since it can hold records.
pub fn shape(body: &[u8]) -> &'static str {
    let text = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body).trim_ascii();
    match text.first() {
        None => "an empty body",
        Some(b'<') => "a page of HTML or XML",
        Some(b'{') if serde_json::from_slice::<serde_json::Value>(text).is_ok() => "an object",
        Some(b'[') if serde_json::from_slice::<serde_json::Value>(text).is_ok() => "a list",
        Some(b'n') if text == b"null" => "the word null",
        _ => "something that isn't whole JSON",
    }
}

/// What was called, for the sentence about it.
pub struct Call<'a, A> {
    /// The service with its API, as the subject of a sentence.
    pub service: &'a str,
    /// What was asked for, as an object: `a list for Audit.Exchange`.
    pub what: &'a str,
    /// What it was about, for the rows.
    pub about: A,
    /// The permissions of the stream.
    pub permissions: &'static [&'static str],
    /// The stable word of an answer that has a status of success and isn't what was asked for, and no code of its own.
    pub not_it: &'static str,
}

/// Says what an answer means and what to do about it.
pub fn diagnose<A: Copy + PartialEq>(
    table: &[Cause<A>],
    call: &Call<'_, A>,
    answer: &Answer,
    words: &Words,
) -> Diagnosis {
    let status = answer.head.status;
    let row = table.iter().find(|row| row.fits(status, words, call.about)).copied().unwrap_or(Cause::ANY);
    let said = match words.text.trim() {
        "" if (200..300).contains(&status) => format!(" and {} in its place", words.shape),
        "" => String::new(),
        text => format!(", saying \"{}\"", excerpt(text)),
    };
    let did = if (200..300).contains(&status) { "didn't give" } else { "refused" };
    let mut message =
        format!("{} {did} {}, with status {status}{said}{}.", call.service, call.what, answer.head.request_id());
    if !row.says.is_empty() {
        message.push(' ');
        message.push_str(row.says);
    }
    let code = match (row.code, words.codes.first()) {
        (Some(code), _) => code.to_owned(),
        (None, Some(code)) if is_word(code) => code.clone(),
        _ if (200..300).contains(&status) => call.not_it.to_owned(),
        _ => format!("http-{status}"),
    };
    let mend = row.mend.replace("{permissions}", &call.permissions.join(" and "));
    let mut diagnosis = Diagnosis::new(row.kind, code, message, mend);
    diagnosis.error.retry_after_ms = answer.head.retry_after_ms();
    diagnosis
}

/// Whether a code is a word that a metric can carry.
fn is_word(code: &str) -> bool {
    (1..=64).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

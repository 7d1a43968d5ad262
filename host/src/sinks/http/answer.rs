//! What an answer means for the batch: delivered, later, too large, bad data, or a fault of the configuration.
//!
//! The classes matter more than they look: a 401 taken for bad data would turn a whole stream into dead letters, and a
//! 400 taken for something that passes would hold delivery up for ever.

use std::time::Duration;

use crate::foreign_text;

/// What becomes of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Delivered.
    Confirmed,
    /// Try again, after this time at least if the service named one.
    Later {
        /// What happened.
        message: String,
        /// From `Retry-After`.
        wait: Option<Duration>,
    },
    /// Halve it; one event alone becomes a dead letter.
    TooLarge {
        /// A short stable word.
        code: String,
        /// What the service said.
        message: String,
    },
    /// Something in it is wrong: find it by halves; one event alone becomes a dead letter.
    Data {
        /// A short stable word.
        code: String,
        /// What the service said.
        message: String,
    },
    /// It has nothing to do with the data: somebody has to mend it.
    Configuration {
        /// What happened, and the mend.
        message: String,
    },
}

/// The verdict on an answer of `place`, whose body begins with `text`.
pub(super) fn judge(status: u16, place: &str, text: &str, wait: Option<Duration>) -> Verdict {
    let said = if text.is_empty() { String::new() } else { format!(" It said: {text}") };
    let answer = format!("{place} answered with status {status}.{said}");
    let configuration = |mend: &str| Verdict::Configuration { message: format!("{answer} {mend}") };
    match status {
        200..300 => Verdict::Confirmed,
        300..400 => configuration(
            "It redirects, which is not followed, since secrets would go along: put the final address into `url`.",
        ),
        401 | 407 => configuration(
            "It wants other credentials: check the sink's `auth` and `headers`, and the secrets they name.",
        ),
        402 => configuration("It wants to be paid first: look at the service's plan."),
        403 => configuration(
            "It refuses us: check what the sink's credentials are allowed to, and whether the address may reach it.",
        ),
        404 | 410 | 421 => {
            configuration("There is nothing at this address: check `url`, and that the service is set up there.")
        }
        405 => configuration("It takes no POST at this address: check `url`."),
        406 | 415 => configuration("It doesn't take this kind of body: check `encoding` and `compression`."),
        411 | 414 | 417 | 426 | 428 | 431 | 451 | 100..200 => configuration(
            "This has nothing to do with the data: check `url` and `headers`, and what stands between here and the service.",
        ),
        408 | 425 | 429 => Verdict::Later { message: answer, wait },
        413 => Verdict::TooLarge { code: "http-413".to_owned(), message: answer },
        // 400, 409, 422 and whatever else there is: it read the body and doesn't want it.
        400..500 => Verdict::Data { code: format!("http-{status}"), message: answer },
        _ => Verdict::Later { message: answer, wait },
    }
}

/// The longest part of an answer that is told, in characters.
const TOLD: usize = 300;

/// The beginning of a body as one line of text.
pub(super) fn readable(body: &[u8]) -> String {
    foreign_text::readable(&String::from_utf8_lossy(body), TOLD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16) -> &'static str {
        match judge(status, "x", "", None) {
            Verdict::Confirmed => "confirmed",
            Verdict::Later { .. } => "later",
            Verdict::TooLarge { .. } => "too large",
            Verdict::Data { .. } => "data",
            Verdict::Configuration { .. } => "configuration",
        }
    }

    #[test]
    fn only_answers_about_the_body_are_about_the_data() {
        for (statuses, expected) in [
            (&[200, 201, 202, 204, 299][..], "confirmed"),
            (&[408, 425, 429, 500, 501, 502, 503, 504, 599], "later"),
            (&[413], "too large"),
            (&[400, 409, 418, 422, 424, 499], "data"),
            (
                &[
                    101, 301, 302, 307, 308, 401, 402, 403, 404, 405, 406, 407, 410, 411, 414, 415, 421, 426, 428, 431,
                    451,
                ],
                "configuration",
            ),
        ] {
            for status in statuses {
                assert_eq!(class(*status), expected, "{status}");
            }
        }
    }

    #[test]
    fn an_answer_is_shown_without_secrets_and_without_tricks() {
        foreign_text::hide("s3cret-of-a-sink");
        assert_eq!(readable(b"no\x1b[31m\n s3cret-of-a-sink \xff"), "no\\u{1b}[31m [redacted] \u{fffd}");
        assert_eq!(readable("x".repeat(5000).as_bytes()).chars().count(), TOLD + 1);
    }
}

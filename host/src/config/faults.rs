//! What is wrong with a value of the configuration, in words.
//!
//! Invariant: the value itself is told only where it can be no secret: a word in the place of one of a list. The text of a TOML parser and
//! of a deserialiser quotes the line or the value, so nothing of theirs is told but what they expected.

use std::ops::Range;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

use super::load::{known_keys, unknown_key};

/// Parts of the names of keys whose values are never repeated: they hold a secret, or somebody put one there.
const SECRETIVE: [&str; 13] = [
    "auth",
    "bearer",
    "cookie",
    "credential",
    "header",
    "key",
    "passphrase",
    "password",
    "proxy",
    "secret",
    "sign",
    "token",
    "url",
];

/// Whether the value of a key, given with its tables, is never repeated.
pub(super) fn is_secretive(place: &str) -> bool {
    let place = place.to_ascii_lowercase();
    SECRETIVE.iter().any(|part| place.contains(part))
}

/// Whether a header of this name says who we are, so that its value is a secret.
pub(super) fn is_secret_header(name: &str) -> bool {
    const PUBLIC: [&str; 2] = ["x-splunk-request-channel", "content-type"];
    let name = name.to_ascii_lowercase();
    is_secretive(&name) && !PUBLIC.contains(&name.as_str())
}

/// What a deserialiser expected instead of a value.
pub(super) fn expected(message: &str) -> String {
    match message.rsplit_once("expected ") {
        Some((_, expected)) => format!("A value can't be used; expected is {}.", expected.trim_end_matches('.')),
        None => "A value can't be used: it is of the wrong type.".to_owned(),
    }
}

/// Where a text is no TOML, and why.
pub(super) fn syntax(text: &str, message: &str, span: Option<Range<usize>>) -> String {
    let place = span.and_then(|span| text.get(..span.start)).map(|before| {
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!(" at line {line}, column {column}")
    });
    // What the parser says may name a key, in backquotes, and quotes nothing else.
    let message = if message.contains(['"', '\'']) { "" } else { message.lines().next().unwrap_or_default() };
    let reason = if message.is_empty() { String::new() } else { format!(": {message}") };
    format!("This is not TOML{}{reason}.", place.unwrap_or_default())
}

/// What a value that the schema refuses should be, with the key.
pub(super) fn refused(error: &ValidationError<'_>) -> String {
    let place = error.instance_path().to_string();
    let key = place.trim_start_matches('/').replace('/', ".");
    let value = error.instance().as_str();
    if let Some(words) = words(error.kind()) {
        return one_of(&key, value, &words);
    }
    match error.kind() {
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            let inner = context.iter().flatten().find(|inner| !is_about_null(inner));
            inner.map_or_else(|| format!("The value of `{key}` can't be used."), refused)
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let name = unexpected.first().map_or("", String::as_str);
            unknown_key(&if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") })
        }
        ValidationErrorKind::Required { property } => {
            let table = if key.is_empty() { String::new() } else { format!(" in `{key}`") };
            format!("The key `{}`{table} is missing. Add it.", property.as_str().unwrap_or_default())
        }
        ValidationErrorKind::Type { .. } => {
            let text = error.masked_with("it").to_string();
            let keys = known_keys(&key);
            let table = if keys.is_empty() || value.is_none() {
                String::new()
            } else {
                format!(" It is a table with the keys {}: write it as {{ {} = \"…\" }}.", keys.join(", "), keys[0])
            };
            format!("The value of `{key}` can't be used: {}.{table}", plain(&text))
        }
        _ => format!("The value of `{key}` can't be used: {}.", plain(&error.masked_with("it").to_string())),
    }
}

/// The types of JSON in the words of TOML.
fn plain(text: &str) -> String {
    let words = [
        (JsonType::String, "a text"),
        (JsonType::Integer, "a whole number"),
        (JsonType::Number, "a number"),
        (JsonType::Boolean, "true or false"),
        (JsonType::Array, "a list"),
        (JsonType::Object, "a table"),
    ];
    let mut text = text.replace("is not of type ", "must be ").replace("is not of types ", "must be ");
    for (kind, word) in words {
        text = text.replace(&format!("\"{kind}\""), word);
    }
    text.replace(", \"null\"", "").replace("\"null\", ", "")
}

/// Whether an error says only that a value isn't absent.
fn is_about_null(error: &ValidationError<'_>) -> bool {
    matches!(error.kind(), ValidationErrorKind::Type { .. })
        && error.masked_with("it").to_string().ends_with("of type \"null\"")
}

/// The words that can stand in a place, if it takes one of a list.
fn words(kind: &ValidationErrorKind) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let words: Vec<String> = match kind {
        ValidationErrorKind::Constant { expected_value } => text(expected_value).into_iter().collect(),
        ValidationErrorKind::Enum { options } => options.as_array().into_iter().flatten().filter_map(text).collect(),
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            context.iter().flatten().filter_map(|inner| words(inner.kind())).flatten().collect()
        }
        _ => Vec::new(),
    };
    (!words.is_empty()).then_some(words)
}

/// Names what there is, and the nearest.
fn one_of(key: &str, value: Option<&str>, words: &[String]) -> String {
    let all = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    let Some(value) = value else {
        return format!("The value of `{key}` must be one of {all}.");
    };
    let mut text = if is_secretive(key) {
        format!("The value of `{key}` is none of {all}.")
    } else {
        let value = crate::foreign_text::readable(value, 40);
        format!("The value of `{key}` is {value:?}, and must be one of {all}.")
    };
    if let Some(word) = nearest(value, words) {
        text.push_str(&format!(" Did you mean `{word}`?"));
    }
    text
}

/// The word that was meant, if one is near.
pub(super) fn nearest<'w>(written: &str, words: &'w [String]) -> Option<&'w String> {
    let written = written.to_lowercase();
    let near = |word: &&String| strsim::damerau_levenshtein(word, &written);
    let begins =
        |word: &&String| written.len() > 2 && (word.starts_with(&written) || written.starts_with(word.as_str()));
    let nearest = words.iter().min_by_key(near).filter(|word| near(word) <= 1 + word.len() / 3);
    nearest.or_else(|| words.iter().find(begins))
}

#[cfg(test)]
#[path = "faults_tests.rs"]
mod tests;

//! Drift: what in a batch no table knows. Record types, operations, members and values of enumerations are counted, each with a sample.
//!
//! Invariant: drift changes no event and stops none; a sample says what a value looks like and never what it is.

use std::collections::BTreeMap;

use super::{
    context::Context,
    record::{Member, Node, Object},
    tables::{Known, fields::Index},
};

/// What kind of thing is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A record type that record_types.tsv doesn't list.
    RecordType,
    /// An operation that no table names; a rule still found it a class.
    Operation,
    /// A member at the top level of a record.
    Field,
    /// The value of an enumeration.
    Value,
}

/// Something unknown in a batch.
#[derive(Debug, PartialEq, Eq)]
pub struct Unknown {
    /// What it is.
    pub kind: Kind,
    /// Where: the record type of an operation or member, the member of a value; empty where the stream says it all.
    pub place: String,
    /// Its name.
    pub name: String,
    /// In how many records.
    pub count: u32,
    /// What it looked like the first time, redacted; empty if the name says it all.
    pub sample: String,
}

/// So many different unknown things are told of one batch. What is beyond comes up with the next batches.
const MAX_KINDS: usize = 200;

/// How long names and samples get, in characters.
const MAX_LENGTH: usize = 100;

/// Counts what is unknown in the records of a batch.
#[derive(Debug, Default)]
pub struct Drift {
    found: BTreeMap<(Kind, String, String), (u32, String)>,
}

impl Drift {
    /// Looks at a record.
    pub fn look(&mut self, context: &Context<'_>, record: &Object<'_>) {
        let of_stream = context.stream.record_type().is_some();
        let place = if of_stream { "" } else { context.record_type.map_or("", |t| t.name) };
        if !of_stream && context.record_type.is_none() {
            let name = record.peek("RecordType").and_then(Node::to_text).unwrap_or_default();
            self.count(Kind::RecordType, "", &name, || format!("{} {}", context.workload, context.operation));
        }
        let named = matches!(context.known, Known::ByName | Known::ByBeginning);
        // Where the stream has one operation, no table names it.
        if !named && !context.operation.is_empty() && context.has_operations() {
            self.count(Kind::Operation, place, context.operation, || {
                let class = context.rule.class_uid;
                format!("taken as class {class}, activity {}", context.activity())
            });
        }
        let index = Index::of(context.stream.family());
        for member in record.members() {
            match index.find(member) {
                // The earlier value of a name that the record holds twice is kept beside it (`parse.rs`).
                None if is_numbered(member.name, record) => {}
                None => self.count(Kind::Field, place, member.name, || shape(&member.value)),
                Some(field) if field.values.is_empty() => {}
                Some(field) => self.check(field.values, member, &member.value),
            }
        }
    }

    fn check(&mut self, values: &[&str], member: &Member<'_>, value: &Node<'_>) {
        // Nearly all values are known, and spelled as the table spells them.
        let known = match value {
            Node::Str(text) => values.contains(text),
            Node::Int(number) => values.contains(&itoa::Buffer::new().format(*number)),
            _ => false,
        };
        if known {
            return;
        }
        for item in value.items() {
            self.check(values, member, item);
        }
        let Some(text) = value.to_text() else { return };
        // Flags of Graph are words with commas between.
        for word in text.split(',').map(str::trim) {
            let known = word.eq_ignore_ascii_case("unknownFutureValue") || word.is_empty();
            if !known && !values.iter().any(|v| v.eq_ignore_ascii_case(word)) {
                // The values of an enumeration are names; what doesn't look like one is shown as little as any text.
                let is_name =
                    word.len() <= 64 && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
                let name = if is_name { word.to_owned() } else { shape_of_text(word) };
                self.count(Kind::Value, member.name, &name, String::new);
            }
        }
    }

    fn count(&mut self, kind: Kind, place: &str, name: &str, sample: impl FnOnce() -> String) {
        let name: String = name.chars().filter(|c| !c.is_control()).take(MAX_LENGTH).collect();
        let key = (kind, place.to_owned(), name);
        if let Some((count, _)) = self.found.get_mut(&key) {
            *count += 1;
        } else if self.found.len() < MAX_KINDS {
            self.found.insert(key, (1, sample().chars().take(MAX_LENGTH).collect()));
        }
    }

    /// What was found, by kind, place and name.
    pub fn finish(self) -> Vec<Unknown> {
        let unknown = |((kind, place, name), (count, sample))| Unknown { kind, place, name, count, sample };
        self.found.into_iter().map(unknown).collect()
    }
}

/// Whether it is another member's name with `#` and a number.
fn is_numbered(name: &str, record: &Object<'_>) -> bool {
    name.rsplit_once('#')
        .is_some_and(|(first, number)| number.bytes().all(|b| b.is_ascii_digit()) && record.peek(first).is_some())
}

/// What a value looks like: its kind, and of text and numbers the outline.
fn shape(value: &Node<'_>) -> String {
    match value {
        Node::Null => "null".to_owned(),
        Node::Bool(_) => "true or false".to_owned(),
        Node::Str(text) => format!("text {}", shape_of_text(text)),
        Node::Array(items) => match items.first() {
            None => "empty list".to_owned(),
            Some(first) => format!("list of {}, the first {}", items.len(), shape(first)),
        },
        // The names of members can be somebody's, too.
        Node::Object(object) => format!("object of {}", object.members().len()),
        number => format!("number {}", shape_of_text(&number.to_text().unwrap_or_default())),
    }
}

/// Letters as `x`, digits as `9`, everything else as it is: enough to tell an address from an id or a date.
fn shape_of_text(text: &str) -> String {
    let outline = |c: char| match c {
        c if c.is_numeric() => '9',
        c if c.is_alphabetic() => 'x',
        c if c.is_ascii() && !c.is_control() => c,
        _ => ' ',
    };
    let mut shape: String = text.chars().take(40).map(outline).collect();
    if text.chars().nth(40).is_some() {
        shape.push('…');
    }
    shape
}

#[cfg(test)]
mod tests {
    use crate::normalize::Normalizer;

    use super::*;

    fn drift(stream: &str, lines: &str) -> Vec<Unknown> {
        Normalizer::new("{}").unwrap().process(stream, lines.as_bytes(), 1).unwrap().unknown
    }

    fn record(rest: &str) -> String {
        format!(
            r#"{{"Id":"1","CreationTime":"2025-11-25T09:00:02","OrganizationId":"3f1c7a52-6d3e-4a53-9f0e-5b0f4b1d2c11",
            "UserKey":"k","UserId":"anna@contoso.com","Workload":"Exchange",{rest}}}"#
        )
        .replace('\n', " ")
    }

    #[test]
    fn what_is_known_is_no_drift() {
        let line = record(r#""RecordType":1,"Operation":"Set-Mailbox","UserType":2,"ResultStatus":"True""#);
        assert_eq!(drift("office365.exchange", &line), []);
    }

    #[test]
    fn each_kind_is_counted_with_a_sample_that_tells_nothing() {
        let line = record(
            r#""RecordType":1,"Operation":"Set-Newness","UserType":17,"Secret":"anna@contoso.com 12","ResultStatus":"Success""#,
        );
        let found = drift("office365.exchange", &format!("{line}\n{line}\n"));
        let unknown = |kind, place: &str, name: &str, sample: &str| Unknown {
            kind,
            place: place.to_owned(),
            name: name.to_owned(),
            count: 2,
            sample: sample.to_owned(),
        };
        assert_eq!(
            found,
            [
                unknown(Kind::Operation, "ExchangeAdmin", "Set-Newness", "taken as class 3004, activity 3"),
                unknown(Kind::Field, "ExchangeAdmin", "Secret", "text xxxx@xxxxxxx.xxx 99"),
                unknown(Kind::Value, "UserType", "17", ""),
            ]
        );
    }

    #[test]
    fn a_record_type_that_is_not_listed_is_named() {
        let line = record(r#""RecordType":9999,"Operation":"Leap","UserType":0"#);
        let found = drift("office365.general", &line);
        assert_eq!((found[0].kind, found[0].name.as_str()), (Kind::RecordType, "9999"));
        assert_eq!(found[0].sample, "Exchange Leap");
    }

    #[test]
    fn flags_and_lists_are_looked_at_word_by_word() {
        let line = r#"{"id":"1","createdDateTime":"2025-11-25T09:00:02Z","appId":"a","status":{"errorCode":0},
            "crossTenantAccessType":"none,b2bCollaboration,teleport","userType":"Member","riskState":"a b@c"}"#;
        let found = drift("graph.signins.interactive", &line.replace('\n', " "));
        let values: Vec<_> = found.iter().map(|u| (u.kind, u.place.as_str(), u.name.as_str())).collect();
        assert_eq!(values, [(Kind::Value, "crossTenantAccessType", "teleport"), (Kind::Value, "riskState", "x x@x")]);
    }

    #[test]
    fn a_batch_of_nothing_but_news_stays_bounded() {
        let lines: Vec<String> =
            (0..1000).map(|n| record(&format!(r#""RecordType":1,"Operation":"Set-{n}","UserType":0"#))).collect();
        assert_eq!(drift("office365.exchange", &lines.join("\n")).len(), MAX_KINDS);
    }
}

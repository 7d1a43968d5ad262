//! What must hold of a raw record, as rules that the build makes of the schemas in `records/`.
//!
//! Invariant: the rules say what the schemas say: which members there must be, and of what kind. They look into no lists.

/// Which schema a raw record is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordFamily {
    /// A record of the Office 365 Management Activity API.
    Activity,
    /// A sign-in of Microsoft Graph.
    SignIn,
    /// A directory audit of Microsoft Graph.
    DirectoryAudit,
    /// An alert of Microsoft Graph, `alerts_v2`.
    Alert,
    /// An alert of Microsoft Graph, first version.
    AlertLegacy,
}

/// The kinds of JSON values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean,
    /// A whole number.
    Integer,
    /// Any other number.
    Number,
    /// Text.
    String,
    /// A list.
    Array,
    /// An object.
    Object,
}

/// A JSON value in whatever form, as far as rules look at it.
pub trait Instance: Sized {
    /// What kind of value it is.
    fn kind(&self) -> Kind;
    /// The text, if it is text.
    fn text(&self) -> Option<&str>;
    /// A member, if it is an object that has it.
    fn member(&self, name: &str) -> Option<&Self>;
}

/// One keyword of a schema.
#[derive(Debug)]
enum Rule {
    /// `type`: one of these kinds.
    Type(&'static [Kind]),
    /// `minLength` 1: text that is there is not empty.
    NotEmpty,
    /// `pattern`: text begins with a date and a time of day.
    DateTime,
    /// `required`: an object has these members.
    Required(&'static [&'static str]),
    /// `properties`: members that are there follow their rules.
    Properties(&'static [(&'static str, &'static [Rule])]),
    /// `anyOf`: one of these lists of rules holds.
    AnyOf(&'static [&'static [Rule]]),
}

include!(concat!(env!("OUT_DIR"), "/records.rs"));

impl RecordFamily {
    /// The schema of the family, as text.
    pub fn schema(self) -> &'static str {
        match self {
            Self::Activity => crate::RECORD_ACTIVITY,
            Self::SignIn => crate::RECORD_SIGN_IN,
            Self::DirectoryAudit => crate::RECORD_DIRECTORY_AUDIT,
            Self::Alert => crate::RECORD_ALERT,
            Self::AlertLegacy => crate::RECORD_ALERT_LEGACY,
        }
    }

    fn rules(self) -> &'static [Rule] {
        match self {
            Self::Activity => ACTIVITY,
            Self::SignIn => SIGN_IN,
            Self::DirectoryAudit => DIRECTORY_AUDIT,
            Self::Alert => ALERT,
            Self::AlertLegacy => ALERT_LEGACY,
        }
    }
}

/// Holds a raw record against the schema of its family.
///
/// # Errors
/// One sentence: where in the record, and what is wrong there. It names kinds of values, never a value: that may be a secret, and
/// it is in the dead letter anyway.
pub fn check(family: RecordFamily, record: &impl Instance) -> Result<(), String> {
    follows(record, family.rules(), &Place::Top)
}

/// Where in the record.
enum Place<'a> {
    Top,
    Member(&'a Place<'a>, &'static str),
}

impl Place<'_> {
    fn path(&self) -> String {
        match self {
            Self::Top => String::new(),
            Self::Member(parent, name) => format!("{}/{name}", parent.path()),
        }
    }
}

fn follows(value: &impl Instance, rules: &[Rule], place: &Place<'_>) -> Result<(), String> {
    for rule in rules {
        match rule {
            Rule::Type(kinds) => {
                let kind = value.kind();
                if !kinds.contains(&kind) {
                    let allowed: Vec<&str> = kinds.iter().map(|k| k.name()).collect();
                    return Err(wrong(place, kind, &format!("it must be {}", allowed.join(" or "))));
                }
            }
            Rule::NotEmpty => {
                if value.text() == Some("") {
                    return Err(wrong(place, Kind::String, "it must not be empty"));
                }
            }
            Rule::DateTime => {
                if value.text().is_some_and(|text| !is_date_time(text)) {
                    return Err(wrong(place, Kind::String, "it must be a date and a time of day"));
                }
            }
            Rule::Required(names) => {
                if value.kind() == Kind::Object
                    && let Some(name) = names.iter().find(|name| value.member(name).is_none())
                {
                    return Err(wrong(place, Kind::Object, &format!("it lacks {name}")));
                }
            }
            Rule::Properties(properties) => {
                for (name, rules) in *properties {
                    if let Some(member) = value.member(name) {
                        follows(member, rules, &Place::Member(place, name))?;
                    }
                }
            }
            Rule::AnyOf(alternatives) => {
                let mut reasons = Vec::new();
                if !alternatives.iter().any(|rules| follows(value, rules, place).map_err(|r| reasons.push(r)).is_ok()) {
                    reasons.dedup();
                    return Err(reasons.join("; or "));
                }
            }
        }
    }
    Ok(())
}

#[cold]
fn wrong(place: &Place<'_>, kind: Kind, what: &str) -> String {
    let path = place.path();
    let path = if path.is_empty() { "the top level" } else { &path };
    format!("at {path} ({}): {what}", kind.name())
}

/// `^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}`
fn is_date_time(text: &str) -> bool {
    // Blanks as the regular expressions of ECMAScript know them.
    let blank = |c: char| (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}';
    let text = text.trim_start_matches(blank).as_bytes();
    text.len() >= 19
        && text[..19].iter().zip(b"0000-00-00T00:00:00").all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            b'T' => matches!(byte, b'T' | b't' | b' '),
            other => byte == other,
        })
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

/// For whoever holds records as `serde_json` does.
impl Instance for serde_json::Value {
    fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Bool(_) => Kind::Boolean,
            Self::Number(n) if n.is_i64() || n.is_u64() || n.as_f64().is_some_and(|n| n.fract() == 0.0) => {
                Kind::Integer
            }
            Self::Number(_) => Kind::Number,
            Self::String(_) => Kind::String,
            Self::Array(_) => Kind::Array,
            Self::Object(_) => Kind::Object,
        }
    }
    fn text(&self) -> Option<&str> {
        self.as_str()
    }
    fn member(&self, name: &str) -> Option<&Self> {
        self.get(name)
    }
}

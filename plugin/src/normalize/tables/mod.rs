//! What things mean: operations, record types, verbs and sign-in codes.
//!
//! Invariant: this module holds meaning only, as data that the build checks against OCSF (`build.rs`); how a field is read is
//! in the class modules. The data is in the `.tsv` files beside this one.

mod applications;
pub mod fields;
mod operation_name;

pub use applications::application;

/// Which activity of its class an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// This `activity_id`.
    Id(i64),
    /// What the words of the operation's name say.
    Verb,
}

/// What an operation means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The class it belongs to.
    pub class_uid: u32,
    /// The activity.
    pub activity: Activity,
    /// A severity of its own; none leaves it to the outcome.
    pub severity: Option<i64>,
    /// What the operation is done to, such as `Access package`, for where the record doesn't say it; empty if no table knows.
    pub object: &'static str,
}

/// How the meaning of an operation was found, from the surest way to the last resort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// A table has its name.
    ByName,
    /// A table has a beginning of its name.
    ByBeginning,
    /// No table has its name; the record type says the class, and the activity, or a word of the name does.
    ByRule,
    /// Nothing: the class by record type or the fallback, the activity is Other.
    Not,
}

/// A record type of the Management Activity API, or a collection of Graph.
#[derive(Debug)]
pub struct RecordType {
    /// The number; none for Graph.
    pub number: Option<i64>,
    /// The number as text; empty for Graph.
    pub text: &'static str,
    /// Microsoft's name, or `graph:` and the collection; empty if the number has no published name.
    pub name: &'static str,
    families: &'static [usize],
    default: Option<Rule>,
}

/// How a sign-in code that is not 0 ended the sign-in, where it is not simply a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInCode {
    /// The flow goes on: another step was asked for.
    Interrupted,
    /// A policy refused it.
    PolicyBlock,
}

/// A line of an operations table.
#[derive(Debug)]
pub struct Operation {
    /// The operation as the table spells it; ends in `*` where it stands for every name that begins so.
    pub name: &'static str,
    /// What it means.
    pub rule: Rule,
    /// Why, where the class is 0 (Base Event); else empty.
    pub reason: &'static str,
}

/// A table of operations, which record types look into.
#[derive(Debug)]
pub struct Family {
    /// The name of the file in `operations/`, such as `cmdlet`.
    pub name: &'static str,
    /// What its operations are, in a sentence.
    pub about: &'static str,
    exact: &'static [(&'static str, Operation)],
    beginnings: &'static [(&'static str, Operation)],
}

impl Family {
    /// Every line: those with exact names, then those with beginnings, each sorted by name.
    pub fn operations(&self) -> impl Iterator<Item = &'static Operation> {
        self.exact.iter().chain(self.beginnings).map(|(_, operation)| operation)
    }
}

impl RecordType {
    /// The families that are looked into, in this order.
    pub fn families(&self) -> impl Iterator<Item = &'static Family> {
        self.families.iter().map(|index| &FAMILIES[*index])
    }

    /// What holds where no family knows the operation.
    pub fn default(&self) -> Rule {
        self.default.unwrap_or(FALLBACK)
    }
}

/// Where there is no record type, or one of which nothing is known.
const FALLBACK: Rule = Rule { class_uid: 6003, activity: Activity::Verb, severity: None, object: "" };

include!(concat!(env!("OUT_DIR"), "/tables.rs"));

/// The record type of a number.
pub fn record_type(number: i64) -> Option<&'static RecordType> {
    RECORD_TYPES.binary_search_by_key(&number, |t| t.number.unwrap_or(i64::MAX)).ok().map(|i| &RECORD_TYPES[i])
}

/// The record type of a name such as `ExchangeAdmin` or `graph:signIns`, compared without case.
pub fn record_type_named(name: &str) -> Option<&'static RecordType> {
    RECORD_TYPES.iter().find(|t| !t.name.is_empty() && t.name.eq_ignore_ascii_case(name))
}

/// Every family, by name.
pub fn families() -> &'static [Family] {
    FAMILIES
}

/// Every record type: by number, then the collections of Graph.
pub fn record_types() -> &'static [RecordType] {
    RECORD_TYPES
}

/// The line that names an operation of a record type, and the family that it is in.
///
/// The families of the record type in their order; in each first by exact name, then by the longest beginning.
pub fn find(record_type: Option<&RecordType>, operation: &str) -> Option<(&'static Family, &'static Operation)> {
    let families = record_type.map_or(&[][..], |t| t.families);
    if families.is_empty() {
        return None;
    }
    let name = operation_name::normalize(operation);
    families.iter().map(|index| &FAMILIES[*index]).find_map(|family| {
        if let Ok(i) = family.exact.binary_search_by(|(n, _)| (*n).cmp(name.as_str())) {
            return Some((family, &family.exact[i].1));
        }
        let longest = family.beginnings.iter().filter(|(n, _)| name.starts_with(n)).max_by_key(|(n, _)| n.len());
        longest.map(|(_, operation)| (family, operation))
    })
}

/// What an operation of a record type means, and how that was found: by the line that names it, then by the record type's
/// default, then as API Activity by verb.
pub fn rule(record_type: Option<&RecordType>, operation: &str) -> (Rule, Known) {
    if let Some((_, line)) = find(record_type, operation) {
        return (line.rule, if line.name.ends_with('*') { Known::ByBeginning } else { Known::ByName });
    }
    let rule = record_type.map_or(FALLBACK, RecordType::default);
    let found = match rule.activity {
        Activity::Id(id) => id != 99,
        Activity::Verb => by_verb(rule.class_uid, operation) != 99,
    };
    (rule, if found { Known::ByRule } else { Known::Not })
}

/// The `activity_id` of a rule for an operation: its own, or by verb; 99 (Other) if no word is known.
pub fn activity(rule: Rule, operation: &str) -> i64 {
    match rule.activity {
        Activity::Id(id) => id,
        Activity::Verb => by_verb(rule.class_uid, operation),
    }
}

/// The activity in Entity Management of an operation whose own class can't be filled: by verb, else Update, since who grants, changes
/// an account or a group changes what the record is about.
pub fn weaker_activity(rule: Rule, operation: &str) -> i64 {
    match by_verb(3004, operation) {
        99 if matches!(rule, Rule { class_uid: 3001 | 3005 | 3006, activity: Activity::Id(id), .. } if id != 99) => 3,
        id => id,
    }
}

/// The activity that the words of an operation's name say, in a class that verbs.tsv knows; else 99.
///
/// `Verb-Noun`: the verb. A name with blanks: without a leading Bulk or Auto and without what is in brackets, the first word,
/// then the last. Any other: behind the last `_` or `.`, split at capitals; the last word if it is a participle, then the first, then
/// the second.
pub fn by_verb(class_uid: u32, operation: &str) -> i64 {
    let find = |word: &str| {
        let word = word.to_ascii_lowercase();
        VERBS.binary_search_by(|(c, w, _)| (*c, *w).cmp(&(class_uid, word.as_str()))).ok().map(|i| VERBS[i].2)
    };
    let name = operation.trim();
    let found = if name.contains(' ') {
        let name = name.split('(').next().unwrap_or_default();
        let mut words = name.split(' ').filter(|w| !w.is_empty()).peekable();
        words.next_if(|w| ["Bulk", "Auto"].contains(w));
        let first = words.next();
        first.and_then(find).or_else(|| words.last().and_then(find))
    } else if let Some((verb, _)) = name.split_once('-') {
        find(verb)
    } else {
        let words = camel_words(name.rsplit(['_', '.']).next().unwrap_or_default());
        let last = words.last().filter(|w| w.ends_with("ed") || ["Read", "Sent", "Set"].contains(w));
        last.and_then(|w| find(w))
            .or_else(|| words.first().and_then(|w| find(w)))
            .or_else(|| words.get(1).and_then(|w| find(w)))
    };
    found.unwrap_or(99)
}

fn camel_words(name: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = 0;
    for (i, c) in name.char_indices().skip(1) {
        if c.is_uppercase() && !name[..i].ends_with(char::is_uppercase) {
            words.push(&name[start..i]);
            start = i;
        }
    }
    words.push(&name[start..]);
    words
}

/// What a sign-in error code means beyond "failed".
pub fn sign_in_code(code: i64) -> Option<SignInCode> {
    sign_in_row(code)?.1
}

/// Why a sign-in with this error code didn't succeed, in a few words.
pub fn sign_in_reason(code: i64) -> Option<&'static str> {
    Some(sign_in_row(code)?.2)
}

fn sign_in_row(code: i64) -> Option<&'static (i64, Option<SignInCode>, &'static str)> {
    SIGN_IN_CODES.binary_search_by_key(&code, |(c, ..)| *c).ok().map(|i| &SIGN_IN_CODES[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(number: i64, operation: &str) -> (u32, i64) {
        let (rule, _) = rule(record_type(number), operation);
        (rule.class_uid, activity(rule, operation))
    }

    #[test]
    fn spellings_of_one_operation_mean_the_same() {
        assert_eq!(meaning(8, "Add user."), (3001, 1));
        assert_eq!(meaning(8, " add  USER"), (3001, 1));
        assert_eq!(meaning(8, "Update application \u{2013} Certificates and secrets management "), (3004, 3));
        assert_eq!(meaning(8, "Add member to role in PIM completed (permanent)"), (3005, 1));
        assert_eq!(meaning(8, "Add member to role in PIM requested (renew)"), (3005, 99));
    }

    #[test]
    fn verbs_decide_where_no_name_is_known() {
        assert_eq!(meaning(1, "Set-SomethingNew"), (3004, 3));
        assert_eq!(meaning(8, "Update sundry thing"), (3004, 3));
        assert_eq!(by_verb(6001, "ReportDeleted"), 4);
        assert_eq!(by_verb(6001, "Unheard"), 99);
        assert_eq!(by_verb(6001, ""), 99);
        assert_eq!(meaning(123_456, "DeleteThing"), (6003, 4));
    }

    #[test]
    fn a_grant_that_names_nobody_is_a_change() {
        let (rule, _) = rule(record_type(8), "Consent to application.");
        assert_eq!(weaker_activity(rule, "Consent to application"), 3);
        let (rule, _) = super::rule(record_type(8), "Remove member from role");
        assert_eq!(weaker_activity(rule, "Remove member from role"), 4);
        assert_eq!(weaker_activity(FALLBACK, "Unheard"), 99);
    }

    #[test]
    fn record_types_go_by_number_and_by_name() {
        assert_eq!(record_type(15).map(|t| t.name), Some("AzureActiveDirectoryStsLogon"));
        assert_eq!(record_type_named("exchangeadmin").and_then(|t| t.number), Some(1));
        assert!(record_type(-1).is_none() && record_type(i64::MAX).is_none_or(|t| t.number.is_none()));
        assert!(FAMILIES.iter().all(|f| !f.name.is_empty()
            && f.exact.is_sorted_by_key(|(name, _)| *name)
            && f.beginnings.is_sorted_by_key(|(name, _)| *name)));
    }
}

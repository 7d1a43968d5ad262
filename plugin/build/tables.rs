//! The text tables of the normaliser as they are read and checked by the build.
//!
//! Invariant: a table that contradicts itself or OCSF is refused with the file, the line and a sentence.

use std::cmp::Ordering;

use m365_schemas::event::{self, attr};

#[path = "../src/normalize/tables/operation_name.rs"]
pub mod operation_name;

/// The lines of a table that hold something, split at tabs, with the place of each for messages.
pub struct Table {
    /// The first comment: what the table holds.
    pub about: String,
    /// Place and cells of each line.
    pub rows: Vec<(String, Vec<String>)>,
}

impl Table {
    /// Reads the text of a table; `name` is for messages.
    pub fn read(name: &str, text: &str, columns: usize) -> Result<Self, String> {
        let mut rows = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let place = format!("{name}:{}", number + 1);
            let cells: Vec<String> = line.split('\t').map(str::to_owned).collect();
            if cells.len() != columns {
                return Err(format!("{place}: {} columns instead of {columns}", cells.len()));
            }
            rows.push((place, cells));
        }
        let about = text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap_or_default().to_owned();
        Ok(Self { about, rows })
    }
}

/// A row of an operations table.
pub struct Row {
    /// The operation as it is compared, without the star.
    pub key: String,
    /// Whether it stands for every name that begins so.
    pub beginning: bool,
    /// The Rust expression of the row.
    pub operation: String,
}

/// The operations of a family, sorted.
pub struct Family {
    /// The first line of the file: what the family is.
    pub about: String,
    /// Its lines.
    pub rows: Vec<Row>,
}

impl Family {
    /// Reads the text of a family's table; `name` is for messages.
    pub fn read(name: &str, text: &str) -> Result<Self, String> {
        let table = Table::read(name, text, 5)?;
        let mut rows: Vec<Row> = Vec::new();
        for (place, cells) in table.rows {
            let [name, class, activity, severity, object] = cells.as_slice() else {
                return Err(format!("{place}: {} columns instead of 5", cells.len()));
            };
            let (class, activity) = (integer(&place, class)?, integer(&place, activity)?);
            known(&place, class, activity)?;
            let (object, reason) = object.split_once(" # ").unwrap_or((object, ""));
            if class == 0 && reason.is_empty() {
                return Err(format!(
                    "{place}: class 0 (Base Event) wants a reason, ` # ` and a sentence behind the object"
                ));
            }
            if object.is_empty() || object == "-" {
                return Err(format!("{place}: `{name}` doesn't say what the object is"));
            }
            let severity = match severity.as_str() {
                "-" => "None".to_owned(),
                text => match integer(&place, text)? {
                    id @ 1..=6 => format!("Some({id})"),
                    id => return Err(format!("{place}: OCSF has no severity {id}, or none that says anything")),
                },
            };
            let (beginning, key) = match name.strip_suffix('*') {
                // A blank before the star belongs to the beginning.
                Some(rest) if rest.ends_with(' ') => (true, format!("{} ", operation_name::normalize(rest))),
                Some(rest) => (true, operation_name::normalize(rest)),
                None => (false, operation_name::normalize(name)),
            };
            if let Some(last) = rows.last() {
                match (last.key.as_str(), last.beginning).cmp(&(key.as_str(), beginning)) {
                    Ordering::Less => {}
                    Ordering::Equal => return Err(format!("{place}: `{name}` is listed twice")),
                    Ordering::Greater => {
                        return Err(format!(
                            "{place}: lines are sorted by operation, and `{name}` is out of its place"
                        ));
                    }
                }
            }
            let rule = format!(
                "Rule {{ class_uid: {class}, activity: Activity::Id({activity}), severity: {severity}, object: {object:?} }}"
            );
            let operation = format!("Operation {{ name: {name:?}, rule: {rule}, reason: {reason:?} }}");
            rows.push(Row { key, beginning, operation });
        }
        Ok(Self { about: table.about, rows })
    }
}

/// A whole number in a cell.
pub fn integer(place: &str, text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("{place}: `{text}` is no number"))
}

/// Checks that events use a class, and that it has an activity.
pub fn known(place: &str, class: i64, activity: i64) -> Result<(), String> {
    let definition = u32::try_from(class).ok().and_then(event::class).map(|class| class.definition);
    match definition.and_then(|definition| definition.caption(attr::ACTIVITY_ID, activity)) {
        Some(_) => Ok(()),
        None => Err(format!("{place}: OCSF has no activity {activity} in class {class}, or events use no such class")),
    }
}

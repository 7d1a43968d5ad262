//! The tables of the raw records: each schema of `records/` as a list of rules.

use std::path::Path;

use serde_json::{Map, Value};

use super::read_json;

/// The one pattern in use, which code of ours checks: a date and a time of day at the start.
const DATE_TIME: &str = "^\\s*[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}";

const FILES: [(&str, &str); 5] = [
    ("ACTIVITY", "activity"),
    ("ALERT", "alert"),
    ("ALERT_LEGACY", "alert-legacy"),
    ("DIRECTORY_AUDIT", "directory-audit"),
    ("SIGN_IN", "sign-in"),
];

pub fn tables(folder: &Path) -> Result<String, String> {
    let mut out = String::new();
    for (constant, name) in FILES {
        let schema = read_json(&folder.join(format!("{name}.schema.json")))?;
        let rules = rules(&schema).map_err(|e| format!("records/{name}.schema.json: {e}"))?;
        out.push_str(&format!("static {constant}: &[Rule] = {rules};\n"));
    }
    Ok(out)
}

fn rules(schema: &Value) -> Result<String, String> {
    let schema = schema.as_object().ok_or("a schema is no object")?;
    let mut rules = Vec::new();
    for (keyword, value) in schema {
        match keyword.as_str() {
            "$schema" | "$id" | "$comment" | "title" => {}
            "type" => rules.push(types(value)?),
            "minLength" => match value.as_u64() {
                Some(1) => rules.push("Rule::NotEmpty".to_owned()),
                _ => return Err(format!("minLength {value} can't be checked")),
            },
            "pattern" if value.as_str() == Some(DATE_TIME) => rules.push("Rule::DateTime".to_owned()),
            "required" => rules.push(format!("Rule::Required(&{:?})", strings(value)?)),
            "properties" => rules.push(properties(value.as_object().ok_or("`properties` is no object")?)?),
            "anyOf" => {
                let alternatives: Result<Vec<String>, String> =
                    value.as_array().ok_or("`anyOf` is no list")?.iter().map(self::rules).collect();
                rules.push(format!("Rule::AnyOf(&[{}])", alternatives?.join(", ")));
            }
            _ => {
                return Err(format!(
                    "`{keyword}` can't be checked here; teach build/records.rs and src/record.rs about it"
                ));
            }
        }
    }
    // The type first: its error says more than that of a keyword which needs it.
    rules.sort_by_key(|rule| !rule.starts_with("Rule::Type"));
    Ok(format!("&[{}]", rules.join(", ")))
}

fn types(value: &Value) -> Result<String, String> {
    let names = if value.is_array() { strings(value)? } else { vec![value.as_str().ok_or("`type` is no text")?] };
    let kinds: Result<Vec<&str>, String> = names
        .into_iter()
        .map(|name| match name {
            "null" => Ok("Kind::Null"),
            "boolean" => Ok("Kind::Boolean"),
            "integer" => Ok("Kind::Integer"),
            "string" => Ok("Kind::String"),
            "array" => Ok("Kind::Array"),
            "object" => Ok("Kind::Object"),
            other => Err(format!("the type `{other}` can't be checked")),
        })
        .collect();
    Ok(format!("Rule::Type(&[{}])", kinds?.join(", ")))
}

fn properties(members: &Map<String, Value>) -> Result<String, String> {
    let rows: Result<Vec<String>, String> = members
        .iter()
        .map(|(name, schema)| Ok(format!("({name:?}, {})", rules(schema).map_err(|e| format!("`{name}`: {e}"))?)))
        .collect();
    Ok(format!("Rule::Properties(&[{}])", rows?.join(", ")))
}

fn strings(value: &Value) -> Result<Vec<&str>, String> {
    let list: Option<Vec<&str>> = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
    list.ok_or_else(|| format!("{value} is no list of texts"))
}

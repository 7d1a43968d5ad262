//! Lists of named values (`Parameters`, `ModifiedProperties`, `OperationProperties`) as one JSON object.
//!
//! Invariant: every name that has a value keeps it; values of a repeated name become a list, and a list that is none of named
//! values comes out as it was.

use serde_json::{Map, Value};

use super::{context::Context, record::Object};

/// Takes a member that lists named values: an object of name to value, or to `NewValue` and `OldValue`; the texts `True` and `False`
/// become booleans. Text that is no list stays text.
pub fn take(context: &Context<'_>, record: &Object<'_>, member: &str) -> Option<Value> {
    context.take_value(record, member).map(by_name)
}

/// The same without taking it.
pub fn peek(context: &Context<'_>, record: &Object<'_>, member: &str) -> Option<Value> {
    context.value(member, record.peek(member)?).map(by_name)
}

fn by_name(value: Value) -> Value {
    match value {
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, flag(value))).collect(),
        Value::Array(items) if items.iter().all(is_named) => {
            let mut values = Map::new();
            for (name, value) in items.into_iter().filter_map(named) {
                match values.get_mut(&name) {
                    None => {
                        values.insert(name, value);
                    }
                    Some(Value::Array(several)) => several.push(value),
                    Some(first) => *first = Value::Array(vec![first.take(), value]),
                }
            }
            Value::Object(values)
        }
        other => other,
    }
}

fn is_named(item: &Value) -> bool {
    let Value::Object(members) = item else { return false };
    members.get("Name").is_some_and(Value::is_string)
        && members.keys().all(|k| ["Name", "Value", "NewValue", "OldValue"].contains(&k.as_str()))
}

/// Name and value of an item; none for one without a value.
fn named(item: Value) -> Option<(String, Value)> {
    let Value::Object(mut members) = item else { return None };
    let Some(Value::String(name)) = members.remove("Name") else { return None };
    let value = members.remove("Value").map(flag);
    // Old and new belong together.
    let value = value.or_else(|| (!members.is_empty()).then_some(Value::Object(members)))?;
    Some((name, value))
}

fn flag(value: Value) -> Value {
    match value.as_str() {
        Some("True") => Value::Bool(true),
        Some("False") => Value::Bool(false),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_that_repeat_and_names_without_value() {
        let list = json!([{"Name": "A", "Value": "True"}, {"Name": "A", "Value": "x"}, {"Name": "A", "Value": "y"}, {"Name": "B"}]);
        assert_eq!(by_name(list), json!({"A": [true, "x", "y"]}));
    }

    #[test]
    fn old_and_new_values() {
        let list = json!([{"Name": "ShareWithGuests", "NewValue": "Enabled", "OldValue": "Disabled"}]);
        assert_eq!(by_name(list), json!({"ShareWithGuests": {"NewValue": "Enabled", "OldValue": "Disabled"}}));
    }

    #[test]
    fn what_is_no_list_of_named_values_stays() {
        for value in
            [json!("-Name \"x\" -Enabled $true"), json!(["Subject", "TextBody"]), json!([{"Name": "a", "Role": 1}])]
        {
            assert_eq!(by_name(value.clone()), value);
        }
    }
}

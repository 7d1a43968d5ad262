//! Lists of named values (`Parameters`, `ModifiedProperties`, `OperationProperties`) as one JSON object.
//!
//! Invariant: every name that has a value keeps it; values of a repeated name become a list, and a list that is none of named
//! values comes out as it was.

use std::borrow::Cow;

use super::{
    context::Context,
    event::{Gathered, Value},
    record::Object,
};

/// Takes a member that lists named values: an object of name to value, or to `NewValue` and `OldValue` as they are spelled; the texts `True` and `False`
/// become booleans. Text that is no list stays text.
pub fn take<'r>(context: &Context<'r>, record: &'r Object<'r>, member: &'r str) -> Option<Value<'r>> {
    context.take_value(record, member).map(by_name)
}

/// The same without taking it.
pub fn peek<'r>(context: &Context<'r>, record: &'r Object<'r>, member: &'r str) -> Option<Value<'r>> {
    context.value(member, record.peek(member)?).map(by_name)
}

fn by_name(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Open(mut members) => {
            members.values_mut().for_each(|value| {
                if let Some(flag) = flag(value) {
                    *value = flag;
                }
            });
            Value::Open(members)
        }
        Value::List(items) if items.iter().all(is_named) => {
            let mut values = Gathered::default();
            for (name, value) in items.into_iter().filter_map(named) {
                match values.get_mut(&name) {
                    None => values.push(name, value),
                    Some(Value::List(several)) => several.push(value),
                    Some(first) => {
                        let earlier = std::mem::replace(first, Value::Bool(false));
                        *first = Value::List(vec![earlier, value]);
                    }
                }
            }
            Value::Open(values.into())
        }
        other => other,
    }
}

fn is_named(item: &Value<'_>) -> bool {
    let Value::Open(members) = item else { return false };
    let names = if members.get("Name").is_some() { &OFFICE } else { &GRAPH };
    members.get(names[0]).is_some_and(|name| name.as_str().is_some())
        && members.iter().all(|(name, _)| names.contains(&name.as_ref()))
}

/// How the members of a named value are called in the two APIs; the name is first.
const OFFICE: [&str; 4] = ["Name", "Value", "NewValue", "OldValue"];
const GRAPH: [&str; 4] = ["displayName", "value", "newValue", "oldValue"];

/// Name and value of an item; empty text for one without a value, because a parameter that was given without one was given.
fn named(item: Value<'_>) -> Option<(Cow<'_, str>, Value<'_>)> {
    let Value::Open(mut members) = item else { return None };
    let names = if members.get("Name").is_some() { &OFFICE } else { &GRAPH };
    let Some(Value::Text(name)) = members.remove(names[0]) else { return None };
    let value = members.remove(names[1]).map(|value| flag(&value).unwrap_or(value));
    // Old and new belong together.
    let value = value.or_else(|| (!members.is_empty()).then_some(Value::Open(members)));
    Some((name, value.unwrap_or(Value::Text(Cow::Borrowed("")))))
}

/// What the texts `True` and `False` say.
fn flag<'r>(value: &Value<'_>) -> Option<Value<'r>> {
    match value.as_str()? {
        "True" => Some(Value::Bool(true)),
        "False" => Some(Value::Bool(false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::by_name;
    use crate::normalize::{
        parse,
        rest::{Converter, Redact},
        write,
    };

    fn named(list: &serde_json::Value) -> serde_json::Value {
        let text = list.to_string();
        let arena = bumpalo::Bump::new();
        let node = parse::parse(text.as_bytes(), &arena).unwrap();
        let value = Converter::new(Redact::Keep, "", &arena).whole("Parameters", &node).unwrap();
        serde_json::from_str(&write::to_json(&by_name(value))).unwrap()
    }

    #[test]
    fn names_that_repeat_and_names_without_value() {
        let list = json!([{"Name": "A", "Value": "True"}, {"Name": "A", "Value": "x"}, {"Name": "A", "Value": "y"}, {"Name": "B"}]);
        assert_eq!(named(&list), json!({"A": [true, "x", "y"], "B": ""}));
    }

    #[test]
    fn old_and_new_values() {
        let list = json!([{"Name": "ShareWithGuests", "NewValue": "Enabled", "OldValue": "Disabled"}]);
        assert_eq!(named(&list), json!({"ShareWithGuests": {"NewValue": "Enabled", "OldValue": "Disabled"}}));
    }

    #[test]
    fn what_is_no_list_of_named_values_stays() {
        for value in
            [json!("-Name \"x\" -Enabled $true"), json!(["Subject", "TextBody"]), json!([{"Name": "a", "Role": 1}])]
        {
            assert_eq!(named(&value), value);
        }
    }
}

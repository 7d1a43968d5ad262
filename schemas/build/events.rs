//! The tables of the events: `events/ocsf.schema.json` as definitions and properties, with what OCSF says besides (captions, observables,
//! profiles, names of classes).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value};

use super::{read, read_json};

/// Patterns that are checked by code of ours, by the name of their kind.
const EMAIL: &str = "^[a-zA-Z0-9!#$%&'*+-/=?^_`{|}~.]+@[a-zA-Z0-9-]+\\.[a-zA-Z0-9-.]+$";
/// How the pattern of an address begins; the whole of it is 1.3 kB.
const ADDRESS: &str = "((^\\s*((([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5]).){3}";
/// The definition of an object that may hold anything.
const OPEN: &str = "object";

/// What the tables of text say of attributes: scope and attribute to the value.
struct Facts {
    captions: BTreeMap<(String, String), BTreeMap<i64, String>>,
    observables: BTreeMap<(String, String), u8>,
    profiles: BTreeMap<(String, String), String>,
    classes: BTreeMap<String, (String, String, String)>,
}

pub fn tables(folder: &Path) -> Result<String, String> {
    let schema = read_json(&folder.join("events/ocsf.schema.json"))?;
    let facts = Facts::read(&folder.join("ocsf"))?;
    let definitions = members(&schema, "$defs")?;
    root(&schema, definitions)?;
    let names: BTreeSet<&str> = definitions
        .values()
        .filter_map(|d| d.get("properties")?.as_object())
        .flat_map(|p| p.keys().map(String::as_str))
        .collect();
    let names: Vec<&str> = names.into_iter().collect();

    let profiles: BTreeSet<&String> = facts.profiles.values().collect();
    let profiles: Vec<&String> = profiles.into_iter().collect();
    if profiles.len() > 16 {
        return Err("there are more than 16 profiles, which the masks can't hold".to_owned());
    }

    let mut out = String::new();
    // Writing to a String can't fail.
    let _ = writeln!(out, "static PROFILES: [&str; {}] = {profiles:?};", profiles.len());
    let kinds = observables(definitions, &facts)?;
    let _ = writeln!(out, "static OBSERVABLES: [&str; {}] = {kinds:?};", kinds.len());
    let _ = writeln!(out, "static NAMES: [&str; {}] = {names:?};", names.len());
    let longest = names.iter().map(|name| name.len() + 3).max().unwrap_or(0).next_multiple_of(16);
    let key =
        |name: &&str| format!("({}, *b\"\\\"{name}\\\":{}\")", name.len() + 3, " ".repeat(longest - name.len() - 3));
    let keys: Vec<String> = names.iter().map(key).collect();
    let _ = writeln!(out, "/// Bytes of what [`Attribute::key`] gives.\npub const LONGEST_KEY: usize = {longest};");
    let _ = writeln!(out, "static KEYS: [(u8, [u8; {longest}]); {}] = [{}];", keys.len(), keys.join(", "));
    let _ = writeln!(out, "/// The attributes that events use, by name.\npub mod attr {{\n    use super::Attribute;");
    for (index, name) in names.iter().enumerate() {
        let _ =
            writeln!(out, "    /// `{name}`\n    pub const {}: Attribute = Attribute({index});", name.to_uppercase());
    }
    out.push_str("}\n");
    out.push_str("/// The objects and classes that events use.\n#[allow(clippy::unreadable_literal)]\npub mod object {\n    use super::{Definition, Kind, Property, attr};\n");
    for (name, definition) in definitions {
        if name != OPEN {
            let text =
                self::definition(name, definition, &names, &profiles, &facts).map_err(|e| format!("`{name}`: {e}"))?;
            out.push_str(&text);
        }
    }
    out.push_str("}\n");
    let mut classes: Vec<u32> = Vec::new();
    for name in definitions.keys() {
        if let Some(uid) = name.strip_prefix("class.") {
            classes.push(uid.parse().map_err(|e| format!("`{name}`: {e}"))?);
        }
    }
    classes.sort_unstable();
    let _ = writeln!(out, "static CLASSES: [Class; {}] = [", classes.len());
    for uid in classes {
        let (name, ..) =
            facts.classes.get(&uid.to_string()).ok_or_else(|| format!("classes.tsv lacks the class {uid}"))?;
        let definition = &definitions[&format!("class.{uid}")];
        let heads = heads(uid, definition, &facts)?;
        let properties = members(definition, "properties")?;
        let mut head = 0_u64;
        for name in ["class_uid", "class_name", "category_uid", "category_name", "activity_id", "type_uid", "type_name"]
        {
            let place = properties.keys().position(|p| p == name);
            head |= 1 << place.ok_or_else(|| format!("class {uid} has no `{name}`"))?;
        }
        let _ = writeln!(
            out,
            "    Class {{ uid: {uid}, name: {name:?}, definition: &object::CLASS_{uid}, head: {head}, heads: &{heads:?} }},"
        );
    }
    out.push_str("];\n");
    Ok(out)
}

/// How the events of a class begin: for each activity its number, what it is called, and the attributes that follow from the two as members
/// of a JSON object. A test holds them against the schema.
fn heads(uid: u32, schema: &Value, facts: &Facts) -> Result<Vec<(i64, String, String)>, String> {
    let (class, category, category_name) =
        facts.classes.get(&uid.to_string()).ok_or_else(|| format!("classes.tsv lacks the class {uid}"))?;
    let listed = schema["properties"]["activity_id"]["enum"].as_array().into_iter().flatten().filter_map(Value::as_i64);
    let pairs = activities(schema.as_object().ok_or("is no object")?)?;
    let captions = facts.captions(&uid.to_string(), "activity_id");
    let mut heads = Vec::new();
    for activity in listed {
        let type_uid = i64::from(uid) * 100 + activity;
        let Some(caption) = captions.get(&activity) else {
            return Err(format!("captions.tsv lacks the activity {activity} of the class {uid}"));
        };
        if !pairs.is_empty() && !pairs.contains(&(activity, type_uid)) {
            return Err(format!("class {uid}: activity_id {activity} and type_uid {type_uid} don't go together"));
        }
        let members = format!(
            "\"class_uid\":{uid},\"class_name\":{},\"category_uid\":{category},\"category_name\":{},\"activity_id\":{activity},\"type_uid\":{type_uid},\"type_name\":{}",
            Value::from(class.as_str()),
            Value::from(category_name.as_str()),
            Value::from(format!("{class}: {caption}")),
        );
        heads.push((activity, caption.clone(), members));
    }
    Ok(heads)
}

/// For each number of an observable's `type_id` what it is written as between name and value; empty for those that there aren't.
fn observables(definitions: &Map<String, Value>, facts: &Facts) -> Result<Vec<String>, String> {
    let object = definitions.get("observable").ok_or("there is no definition of observables")?;
    let present = object["properties"].as_object().ok_or("an observable has no properties")?;
    let required = object["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let written = ["name", "type_id", "type", "value"];
    let text = |name: &str| object["properties"][name] == serde_json::json!({"type": "string"});
    if !required.clone().all(|name| written.contains(&name))
        || !written.iter().all(|name| present.contains_key(*name))
        || !["name", "type", "value"].into_iter().all(text)
        || ["anyOf", "oneOf", "allOf"].iter().any(|keyword| object.get(keyword).is_some())
    {
        return Err("observables are no longer written as the schema wants them".to_owned());
    }
    let listed: Vec<i64> =
        object["properties"]["type_id"]["enum"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
    let captions = facts.captions("observable", "type_id");
    let kind = |id: i64| match captions.get(&id) {
        Some(caption) if listed.contains(&id) => {
            format!("\",\"type_id\":{id},\"type\":{},\"value\":", Value::from(caption.as_str()))
        }
        _ => String::new(),
    };
    let used = facts.observables.values().map(|id| i64::from(*id)).max().unwrap_or(0);
    Ok((0..=used).map(kind).collect())
}

/// The top of the schema only chooses the definition by `class_uid`; anything else would go unchecked.
fn root(schema: &Value, definitions: &Map<String, Value>) -> Result<(), String> {
    let known = ["$comment", "$defs", "$id", "$schema", "allOf", "properties", "required", "title", "type"];
    only(schema.as_object().ok_or("the schema is no object")?, &known)?;
    for choice in schema["allOf"].as_array().into_iter().flatten() {
        let uid = &choice["if"]["properties"]["class_uid"]["const"];
        if choice["then"]["$ref"].as_str() != Some(&format!("#/$defs/class.{uid}")) {
            return Err(format!("the top level has a rule besides the choice of the class: {choice}"));
        }
    }
    let choices = schema["allOf"].as_array().map_or(0, Vec::len);
    let classes = definitions.keys().filter(|name| name.starts_with("class.")).count();
    if choices == classes { Ok(()) } else { Err(format!("{choices} choices for {classes} classes")) }
}

fn definition(
    name: &str,
    schema: &Value,
    names: &[&str],
    profiles: &[&String],
    facts: &Facts,
) -> Result<String, String> {
    let schema = schema.as_object().ok_or("is no object")?;
    only(schema, &["type", "additionalProperties", "properties", "required", "anyOf", "oneOf", "allOf"])?;
    if schema.get("additionalProperties") != Some(&Value::Bool(false)) || schema.get("type") != Some(&"object".into()) {
        return Err("is no closed object".to_owned());
    }
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    if properties.len() > 64 {
        return Err("has more than 64 properties, which the masks can't hold".to_owned());
    }
    let place = |attribute: &str| {
        properties.keys().position(|p| p == attribute).ok_or_else(|| format!("`{attribute}` is required and unknown"))
    };
    let mask = |required: &Value| -> Result<u64, String> {
        let mut mask = 0;
        for attribute in required.as_array().ok_or("`required` is no list")? {
            mask |= 1_u64 << place(attribute.as_str().ok_or("`required` lists something else than text")?)?;
        }
        Ok(mask)
    };
    let alternatives = |keyword: &str| -> Result<Vec<u64>, String> {
        let mut masks = Vec::new();
        for alternative in schema.get(keyword).and_then(Value::as_array).into_iter().flatten() {
            only(alternative.as_object().ok_or("an alternative is no object")?, &["required"])?;
            masks.push(mask(&alternative["required"])?);
        }
        Ok(masks)
    };
    let scope = name.strip_prefix("class.").unwrap_or(name);
    let mut rows = String::new();
    for (attribute, property) in properties {
        let text = self::property(scope, attribute, property, properties, profiles, facts)
            .map_err(|e| format!("`{attribute}`: {e}"))?;
        let _ = writeln!(rows, "            {text},");
    }
    let mut places = vec![0_u8; names.len()];
    for (index, attribute) in properties.keys().enumerate() {
        let name = names.iter().position(|n| n == attribute).ok_or("a name is missing")?;
        places[name] = u8::try_from(index + 1).map_err(|e| e.to_string())?;
    }
    let required = schema.get("required").map_or(Ok(0), mask)?;
    let constant = name.replace('.', "_").to_uppercase();
    Ok(format!(
        "    /// `{name}`\n    pub static {constant}: Definition = Definition {{\n        name: {scope:?},\n        properties: &[\n{rows}        ],\n        places: &{places:?},\n        required: {required},\n        any_of: &{:?},\n        one_of: &{:?},\n        activities: &{:?},\n    }};\n",
        alternatives("anyOf")?,
        alternatives("oneOf")?,
        activities(schema)?,
    ))
}

/// The pairs of `activity_id` and `type_uid` that go together, from the one form in which a class says so.
fn activities(schema: &Map<String, Value>) -> Result<Vec<(i64, i64)>, String> {
    let mut pairs = Vec::new();
    for all in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        only(all.as_object().ok_or("`allOf` lists no object")?, &["anyOf"])?;
        for any in all["anyOf"].as_array().into_iter().flatten() {
            only(any.as_object().ok_or("`anyOf` lists no object")?, &["properties"])?;
            only(any["properties"].as_object().ok_or("`properties` is no object")?, &["activity_id", "type_uid"])?;
            let constant =
                |name: &str| any["properties"][name]["const"].as_i64().ok_or(format!("`{name}` has no number"));
            pairs.push((constant("activity_id")?, constant("type_uid")?));
        }
    }
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    if !pairs.is_empty() && !["activity_id", "type_uid"].iter().all(|name| required.contains(name)) {
        return Err("pairs activity_id with type_uid and doesn't require both".to_owned());
    }
    Ok(pairs)
}

fn property(
    scope: &str,
    attribute: &str,
    schema: &Value,
    properties: &Map<String, Value>,
    profiles: &[&String],
    facts: &Facts,
) -> Result<String, String> {
    let schema = schema.as_object().ok_or("is no object")?;
    let list = schema.get("type") == Some(&"array".into());
    let kind = if list {
        only(schema, &["type", "items"])?;
        kind(schema.get("items").and_then(Value::as_object).ok_or("a list needs `items`")?)?
    } else {
        kind(schema)?
    };
    let key = (scope.to_owned(), attribute.to_owned());
    let captions: Vec<(i64, String)> = facts.captions(scope, attribute).into_iter().collect();
    let sibling = attribute
        .strip_suffix("_id")
        .filter(|name| properties.contains_key(*name))
        .map_or("None".to_owned(), |name| format!("Some(attr::{})", name.to_uppercase()));
    let observable = facts.observables.get(&key).copied().unwrap_or(0);
    let profile = facts.profiles.get(&key).and_then(|name| profiles.iter().position(|p| *p == name));
    let profile = profile.map_or(0_u16, |place| 1 << place);
    Ok(format!(
        "Property {{ attribute: attr::{}, kind: {kind}, list: {list}, captions: &{captions:?}, sibling: {sibling}, observable: {observable}, profile: {profile} }}",
        attribute.to_uppercase()
    ))
}

/// The check of one value.
fn kind(schema: &Map<String, Value>) -> Result<String, String> {
    if schema.is_empty() {
        return Ok("Kind::Any".to_owned());
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        only(schema, &["$ref"])?;
        let name =
            target.strip_prefix("#/$defs/").ok_or_else(|| format!("`{target}` is no definition of this file"))?;
        return Ok(if name == OPEN {
            "Kind::Open".to_owned()
        } else {
            format!("Kind::Object(&{})", name.to_uppercase())
        });
    }
    let kind = schema.get("type").and_then(Value::as_str).ok_or("has no type")?;
    match kind {
        "string" => {
            only(schema, &["type", "pattern", "maxLength"])?;
            let length = schema.get("maxLength").and_then(Value::as_u64);
            match (schema.get("pattern").and_then(Value::as_str), length) {
                (None, None) => Ok("Kind::Text".to_owned()),
                (Some(EMAIL), None) => Ok("Kind::Email".to_owned()),
                (Some(pattern), Some(40)) if pattern.starts_with(ADDRESS) => Ok("Kind::Address".to_owned()),
                other => Err(format!("has text that no code checks: {other:?}")),
            }
        }
        "integer" => {
            only(schema, &["type", "enum", "minimum", "maximum"])?;
            let bound = |name: &str| schema.get(name).and_then(Value::as_i64);
            match (schema.get("enum").and_then(Value::as_array), bound("minimum"), bound("maximum")) {
                (None, None, None) => Ok("Kind::Integer".to_owned()),
                (None, Some(least), Some(most)) => Ok(format!("Kind::Range({least}, {most})")),
                (Some(numbers), None, None) => {
                    let numbers: Option<Vec<i64>> = numbers.iter().map(Value::as_i64).collect();
                    let numbers = numbers.ok_or("lists something else than numbers")?;
                    let mask = numbers.iter().filter(|n| (0..64).contains(*n)).fold(0_u64, |mask, n| mask | 1 << n);
                    let others: Vec<i64> = numbers.into_iter().filter(|n| !(0..64).contains(n)).collect();
                    Ok(format!("Kind::Enumerated({mask}, &{others:?})"))
                }
                other => Err(format!("has numbers that no code checks: {other:?}")),
            }
        }
        "number" => only(schema, &["type"]).map(|()| "Kind::Number".to_owned()),
        "boolean" => only(schema, &["type"]).map(|()| "Kind::Boolean".to_owned()),
        other => Err(format!("is of a type that no code checks: {other}")),
    }
}

impl Facts {
    fn read(folder: &Path) -> Result<Self, String> {
        let mut facts = Self {
            captions: BTreeMap::new(),
            observables: BTreeMap::new(),
            profiles: BTreeMap::new(),
            classes: BTreeMap::new(),
        };
        for [scope, attribute, id, caption] in rows(&folder.join("captions.tsv"))? {
            let id = id.parse().map_err(|e| format!("captions.tsv: `{id}`: {e}"))?;
            facts.captions.entry((scope, attribute)).or_default().insert(id, caption);
        }
        for [scope, attribute, _, observable, profile] in rows(&folder.join("attributes.tsv"))? {
            let key = (scope, attribute);
            if observable != "-" {
                let observable = observable.parse().map_err(|e| format!("attributes.tsv: `{observable}`: {e}"))?;
                facts.observables.insert(key.clone(), observable);
            }
            if profile != "-" {
                facts.profiles.insert(key, profile.split(',').next().unwrap_or_default().to_owned());
            }
        }
        for [uid, name, category, category_name] in rows(&folder.join("classes.tsv"))? {
            facts.classes.insert(uid, (name, category, category_name));
        }
        Ok(facts)
    }

    /// What the numbers of an attribute are called; the captions of the scope come before the common ones.
    fn captions(&self, scope: &str, attribute: &str) -> BTreeMap<i64, String> {
        let of =
            |scope: &str| self.captions.get(&(scope.to_owned(), attribute.to_owned())).cloned().unwrap_or_default();
        let mut captions = of("*");
        captions.extend(of(scope));
        captions
    }
}

/// The rows of a table of text, split at tabs.
fn rows<const COLUMNS: usize>(path: &Path) -> Result<Vec<[String; COLUMNS]>, String> {
    read(path)?
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let cells: Vec<String> = line.split('\t').map(str::to_owned).collect();
            cells.try_into().map_err(|_| format!("{}: not {COLUMNS} columns: {line}", path.display()))
        })
        .collect()
}

fn members<'a>(value: &'a Value, name: &str) -> Result<&'a Map<String, Value>, String> {
    value.get(name).and_then(Value::as_object).ok_or_else(|| format!("`{name}` is missing or no object"))
}

/// Refuses keywords that the tables can't express.
fn only(schema: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    match schema.keys().find(|keyword| !known.contains(&keyword.as_str())) {
        None => Ok(()),
        Some(keyword) => {
            Err(format!("`{keyword}` can't be checked here; teach build/events.rs and src/event.rs about it"))
        }
    }
}

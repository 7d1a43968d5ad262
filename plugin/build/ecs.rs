//! Turns the tables of `src/ecs/tables` into static arrays, and refuses what they say if OCSF or ECS knows better: a path that no class has,
//! a field that ECS doesn't have, a value of another type, types of events that don't go with their categories.

use std::{collections::BTreeMap, collections::BTreeSet, fmt::Write as _, path::Path};

use m365_schemas::{
    ecs::{self, Field},
    event::{self, Attribute, Class, Definition, Kind, Property, attr},
};

use super::{array, integer};

/// The algorithms of OCSF fingerprints that have a field in ECS.
const HASHES: [(i64, &str); 7] =
    [(1, "md5"), (2, "sha1"), (3, "sha256"), (4, "sha512"), (5, "ssdeep"), (6, "tlsh"), (9, "sha384")];

/// The members of each form.
type Forms = BTreeMap<String, Vec<(String, Vec<String>)>>;

struct Tables {
    fields: BTreeMap<&'static str, Field>,
    forms: Forms,
}

/// Where an attribute was found.
struct Found {
    property: &'static Property,
    /// The definition, if it is an object.
    object: Option<&'static Definition>,
}

pub fn generate(tables: &Path, out: &mut String) -> Result<(), String> {
    let mut forms = Forms::new();
    for (place, row) in super::read(&tables.join("forms.tsv"), 4)?.rows {
        forms.entry(row[0].clone()).or_default().push((place, row));
    }
    let tables_of = Tables { fields: ecs::fields()?, forms };
    lines(&tables_of, &tables.join("fields.tsv"), out)?;
    kinds(&tables_of, &tables.join("kinds.tsv"), out)?;
    let mut related = Vec::new();
    for (place, row) in super::read(&tables.join("related.tsv"), 2)?.rows {
        let id = integer(&place, &row[0])?;
        if !tables_of.field(&place, &row[1])?.list {
            return Err(format!("{place}: `{}` takes no list", row[1]));
        }
        related.push(format!("({id}, {:?}, {})", row[1], tables_of.text_kind(&place, &row[1])?));
    }
    array(out, "RELATED", "(i64, &str, Kind)", related.into_iter());
    Ok(())
}

fn lines(tables: &Tables, path: &Path, out: &mut String) -> Result<(), String> {
    let (mut lines, mut used, mut seen) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let mut of_class: Vec<Vec<usize>> = event::classes().iter().map(|_| Vec::new()).collect();
    for (place, row) in super::read(path, 5)?.rows {
        let [classes, condition, source, how, target] = row.as_slice() else { continue };
        if !seen.insert(row.clone()) {
            return Err(format!("{place}: the line is there twice"));
        }
        let has = |class: &Class| source == "-" || find(class.definition, source).is_some();
        let mut found: Option<Found> = None;
        for (index, class) in event::classes().iter().enumerate() {
            let named = classes.split(',').any(|uid| uid.parse() == Ok(class.uid));
            if named && !has(class) {
                return Err(format!("{place}: class {} of OCSF has no `{source}` that events use", class.uid));
            }
            if named || (classes == "*" && has(class)) {
                of_class[index].push(lines.len());
                found = found.or_else(|| find(class.definition, source));
            }
        }
        let known = |uid: &str| event::classes().iter().any(|class| uid.parse() == Ok(class.uid));
        if classes != "*" && !classes.split(',').all(known) {
            return Err(format!("{place}: `{classes}` names a class that events don't use"));
        }
        if source != "-" && found.is_none() {
            return Err(format!("{place}: no class has a `{source}` that events use"));
        }
        let when = when(&place, condition)?;
        let how = tables.how(&place, found.as_ref(), how, target, &mut used)?;
        lines.push(format!("Line {{ when: {when}, path: {}, how: {how} }}", steps(source)));
    }
    if let Some(form) = tables.forms.keys().find(|form| !used.contains(*form)) {
        return Err(format!("forms.tsv: no line of fields.tsv uses the form `{form}`"));
    }
    array(out, "LINES", "Line", lines.into_iter());
    let classes = event::classes().iter().zip(&of_class);
    array(out, "LINES_OF_CLASS", "(u32, &[u16])", classes.map(|(class, lines)| format!("({}, &{lines:?})", class.uid)));
    Ok(())
}

impl Tables {
    fn field(&self, place: &str, name: &str) -> Result<&Field, String> {
        self.fields.get(name).ok_or_else(|| {
            format!(
                "{place}: schemas/ecs/fields.tsv doesn't list `{name}`; if ECS {} has it, add it there",
                ecs::VERSION
            )
        })
    }

    /// The code for what becomes of a value; `found` is what the path leads to, none for a constant.
    fn how(
        &self,
        place: &str,
        found: Option<&Found>,
        how: &str,
        target: &str,
        used: &mut BTreeSet<String>,
    ) -> Result<String, String> {
        if let Some(constant) = how.strip_prefix('=') {
            self.takes(place, target, constant)?;
            return Ok(format!("How::Constant({target:?}, {constant:?})"));
        }
        let found = found.ok_or_else(|| format!("{place}: only a constant has no path"))?;
        let (case, form) = match how.split_once(':') {
            Some(("copy", form)) => ("CopyForm", form),
            Some(("each", form)) => ("EachForm", form),
            _ => ("Form", how),
        };
        if let Some(members) = self.forms.get(form) {
            used.insert(form.to_owned());
            let object = found.object.ok_or_else(|| format!("{place}: a form is for an object"))?;
            if case == "EachForm" {
                let field = self.field(place, target)?;
                if field.kind != "nested" || !field.list {
                    return Err(format!("{place}: `{target}` is no list of objects"));
                }
                let members = self.members(object, members, target, target.len() + 1)?;
                return Ok(format!("How::EachForm({target:?}, &{members})"));
            }
            let mut targets = Vec::new();
            for target in target.split('|') {
                targets.push(format!("&{}", self.members(object, members, target, 0)?));
            }
            return Ok(match targets.as_slice() {
                [target] if case == "CopyForm" => format!("How::CopyForm({target})"),
                _ if case == "CopyForm" => return Err(format!("{place}: a copy goes to one place")),
                _ => format!("How::Form(&[{}])", targets.join(", ")),
            });
        }
        self.scalar(place, found, how, target, target)
    }

    /// The members of a form under a field, as code. Their names are written without the first `cut` bytes.
    fn members(
        &self,
        object: &'static Definition,
        members: &[(String, Vec<String>)],
        target: &str,
        cut: usize,
    ) -> Result<String, String> {
        let mut code = Vec::new();
        for (place, row) in members {
            let [_, member, how, field] = row.as_slice() else { continue };
            let found = find(object, member).ok_or_else(|| {
                format!("{place}: the object `{}` of OCSF has no `{member}` that events use", object.name)
            })?;
            let field = format!("{target}.{field}");
            let how = self.scalar(place, &found, how, &field, &field[cut..])?;
            code.push(format!("Line {{ when: When::Always, path: {}, how: {how} }}", steps(member)));
        }
        Ok(format!("[{}]", code.join(", ")))
    }

    /// What becomes of one value. `name` is how the code calls the field.
    fn scalar(&self, place: &str, found: &Found, how: &str, field: &str, name: &str) -> Result<String, String> {
        let wrong = |what: &str| Err(format!("{place}: `{how}` is for {what}"));
        let number = matches!(found.property.kind, Kind::Integer | Kind::Enumerated(..) | Kind::Range(..));
        let text = matches!(found.property.kind, Kind::Text | Kind::Email | Kind::Address);
        if how == "hashes" {
            let mut fields = Vec::new();
            for (id, algorithm) in HASHES {
                self.takes_text(place, &format!("{field}.{algorithm}"))?;
                fields.push(format!("({id}, \"{name}.{algorithm}\")"));
            }
            let fingerprints = found.property.list && found.object.is_some_and(|object| object.name == "fingerprint");
            return if fingerprints {
                Ok(format!("How::Hashes(&[{}])", fields.join(", ")))
            } else {
                wrong("a list of fingerprints")
            };
        }
        if how == "point" {
            let point = found.object.is_some_and(|object| object.name == "location");
            return if point && self.field(place, field)?.kind == "geo_point" {
                Ok(format!("How::Point({name:?})"))
            } else {
                wrong("a location, and a field that takes a point")
            };
        }
        if how == "url-text" {
            for part in ["full", "domain", "scheme", "path"] {
                self.takes_text(place, &format!("{field}.{part}"))?;
            }
            let parts = format!("[\"{name}.full\", \"{name}.domain\", \"{name}.scheme\", \"{name}.path\"]");
            return if text { Ok(format!("How::Url(&{parts})")) } else { wrong("text") };
        }
        let known = self.field(place, field)?;
        let (list, kind) = (known.list, known.kind);
        match how {
            "date" if number && kind == "date" => Ok(format!("How::Date({name:?})")),
            "date" => wrong("a number, and a field that takes a date"),
            "ns" if number && kind == "long" => Ok(format!("How::Nanoseconds({name:?})")),
            "ns" => wrong("a number, and a field that takes one"),
            "lower" | "country" if text => {
                self.takes_text(place, field)?;
                Ok(format!("How::{}({name:?})", if how == "lower" { "Lower" } else { "Country" }))
            }
            "lower" | "country" => wrong("text"),
            "-" | "copy" => {
                let kind = match (kind, &found.property.kind) {
                    ("ip", Kind::Address) => "Kind::Ip",
                    ("long", _) if number => "Kind::Long",
                    ("keyword" | "wildcard" | "match_only_text", _) if text && known.allowed.is_empty() => "Kind::Text",
                    _ => {
                        return Err(format!(
                            "{place}: `{field}` takes {kind}{}, and the attribute is {}",
                            if known.allowed.is_empty() { "" } else { " of some values" },
                            found.property.kind.name()
                        ));
                    }
                };
                let case = if how == "copy" { "Copy" } else { "Value" };
                Ok(format!("How::{case}(To {{ field: {name:?}, kind: {kind}, list: {list} }})"))
            }
            words if words.contains('=') && number => {
                let mut code = Vec::new();
                for word in words.split('|') {
                    let (id, word) =
                        word.split_once('=').ok_or_else(|| format!("{place}: `{word}` is no number=word"))?;
                    self.takes(place, field, word)?;
                    code.push(format!("({}, {word:?})", integer(place, id)?));
                }
                Ok(format!("How::Words({name:?}, &[{}])", code.join(", ")))
            }
            words if words.contains('=') => wrong("numbers"),
            other => Err(format!("{place}: `{other}` is neither a way to convert nor a form")),
        }
    }

    /// Refuses text that a field can't have.
    fn takes(&self, place: &str, field: &str, text: &str) -> Result<(), String> {
        let known = self.field(place, field)?;
        if known.allowed.is_empty() {
            return self.takes_text(place, field);
        }
        if known.allowed.contains(&text) { Ok(()) } else { Err(format!("{place}: `{field}` is never `{text}` in ECS")) }
    }

    fn takes_text(&self, place: &str, field: &str) -> Result<(), String> {
        match self.field(place, field)?.kind {
            "keyword" | "wildcard" | "match_only_text" => Ok(()),
            other => Err(format!("{place}: `{field}` takes {other}, not any text")),
        }
    }

    fn text_kind(&self, place: &str, field: &str) -> Result<&'static str, String> {
        match self.field(place, field)?.kind {
            "ip" => Ok("Kind::Ip"),
            _ => self.takes_text(place, field).map(|()| "Kind::Text"),
        }
    }
}

fn kinds(tables: &Tables, path: &Path, out: &mut String) -> Result<(), String> {
    let categories = ecs::categories()?;
    let mut of_class: BTreeMap<u32, (Vec<String>, BTreeSet<i64>)> = BTreeMap::new();
    for (place, row) in super::read(path, 6)?.rows {
        let [class, activities, condition, kind, own_categories, types] = row.as_slice() else { continue };
        let class = class
            .parse()
            .ok()
            .and_then(event::class)
            .ok_or_else(|| format!("{place}: `{class}` is no class that events use"))?;
        let known = activity_ids(class);
        let activities: Vec<i64> = match activities.as_str() {
            "*" => Vec::new(),
            list => list.split(',').map(|id| integer(&place, id)).collect::<Result<_, _>>()?,
        };
        if let Some(id) = activities.iter().find(|id| !known.contains(id)) {
            return Err(format!("{place}: class {} has no activity {id}", class.uid));
        }
        let words =
            |text: &str| -> Vec<String> { text.split(',').filter(|word| *word != "-").map(str::to_owned).collect() };
        let (own_categories, types) = (words(own_categories), words(types));
        for (field, values) in [("event.category", &own_categories), ("event.type", &types)] {
            values.iter().try_for_each(|value| tables.takes(&place, field, value))?;
        }
        let foreseen = |category: &String| categories.get(category.as_str()).into_iter().flatten();
        for category in &own_categories {
            if !foreseen(category).any(|foreseen| types.iter().any(|own| own == foreseen)) {
                return Err(format!("{place}: the category `{category}` wants one of its types beside it"));
            }
        }
        for own in &types {
            if !own_categories.iter().flat_map(foreseen).any(|foreseen| foreseen == own) {
                return Err(format!("{place}: ECS doesn't foresee the type `{own}` for these categories"));
            }
        }
        let kind = if kind == "-" {
            "None".to_owned()
        } else {
            tables.takes(&place, "event.kind", kind)?;
            format!("Some({kind:?})")
        };
        let (rows, covered) = of_class.entry(class.uid).or_default();
        if condition == "-" {
            covered.extend(if activities.is_empty() { &known } else { &activities });
        }
        rows.push(format!(
            "KindLine {{ activities: &{activities:?}, when: {}, kind: {kind}, categories: &{own_categories:?}, types: &{types:?} }}",
            when(&place, condition)?
        ));
    }
    for class in event::classes() {
        let covered = of_class.get(&class.uid).map(|(_, covered)| covered);
        if let Some(id) = activity_ids(class).iter().find(|id| covered.is_none_or(|covered| !covered.contains(id))) {
            return Err(format!("kinds.tsv: no line without condition covers activity {id} of class {}", class.uid));
        }
    }
    let rows = of_class.iter().map(|(uid, (rows, _))| format!("({uid}, &[{}])", rows.join(", ")));
    array(out, "KINDS", "(u32, &[KindLine])", rows);
    Ok(())
}

fn activity_ids(class: &Class) -> Vec<i64> {
    let property = class.definition.property(attr::ACTIVITY_ID);
    property.map_or_else(Vec::new, |property| property.captions.iter().map(|(id, _)| *id).collect())
}

/// What a dotted path leads to. `[]` stands behind the lists on the way, and behind the last attribute if its items are meant.
fn find(from: &'static Definition, path: &str) -> Option<Found> {
    let mut definition = Some(from);
    let mut found = None;
    let steps: Vec<&str> = path.split('.').collect();
    for (index, step) in steps.iter().enumerate() {
        let (name, items) = step.strip_suffix("[]").map_or((*step, false), |name| (name, true));
        let property = definition?.property(Attribute::find(name)?)?;
        if (items && !property.list) || (property.list && !items && index + 1 < steps.len()) {
            return None;
        }
        definition = match property.kind {
            Kind::Object(definition) => Some(definition),
            _ => None,
        };
        found = Some(Found { property, object: definition });
    }
    found
}

/// The code for a path.
fn steps(path: &str) -> String {
    let mut code = String::from("&[");
    for step in path.split('.').filter(|step| *step != "-") {
        let (name, items) = step.strip_suffix("[]").map_or((step, false), |name| (name, true));
        // Writing to a String can't fail.
        let _ = write!(code, "Step {{ name: {name:?}, items: {items} }}, ");
    }
    code.push(']');
    code
}

/// The code for a condition.
fn when(place: &str, condition: &str) -> Result<String, String> {
    if condition == "-" {
        return Ok("When::Always".to_owned());
    }
    let (path, code) = match (condition.split_once("!="), condition.split_once('=')) {
        (Some((path, value)), _) => (path, format!("When::IsNot({}, {value:?})", steps(path))),
        (_, Some((path, value))) => (path, format!("When::Is({}, {value:?})", steps(path))),
        _ => (condition, format!("When::Has({})", steps(condition))),
    };
    let known = event::classes().iter().any(|class| find(class.definition, path).is_some());
    if known { Ok(code) } else { Err(format!("{place}: no class has the `{path}` of the condition")) }
}

//! Turns the text tables of the normaliser into sorted static arrays, and refuses tables that contradict themselves or OCSF.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::exit,
};

#[path = "src/normalize/tables/operation_name.rs"]
mod operation_name;

fn main() {
    if let Err(reason) = generate() {
        // A build script's standard error is what cargo shows when it fails.
        eprintln!("the tables can't be built: {reason}");
        exit(1);
    }
}

/// The lines of a table that hold something, split at tabs, with the place of each for messages.
struct Table {
    rows: Vec<(String, Vec<String>)>,
}

impl Table {
    fn read(path: &Path, columns: usize) -> Result<Self, String> {
        println!("cargo::rerun-if-changed={}", path.display());
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
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
        Ok(Self { rows })
    }
}

fn integer(place: &str, text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("{place}: `{text}` is no number"))
}

/// What captions.tsv knows of enumerations.
struct Captions(BTreeMap<(String, String, i64), String>);

impl Captions {
    fn has(&self, scope: &str, attribute: &str, id: i64) -> bool {
        let own = (scope.to_owned(), attribute.to_owned());
        let listed = self.0.keys().any(|(s, a, _)| *s == own.0 && *a == own.1);
        let scope = if listed { scope } else { "*" };
        self.0.contains_key(&(scope.to_owned(), attribute.to_owned(), id))
    }
}

fn generate() -> Result<(), String> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(|e| e.to_string())?);
    let tables = root.join("src/normalize/tables");
    let ocsf = root.join("../schemas/ocsf");
    let mut out = String::new();

    let mut captions = Captions(BTreeMap::new());
    for (place, row) in Table::read(&ocsf.join("captions.tsv"), 4)?.rows {
        captions.0.insert((row[0].clone(), row[1].clone(), integer(&place, &row[2])?), row[3].clone());
    }
    array(
        &mut out,
        "CAPTIONS",
        "(&str, &str, i64, &str)",
        captions.0.iter().map(|((s, a, i), c)| format!("({s:?}, {a:?}, {i}, {c:?})")),
    );

    let mut classes = BTreeMap::new();
    for (place, row) in Table::read(&ocsf.join("classes.tsv"), 4)?.rows {
        classes.insert(integer(&place, &row[0])?, (row[1].clone(), integer(&place, &row[2])?, row[3].clone()));
    }
    array(
        &mut out,
        "CLASSES",
        "Class",
        classes.iter().map(|(uid, (name, category, category_name))| {
            format!(
                "Class {{ uid: {uid}, scope: \"{uid}\", name: {name:?}, category_uid: {category}, category_name: {category_name:?} }}"
            )
        }),
    );
    marks(&mut out, &root, &ocsf)?;

    let known = |place: &str, class: i64, activity: i64| {
        if captions.has(&class.to_string(), "activity_id", activity) && classes.contains_key(&class) {
            Ok(())
        } else {
            Err(format!("{place}: OCSF has no activity {activity} in class {class}"))
        }
    };

    let mut families: BTreeMap<String, BTreeMap<(bool, String), String>> = BTreeMap::new();
    for (place, row) in Table::read(&tables.join("operations.tsv"), 5)?.rows {
        let (class, activity) = (integer(&place, &row[2])?, integer(&place, &row[3])?);
        known(&place, class, activity)?;
        let severity = if row[4] == "-" { "None".to_owned() } else { format!("Some({})", integer(&place, &row[4])?) };
        let (beginning, name) = match row[1].strip_suffix('*') {
            // A blank before the star belongs to the beginning.
            Some(rest) if rest.ends_with(' ') => (true, format!("{} ", operation_name::normalize(rest))),
            Some(rest) => (true, operation_name::normalize(rest)),
            None => (false, operation_name::normalize(&row[1])),
        };
        let rule = format!("Rule {{ class_uid: {class}, activity: Activity::Id({activity}), severity: {severity} }}");
        if families.entry(row[0].clone()).or_default().insert((beginning, name), rule).is_some() {
            return Err(format!("{place}: `{}` is in the family `{}` already", row[1], row[0]));
        }
    }
    let names: Vec<&String> = families.keys().collect();
    array(
        &mut out,
        "FAMILIES",
        "Family",
        families.iter().map(|(name, rules)| {
            let list = |wanted: bool| {
                let rows: Vec<String> = rules
                    .iter()
                    .filter(|((beginning, _), _)| *beginning == wanted)
                    .map(|((_, name), rule)| format!("({name:?}, {rule})"))
                    .collect();
                rows.join(", ")
            };
            format!("Family {{ name: {name:?}, exact: &[{}], beginnings: &[{}] }}", list(false), list(true))
        }),
    );

    let mut types: BTreeMap<(i64, String), String> = BTreeMap::new();
    for (place, row) in Table::read(&tables.join("record_types.tsv"), 5)?.rows {
        let number = if row[0] == "-" { None } else { Some(integer(&place, &row[0])?) };
        let mut list = Vec::new();
        for family in row[2].split(',').filter(|f| *f != "-") {
            let index = names.iter().position(|n| *n == family);
            list.push(index.ok_or_else(|| format!("{place}: operations.tsv has no family `{family}`"))?.to_string());
        }
        let default = match (row[3].as_str(), row[4].as_str()) {
            ("-", "-") => "None".to_owned(),
            (class, activity) => {
                let class = integer(&place, class)?;
                let activity = if activity == "verb" {
                    known(&place, class, 99)?;
                    "Activity::Verb".to_owned()
                } else {
                    known(&place, class, integer(&place, activity)?)?;
                    format!("Activity::Id({activity})")
                };
                format!("Some(Rule {{ class_uid: {class}, activity: {activity}, severity: None }})")
            }
        };
        let name = if row[1] == "-" { "" } else { &row[1] };
        let text = format!(
            "RecordType {{ number: {number:?}, text: {:?}, name: {name:?}, families: &[{}], default: {default} }}",
            number.map_or(String::new(), |n| n.to_string()),
            list.join(", ")
        );
        if types.insert((number.unwrap_or(i64::MAX), row[1].clone()), text).is_some() {
            return Err(format!("{place}: the record type {} is listed twice", row[0]));
        }
    }
    array(&mut out, "RECORD_TYPES", "RecordType", types.into_values());

    let mut verbs = BTreeMap::new();
    for (place, row) in Table::read(&tables.join("verbs.tsv"), 3)?.rows {
        let (class, activity) = (integer(&place, &row[0])?, integer(&place, &row[1])?);
        known(&place, class, activity)?;
        for word in row[2].split(' ') {
            if verbs.insert((class, word.to_owned()), activity).is_some() {
                return Err(format!("{place}: `{word}` has two meanings in class {class}"));
            }
        }
    }
    array(&mut out, "VERBS", "(u32, &str, i64)", verbs.iter().map(|((c, w), a)| format!("({c}, {w:?}, {a})")));

    let mut codes = BTreeMap::new();
    for (place, row) in Table::read(&tables.join("sign_in_codes.tsv"), 2)?.rows {
        let kind = match row[1].as_str() {
            "interrupted" => "SignInCode::Interrupted",
            "policy_block" => "SignInCode::PolicyBlock",
            other => return Err(format!("{place}: `{other}` is neither interrupted nor policy_block")),
        };
        if codes.insert(integer(&place, &row[0])?, kind).is_some() {
            return Err(format!("{place}: {} is listed twice", row[0]));
        }
    }
    array(&mut out, "SIGN_IN_CODES", "(i64, SignInCode)", codes.iter().map(|(code, kind)| format!("({code}, {kind})")));

    let folder = env::var("OUT_DIR").map_err(|e| e.to_string())?;
    fs::write(Path::new(&folder).join("tables.rs"), out).map_err(|e| e.to_string())
}

/// What the walk over a finished event needs to know, for the attributes that events use.
fn marks(out: &mut String, root: &Path, ocsf: &Path) -> Result<(), String> {
    let path = root.join("../schemas/events/attributes.json");
    println!("cargo::rerun-if-changed={}", path.display());
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let used: serde_json::Value = serde_json::from_str(&text).map_err(|e| format!("attributes.json: {e}"))?;
    let mut listed: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for group in ["classes", "objects"] {
        for (scope, names) in used[group].as_object().into_iter().flatten() {
            let names = names.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
            listed.insert(scope, names.collect());
        }
    }
    let scopes: Vec<&str> = listed.keys().copied().collect();
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (place, row) in Table::read(&ocsf.join("attributes.tsv"), 5)?.rows {
        if !listed.get(row[0].as_str()).is_some_and(|names| names.contains(row[1].as_str())) {
            continue;
        }
        let object = if row[2] == "-" { None } else { scopes.iter().position(|s| *s == row[2]) };
        let observable = if row[3] == "-" { 0 } else { integer(&place, &row[3])? };
        let profile = if row[4] == "-" { "" } else { row[4].split(',').next().unwrap_or_default() };
        rows.entry(row[0].clone()).or_default().push(format!(
            "Mark {{ attribute: {:?}, object: {object:?}, observable: {observable}, profile: {profile:?} }}",
            row[1]
        ));
    }
    array(
        out,
        "SCOPES",
        "Scope",
        scopes.iter().map(|scope| {
            let mut marks = rows.remove(*scope).unwrap_or_default();
            marks.sort();
            format!("Scope {{ name: {scope:?}, marks: &[{}] }}", marks.join(", "))
        }),
    );
    Ok(())
}

fn array(out: &mut String, name: &str, of: &str, rows: impl Iterator<Item = String>) {
    // Writing to a String can't fail.
    let _ = writeln!(out, "static {name}: &[{of}] = &[");
    for row in rows {
        let _ = writeln!(out, "    {row},");
    }
    out.push_str("];\n");
}

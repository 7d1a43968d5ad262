//! Turns the text tables of the normaliser into sorted static arrays, and refuses tables that contradict themselves or OCSF.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::exit,
};

#[path = "build/ecs.rs"]
mod ecs;
#[path = "build/tables.rs"]
mod tables;

use tables::{Family, Table, integer, known};

fn main() {
    if let Err(reason) = generate() {
        // A build script's standard error is what cargo shows when it fails.
        eprintln!("the tables can't be built: {reason}");
        exit(1);
    }
}

/// The tables of a folder, sorted by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let fault = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        if path.extension().is_some_and(|extension| extension == "tsv") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn text(path: &Path) -> Result<String, String> {
    println!("cargo::rerun-if-changed={}", path.display());
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn read(path: &Path, columns: usize) -> Result<Table, String> {
    Table::read(&file_name(path), &text(path)?, columns)
}

fn generate() -> Result<(), String> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(|e| e.to_string())?);
    let tables = root.join("src/normalize/tables");
    let mut out = String::new();

    let mut families = BTreeMap::new();
    for path in files(&tables.join("operations"))? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        families.insert(name, Family::read(&file_name(&path), &text(&path)?)?);
    }
    let names: Vec<&String> = families.keys().collect();
    array(
        &mut out,
        "FAMILIES",
        "Family",
        families.iter().map(|(name, family)| {
            let list = |beginning: bool| {
                let rows = family.rows.iter().filter(|row| row.beginning == beginning);
                let rows: Vec<String> = rows.map(|row| format!("({:?}, {})", row.key, row.operation)).collect();
                rows.join(", ")
            };
            format!(
                "Family {{ name: {name:?}, about: {:?}, exact: &[{}], beginnings: &[{}] }}",
                family.about,
                list(false),
                list(true)
            )
        }),
    );

    let mut looked_into = BTreeSet::new();
    let mut types: BTreeMap<(i64, String), String> = BTreeMap::new();
    for (place, row) in read(&tables.join("record_types.tsv"), 5)?.rows {
        let number = if row[0] == "-" { None } else { Some(integer(&place, &row[0])?) };
        let mut list = Vec::new();
        for family in row[2].split(',').filter(|f| *f != "-") {
            let index = names.iter().position(|n| *n == family);
            let index = index.ok_or_else(|| format!("{place}: there is no operations/{family}.tsv"))?;
            looked_into.insert(index);
            list.push(index.to_string());
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
                format!("Some(Rule {{ class_uid: {class}, activity: {activity}, severity: None, object: \"\" }})")
            }
        };
        let name = if row[1] == "-" { "" } else { &row[1] };
        let text = format!(
            "RecordType {{ number: {number:?}, text: {:?}, name: {name:?}, families: &[{}], default: {default} }}",
            number.map_or(String::new(), |n| n.to_string()),
            list.join(", ")
        );
        let after = types.last_key_value().map(|((last, _), _): (&(i64, String), _)| *last);
        if number.zip(after).is_some_and(|(number, last)| number <= last) {
            return Err(format!("{place}: record types are sorted by number, and {} is out of its place", row[0]));
        }
        if types.insert((number.unwrap_or(i64::MAX), row[1].clone()), text).is_some() {
            return Err(format!("{place}: the record type {} is listed twice", row[0]));
        }
    }
    array(&mut out, "RECORD_TYPES", "RecordType", types.into_values());
    if let Some(index) = (0..names.len()).find(|index| !looked_into.contains(index)) {
        return Err(format!("no record type of record_types.tsv looks into operations/{}.tsv", names[index]));
    }

    let mut verbs = BTreeMap::new();
    for (place, row) in read(&tables.join("verbs.tsv"), 3)?.rows {
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
    for (place, row) in read(&tables.join("sign_in_codes.tsv"), 3)?.rows {
        let kind = match row[1].as_str() {
            "interrupted" => "Some(SignInCode::Interrupted)",
            "policy_block" => "Some(SignInCode::PolicyBlock)",
            "failure" => "None",
            other => return Err(format!("{place}: `{other}` is neither interrupted nor policy_block nor failure")),
        };
        if row[2].is_empty() {
            return Err(format!("{place}: {} has no reason", row[0]));
        }
        if codes.insert(integer(&place, &row[0])?, (kind, row[2].clone())).is_some() {
            return Err(format!("{place}: {} is listed twice", row[0]));
        }
    }
    let rows = codes.iter().map(|(code, (kind, reason))| format!("({code}, {kind}, {reason:?})"));
    array(&mut out, "SIGN_IN_CODES", "(i64, Option<SignInCode>, &str)", rows);

    generate_fields(&tables)?;
    let folder = env::var("OUT_DIR").map_err(|e| e.to_string())?;
    let mut documents = String::new();
    ecs::generate(&root.join("src/ecs/tables"), &mut documents)?;
    fs::write(Path::new(&folder).join("ecs.rs"), documents).map_err(|e| e.to_string())?;
    fs::write(Path::new(&folder).join("tables.rs"), out).map_err(|e| e.to_string())
}

/// The known members of records: one array a family of records.
fn generate_fields(tables: &Path) -> Result<(), String> {
    const FAMILIES: [&str; 5] = ["activity", "alert", "alert-legacy", "directory-audit", "sign-in"];
    let mut families: BTreeMap<&str, Vec<String>> = FAMILIES.iter().map(|family| (*family, Vec::new())).collect();
    let mut last = (String::new(), String::new());
    for (place, row) in read(&tables.join("fields.tsv"), 3)?.rows {
        let [family, name, values] = row.as_slice() else { return Err(format!("{place}: not 3 columns")) };
        let list = families.get_mut(family.as_str()).ok_or_else(|| format!("{place}: no family `{family}`"))?;
        let here = (family.clone(), name.clone());
        if here <= last {
            return Err(format!(
                "{place}: lines are sorted by family and name, and `{name}` is out of its place or twice"
            ));
        }
        last = here;
        let values: Vec<&str> = if values == "-" { Vec::new() } else { values.split(',').collect() };
        list.push(format!("Field {{ name: {name:?}, values: &{values:?} }}"));
    }
    let mut out = String::new();
    for (family, list) in families {
        array(&mut out, &family.to_uppercase().replace('-', "_"), "Field", list.into_iter());
    }
    let folder = env::var("OUT_DIR").map_err(|e| e.to_string())?;
    fs::write(Path::new(&folder).join("fields.rs"), out).map_err(|e| e.to_string())
}

fn array(out: &mut String, name: &str, of: &str, rows: impl Iterator<Item = String>) {
    // Writing to a String can't fail.
    let _ = writeln!(out, "static {name}: &[{of}] = &[");
    for row in rows {
        let _ = writeln!(out, "    {row},");
    }
    out.push_str("];\n");
}

//! The tables as `docs/ecs.md` shows them.

use std::fs;
use std::path::Path;

use m365_schemas::event::{self, attr};
use serde_json::Value;

/// The page with its tables and its example as they are now.
pub fn rendered(page: &str) -> String {
    let mut page = page.to_owned();
    for (name, head, table) in [
        ("kinds", "| class | activities | if | kind | categories | types |", kinds()),
        ("fields", "| OCSF | ECS | classes | if | how |", fields()),
        ("forms", "| object | member | ECS | how |", forms()),
    ] {
        let columns = head.matches('|').count() - 1;
        let body = format!("{head}\n|{}\n{table}", "---|".repeat(columns));
        page = between(&page, &format!("<!-- {name} -->\n"), "<!-- end -->", &body);
    }
    between(&page, "without what is under `m365`:\n\n```json\n", "```\n", &example())
}

/// The page with something else between two marks.
fn between(page: &str, begin: &str, end: &str, text: &str) -> String {
    let start = page.find(begin).unwrap_or_else(|| panic!("docs/ecs.md lacks {begin:?}")) + begin.len();
    let length = page[start..].find(end).unwrap();
    format!("{}{text}{}", &page[..start], &page[start + length..])
}

fn rows(table: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ecs/tables").join(table);
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

fn code(text: &str) -> String {
    if text == "-" { String::new() } else { format!("`{}`", text.replace('|', "` or `")) }
}

fn list(text: &str) -> String {
    if text == "-" { String::new() } else { text.replace(',', ", ") }
}

/// How a value is converted, in words.
fn words(how: &str) -> String {
    match how.split_once(':') {
        Some(("copy", form)) => return format!("*{form}*, a copy"),
        Some(("each", form)) => return format!("*{form}*, each"),
        _ => {}
    }
    match how {
        "-" => String::new(),
        "copy" => "a copy".to_owned(),
        "date" => "as a date".to_owned(),
        "ns" => "in nanoseconds".to_owned(),
        "lower" => "in lower case".to_owned(),
        "url-text" => "with domain, scheme and path".to_owned(),
        "country" => "if it is a code".to_owned(),
        "point" => "latitude and longitude".to_owned(),
        "hashes" => "by algorithm".to_owned(),
        constant if constant.starts_with('=') => format!("always `{}`", &constant[1..]),
        words if words.contains('=') => words.replace('|', ", "),
        form => format!("*{form}*"),
    }
}

fn kinds() -> String {
    let rows = rows("kinds.tsv").into_iter();
    rows.map(|row| {
        let class = event::class(row[0].parse().unwrap()).unwrap();
        let name = |id: &str| class.definition.caption(attr::ACTIVITY_ID, id.parse().unwrap()).unwrap();
        let activities = match row[1].as_str() {
            "*" => "all".to_owned(),
            ids => ids.split(',').map(name).collect::<Vec<_>>().join(", "),
        };
        let (kind, categories, types) = (list(&row[3]), list(&row[4]), list(&row[5]));
        let class = format!("{} {}", class.uid, class.name);
        format!("| {class} | {activities} | {} | {kind} | {categories} | {types} |\n", code(&row[2]))
    })
    .collect()
}

fn fields() -> String {
    let rows = rows("fields.tsv").into_iter();
    rows.map(|row| {
        let classes = if row[0] == "*" { "all".to_owned() } else { list(&row[0]) };
        format!("| {} | {} | {classes} | {} | {} |\n", code(&row[2]), code(&row[4]), code(&row[1]), words(&row[3]))
    })
    .collect()
}

fn forms() -> String {
    let rows = rows("forms.tsv").into_iter();
    rows.map(|row| format!("| *{}* | `{}` | `{}` | {} |\n", row[0], row[1], row[3], words(&row[2]))).collect()
}

fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/golden/graph.signins.interactive/blocked_by_policy.ecs.json");
    let mut document: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    document.as_object_mut().unwrap().remove("m365");
    format!("{}\n", serde_json::to_string_pretty(&document).unwrap())
}

//! The pages of `docs/streams/`: one a stream, made from the tables of operations and from what the normaliser does with the golden
//! records, so that no page can say what isn't so.
//!
//! `UPDATE_DOCS=1 cargo test -p m365-plugin --test docs` writes them anew; without it the test fails if a page isn't current.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

#[path = "docs/provenance.rs"]
mod provenance;

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use m365_plugin::{
    normalize::{
        Normalizer,
        tables::{self, Activity, Family, RecordType, Rule},
    },
    streams::{self, Collection, Feed, STREAMS, Stream},
};
use m365_schemas::event::{self, attr};
use provenance::Provenance;

/// The record types that come in the content types of the Management Activity API. Microsoft publishes no list; this is what is
/// seen. All others come in `Audit.General`.
const RECORD_TYPES: [(&str, &[i64]); 4] = [
    ("office365.azure-ad", &[8, 9, 15]),
    ("office365.exchange", &[1, 2, 3, 19, 50]),
    ("office365.sharepoint", &[4, 6, 7, 14, 35, 36, 37, 54, 55, 56]),
    ("office365.dlp", &[11, 13, 33, 63, 99, 100, 107]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn pages_are_current() {
    let folder = root().join("docs/streams");
    let update = env::var_os("UPDATE_DOCS").is_some();
    let mut stale = Vec::new();
    let mut pages: Vec<(String, String)> = STREAMS.iter().map(|s| (format!("{}.md", s.name), page(s))).collect();
    pages.push(("README.md".to_owned(), index()));
    for (name, text) in pages {
        let path = folder.join(&name);
        if update {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, text).unwrap();
        } else if fs::read_to_string(&path).unwrap_or_default() != text {
            stale.push(name);
        }
    }
    assert!(stale.is_empty(), "write {stale:?} anew with UPDATE_DOCS=1 cargo test -p m365-plugin --test docs");
}

fn index() -> String {
    let mut text = String::from(
        "# Streams\n\n<!-- Made by UPDATE_DOCS=1 cargo test -p m365-plugin --test docs -->\n\n\
         What each stream is, which operations are in it, what they mean in OCSF, and which attribute comes from which member.\n\n\
         | stream | what | API |\n|---|---|---|\n",
    );
    for Stream { name, title, api, .. } in STREAMS {
        writeln!(text, "| [`{name}`]({name}.md) | {title} | `{api}` |").unwrap();
    }
    text
}

fn page(stream: &'static Stream) -> String {
    let mut text = format!(
        "# {}\n\n<!-- Made by UPDATE_DOCS=1 cargo test -p m365-plugin --test docs -->\n\n**{}**, `{}`.\n\n",
        stream.name, stream.title, stream.api
    );
    let story = stream.story.map_or_else(|| "none".to_owned(), |story| format!("`{story}`"));
    let permissions: Vec<String> = stream.permissions.iter().map(|p| format!("`{p}`")).collect();
    writeln!(
        text,
        "| | |\n|---|---|\n| permissions | {} |\n| dataset, vendor, product | `{}`, {}, {} |\n| story | {story} |\n",
        permissions.join(", "),
        stream.dataset,
        stream.vendor,
        stream.product,
    )
    .unwrap();
    if !stream.notice.is_empty() {
        writeln!(text, "{}\n", stream.notice).unwrap();
    }
    operations(stream, &mut text);
    fields(stream, &mut text);
    text
}

/// The record types of a stream.
fn record_types(stream: &Stream) -> Vec<&'static RecordType> {
    if let Some(name) = stream.record_type() {
        return tables::record_type_named(name).into_iter().collect();
    }
    let own = RECORD_TYPES.iter().find(|(name, _)| *name == stream.name).map(|(_, numbers)| *numbers);
    let of_others = |n: i64| RECORD_TYPES.iter().any(|(_, numbers)| numbers.contains(&n));
    let wanted = |t: &&RecordType| match (t.number, own) {
        (None, _) => false,
        (Some(number), Some(own)) => own.contains(&number),
        (Some(number), None) => !of_others(number),
    };
    tables::record_types().iter().filter(wanted).collect()
}

fn meaning(rule: Rule) -> String {
    let class = event::class(rule.class_uid).unwrap();
    let activity = match rule.activity {
        Activity::Id(id) => class.definition.caption(attr::ACTIVITY_ID, id).unwrap_or_default(),
        Activity::Verb => "by the words of the name",
    };
    let severity = rule.severity.map_or_else(String::new, |id| {
        let caption = class.definition.caption(attr::SEVERITY_ID, id).unwrap_or_default();
        format!(" (severity {caption})")
    });
    format!("{} {}: {activity}{severity}", rule.class_uid, class.name)
}

fn operations(stream: &Stream, text: &mut String) {
    let kinds = record_types(stream);
    let mut families: Vec<&'static Family> = Vec::new();
    for family in kinds.iter().flat_map(|kind| kind.families()) {
        if !families.iter().any(|f| std::ptr::eq(*f, family)) {
            families.push(family);
        }
    }
    text.push_str("## Operations\n\n");
    if families.is_empty() && kinds.len() == 1 {
        writeln!(text, "Every record becomes **{}**.\n", meaning(kinds[0].default())).unwrap();
        return;
    }
    text.push_str(
        "A `*` stands for every name that begins so. A record that can't fill the class (no user, no group) becomes a weaker one: Entity\n\
         Management, or API Activity. The tables are in [`plugin/src/normalize/tables`](../../plugin/src/normalize/tables).\n\n",
    );
    for family in families {
        writeln!(text, "### {}\n\n{}\n", family.name, family.about).unwrap();
        text.push_str("| OCSF class: activity | done to | operations |\n|---|---|---|\n");
        let mut rows: BTreeMap<(u32, i64, String, &str), Vec<&str>> = BTreeMap::new();
        for operation in family.operations() {
            let Activity::Id(activity) = operation.rule.activity else { continue };
            let key = (operation.rule.class_uid, activity, meaning(operation.rule), operation.rule.object);
            rows.entry(key).or_default().push(operation.name);
        }
        for ((_, _, meaning, object), names) in rows {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            writeln!(text, "| {meaning} | {object} | {} |", names.join(", ")).unwrap();
        }
        text.push('\n');
    }
    text.push_str(
        "### Other operations\n\nBy record type: which tables are looked into, and what an operation becomes that none of them names.\n\n\
         | record types | tables | otherwise |\n|---|---|---|\n",
    );
    let mut rows: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for kind in kinds {
        let tables: Vec<&str> = kind.families().map(|f| f.name).collect();
        let name = match kind.number {
            Some(number) if kind.name.is_empty() => number.to_string(),
            Some(number) => format!("{number} {}", kind.name),
            None => kind.name.to_owned(),
        };
        rows.entry((tables.join(", "), meaning(kind.default()))).or_default().push(name);
    }
    for ((tables, otherwise), kinds) in rows {
        let tables = if tables.is_empty() { "none" } else { &tables };
        writeln!(text, "| {} | {tables} | {otherwise} |", kinds.join(", ")).unwrap();
    }
    text.push('\n');
}

fn fields(stream: &Stream, text: &mut String) {
    let folder = root().join("tests/golden").join(stream.name);
    let mut names: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .filter_map(|e| Some(e.unwrap().file_name().to_string_lossy().strip_suffix(".record.json")?.to_owned()))
        .collect();
    names.sort();
    let normalizer = Normalizer::new("{}").unwrap();
    let mut found = Provenance::default();
    for name in &names {
        let record = fs::read(folder.join(format!("{name}.record.json"))).unwrap();
        found.learn(&normalizer, stream.name, &serde_json::from_slice(&record).unwrap());
    }
    text.push_str(
        "## Fields\n\nFound by normalising the example records below without each of their members in turn. `[]` is any place in a list,\n\
         `[name]` the item of that name in a list of names and values.\n\n",
    );
    match stream.feed {
        Feed::ContentType(_) => text.push_str(
            "`Operation` and `RecordType` decide class and activity. The operation is `api.operation` and `metadata.event_code` as well, the\n\
             record type `metadata.product.feature`.\n\n",
        ),
        Feed::Graph(Collection::DirectoryAudits) => text.push_str(
            "`activityDisplayName` decides class and activity; it is `api.operation` and `metadata.event_code` as well.\n\n",
        ),
        Feed::Graph(_) => {}
    }
    for (class, attributes) in &found.sources {
        let name = u32::try_from(*class).ok().and_then(event::class).map_or("", |class| class.name);
        writeln!(text, "### {class} {name}\n\n| attribute | from |\n|---|---|").unwrap();
        for (attribute, sources) in attributes {
            let sources: Vec<String> = sources.iter().map(|s| format!("`{}`", s.replace('|', "\\|"))).collect();
            writeln!(text, "| `{attribute}` | {} |", sources.join(", ")).unwrap();
        }
        text.push('\n');
    }
    if !found.unmapped.is_empty() {
        let names: Vec<String> = found.unmapped.iter().map(|name| format!("`{name}`")).collect();
        writeln!(text, "Whole or in part under their own names in `unmapped`: {}.\n", names.join(", ")).unwrap();
    }
    text.push_str("### Examples\n\n");
    for name in &names {
        let path = format!("../../tests/golden/{}/{name}", stream.name);
        writeln!(text, "- {}: [record]({path}.record.json), [event]({path}.event.json)", name.replace('_', " "))
            .unwrap();
    }
}

#[test]
fn the_source_of_an_attribute_is_found_by_trying() {
    let normalizer = Normalizer::new("{}").unwrap();
    let record = serde_json::json!({
        "CreationTime": "2025-11-25T08:31:55", "Id": "0b7c1b6a-2a41-4a0d-8f7e-08de2bd90c02", "Operation": "New-InboxRule",
        "OrganizationId": "3f1c7a52-6d3e-4a53-9f0e-5b0f4b1d2c11", "RecordType": 1, "ResultStatus": "True", "UserType": 0,
        "UserKey": "10032003A1B2C3E5", "Workload": "Exchange", "ClientIP": "[2001:db8:7::15]:31022",
        "ObjectId": "lea\\9187330120015585281", "UserId": "lea.brunner@contoso.com", "Unheard": 7,
        "Parameters": [{"Name": "MoveToFolder", "Value": "RSS Feeds"}],
    });
    let mut found = Provenance::default();
    found.learn(&normalizer, "office365.exchange", &record);
    let of = |attribute: &str| found.sources[&3004][attribute].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(of("src_endpoint.ip"), ["ClientIP"]);
    assert_eq!(of("actor.user.name"), ["UserId"]);
    assert_eq!(of("entity.data"), ["Parameters"]);
    assert_eq!(of("status_id"), ["ResultStatus"]);
    assert!(found.unmapped.contains("Unheard"));
    assert!(streams::find("office365.exchange").is_some());
}

//! From a file to a checked [`Config`]: every mistake is named with its place and its mend.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Config, HttpConfig, SinkConfig, SinkFormat, SinkKind, faults, json_schema};

/// Why a configuration can't be used. The text says what to change.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

impl ConfigError {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// More than any configuration has.
const MOST_BYTES: u64 = 16 << 20;

/// Reads and checks a configuration file.
///
/// # Errors
/// If the file can't be read, is no TOML, has an unknown key, or a value out of its range.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = crate::files::read_text(path, MOST_BYTES).map_err(|error| {
        ConfigError::new(format!(
            "The configuration file {} can't be read: {error}. Name an existing file with -c.",
            path.display()
        ))
    })?;
    parse(&text).map_err(|error| ConfigError(format!("{}: {error}", path.display())))
}

/// Checks the text of a configuration file.
///
/// # Errors
/// As [`load`], without the file.
pub fn parse(text: &str) -> Result<Config, ConfigError> {
    let document: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| ConfigError::new(faults::syntax(text, error.message(), error.span())))?;
    let mut unknown = Vec::new();
    let config: Config = serde_ignored::deserialize(document.clone(), |path| unknown.push(path.to_string())).map_err(
        |error: toml::de::Error| match check_schema(&document) {
            // The schema knows the place of a value of the wrong type.
            Err(placed) if !error.message().starts_with("missing field") => placed,
            _ => ConfigError::new(explain(error.message())),
        },
    )?;
    if let Some(path) = unknown.first() {
        return Err(ConfigError::new(unknown_key(path)));
    }
    check_schema(&document)?;
    check_sense(&config)?;
    Ok(config)
}

fn explain(message: &str) -> String {
    let message = message.trim().trim_end_matches('.');
    match message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        Some(field) => format!("The key `{field}` is missing. Add it; `m365-pipe schema print config` describes it."),
        None => faults::expected(message),
    }
}

/// Names the unknown key and the nearest one that exists in the same table.
pub(super) fn unknown_key(path: &str) -> String {
    let (table, key) = path.rsplit_once('.').unwrap_or(("", path));
    let known = known_keys(table);
    let place = if table.is_empty() { String::new() } else { format!(" in [{table}]") };
    match faults::nearest(key, &known) {
        Some(name) => format!("The key `{key}`{place} is unknown. Did you mean `{name}`?"),
        None => format!("The key `{key}`{place} is unknown. Known keys there: {}.", known.join(", ")),
    }
}

/// The keys that the schema has for a table such as `source`, or `sinks.0`.
pub(super) fn known_keys(table: &str) -> Vec<String> {
    // The schema is made by this program from its own types.
    let schema: Value = serde_json::from_str(&json_schema()).expect("the schema is JSON");
    let mut node = &schema;
    for step in table.split('.').filter(|step| !step.is_empty() && *step != "?") {
        let next = if step.parse::<usize>().is_ok() {
            node.get("items")
        } else {
            node.get("properties").and_then(|map| map.get(step)).or_else(|| node.get("additionalProperties"))
        };
        let Some(next) = next else { return Vec::new() };
        // A table that may be absent is a choice between its definition and null.
        let choices = next.get("anyOf").and_then(Value::as_array).into_iter().flatten();
        let reference = [next].into_iter().chain(choices).find_map(|choice| choice.get("$ref"));
        node = match reference.and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#')) {
            Some(pointer) => schema.pointer(pointer).unwrap_or(next),
            None => next,
        };
    }
    node.get("properties").and_then(Value::as_object).map(|map| map.keys().cloned().collect()).unwrap_or_default()
}

/// The ranges that the schema states hold for the document.
fn check_schema(document: &toml::Table) -> Result<(), ConfigError> {
    // As above.
    let schema: Value = serde_json::from_str(&json_schema()).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the generated schema is valid");
    let instance = serde_json::to_value(document).map_err(|error| ConfigError::new(error.to_string()))?;
    match validator.iter_errors(&instance).next() {
        None => Ok(()),
        Some(error) => Err(ConfigError::new(faults::refused(&error))),
    }
}

/// What the types can't say.
fn check_sense(config: &Config) -> Result<(), ConfigError> {
    if config.tenant.trim().is_empty() {
        return Err(ConfigError::new("`tenant` is empty. Give the tenant's GUID or one of its domains."));
    }
    if config.client_id.trim().is_empty() {
        return Err(ConfigError::new(
            "`client_id` is empty. Give the Application (client) ID of the app registration.",
        ));
    }
    if config.streams.is_empty() {
        return Err(ConfigError::new(
            "`streams` is empty. Name at least one stream, or leave the key out for all of them.",
        ));
    }
    if config.sinks.is_empty() {
        return Err(ConfigError::new("`sinks` is empty. Name at least one sink, or leave it out for standard output."));
    }
    let has = |format| config.sinks.iter().any(|sink| sink.format == format);
    if has(SinkFormat::Ocsf) && has(SinkFormat::Ecs) {
        return Err(ConfigError::new(
            "Some sinks take `ocsf`, which is the default, and some `ecs`. One run makes events in one of the two: give these sinks \
             the same `format`, or collect a second time with a `data_dir` of its own.",
        ));
    }
    check_proxy(&config.http)?;
    let mut taken: Vec<String> = Vec::new();
    for (index, sink) in config.sinks.iter().enumerate() {
        check_sink(index, sink)?;
        let (place, what) = match (sink.kind, &sink.path, &sink.url) {
            (SinkKind::File, Some(path), _) => (real(path).display().to_string(), "a file of its own"),
            (SinkKind::Http, _, Some(url)) => (url.clone(), "a `name` of its own"),
            _ => ("standard output".to_owned(), "a place of its own"),
        };
        let name = sink.name.clone().filter(|_| sink.kind == SinkKind::Http).unwrap_or(place);
        if let Some(other) = taken.iter().position(|other| *other == name) {
            // An address may hold a secret, so it isn't quoted.
            return Err(ConfigError::new(format!(
                "Two sinks, sinks.{other} and sinks.{index}, write to the same place. Give each {what}."
            )));
        }
        taken.push(name);
        if let Some(name) = &sink.name
            && config.sinks[..index].iter().any(|other| other.name.as_ref() == Some(name))
        {
            return Err(ConfigError::new(format!("Two sinks have the name {name:?}. Give each a name of its own.")));
        }
    }
    Ok(())
}

/// A path without links and detours, as far as it is there, so that one file is found under two spellings.
fn real(path: &Path) -> PathBuf {
    let in_folder = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(folder.canonicalize().ok()?.join(path.file_name()?))
    };
    path.canonicalize().ok().or_else(in_folder).unwrap_or_else(|| path.to_owned())
}

fn check_proxy(http: &HttpConfig) -> Result<(), ConfigError> {
    let proxy = http.proxy.as_deref().map(url::Url::parse);
    if proxy.is_none() && (http.proxy_user.is_some() || http.proxy_password.is_some()) {
        return Err(ConfigError::new(
            "`http.proxy_user` or `http.proxy_password` is set, and `http.proxy` isn't. Add it, or remove them.",
        ));
    }
    if http.proxy_user.is_some() != http.proxy_password.is_some() {
        return Err(ConfigError::new(
            "Of `http.proxy_user` and `http.proxy_password` one is missing. Add it, or remove the other one.",
        ));
    }
    if let Some(Ok(url)) = proxy
        && (!url.username().is_empty() || url.password().is_some())
    {
        return Err(ConfigError::new(
            "`http.proxy` holds a user or a password. Write them as `proxy_user = \"…\"` and `proxy_password = { env = \"…\" }` or \
             `{ file = \"…\" }` beside it, and replace the password: it stood in plain text.",
        ));
    }
    Ok(())
}

fn check_sink(index: usize, sink: &SinkConfig) -> Result<(), ConfigError> {
    let kind = match sink.kind {
        SinkKind::Stdout => "stdout",
        SinkKind::File => "file",
        SinkKind::Http => "http",
    };
    if sink.kind == SinkKind::Stdout && sink.path.is_some() {
        return Err(ConfigError::new(format!(
            "sinks.{index} is of type `stdout` and has a `path`. Make it `type = \"file\"`, or remove the path."
        )));
    }
    if let Some(key) = sink.foreign_keys().first() {
        return Err(ConfigError::new(format!(
            "sinks.{index} is of type `{kind}` and has the key `{key}`, which means nothing there. Remove it, or change the type."
        )));
    }
    let plain = sink.headers.iter().find(|(name, header)| header.value.is_some() && faults::is_secret_header(name));
    if let Some((name, _)) = plain {
        return Err(ConfigError::new(format!(
            "sinks.{index}.headers.{name} has a `value`, and by its name it is a secret. Give it as `{{ env = \"…\" }}` or `{{ file = \"…\" }}`."
        )));
    }
    if sink.kind == SinkKind::File && sink.path.is_none() {
        return Err(ConfigError::new(format!("sinks.{index} is of type `file` and has no `path`. Add one.")));
    }
    if sink.kind == SinkKind::Http && sink.url.is_none() {
        return Err(ConfigError::new(format!("sinks.{index} is of type `http` and has no `url`. Add one.")));
    }
    if sink.kind == SinkKind::Stdout && sink.optional {
        return Err(ConfigError::new(format!(
            "sinks.{index} is of type `stdout` and can't be `optional`: half a line that went out can't be taken back."
        )));
    }
    if let Some(rotate) = &sink.rotate
        && rotate.max_bytes.is_none()
        && rotate.max_age_minutes.is_none()
    {
        return Err(ConfigError::new(format!(
            "sinks.{index}.rotate says not when. Give it `max_bytes`, `max_age_minutes`, or both."
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        tenant = "contoso.onmicrosoft.com"
        client_id = "11111111-2222-3333-4444-555555555555"
        client_secret_env = "M365_CLIENT_SECRET"
        data_dir = "data"
    "#;

    fn error(addition: &str) -> String {
        parse(&format!("{GOOD}\n{addition}")).expect_err("it has a mistake").0
    }

    #[test]
    fn the_smallest_configuration_collects_everything_to_standard_output() {
        let config = parse(GOOD).unwrap();
        assert_eq!(config.streams, ["*"]);
        assert_eq!(config.sinks[0].kind, SinkKind::Stdout);
        assert_eq!(config.limits.readers, 4);
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_one() {
        assert_eq!(error("stream = [\"*\"]"), "The key `stream` is unknown. Did you mean `streams`?");
        assert_eq!(
            error("[source]\nlookbak_hours = 3"),
            "The key `lookbak_hours` in [source] is unknown. Did you mean `lookback_hours`?"
        );
        assert_eq!(
            error("[[sinks]]\ntype = \"file\"\npaht = \"x\""),
            "The key `paht` in [sinks.0] is unknown. Did you mean `path`?"
        );
    }

    #[test]
    fn a_secret_in_the_text_is_refused_and_not_repeated() {
        let message = error("client_secret = \"hunter2\"");
        assert!(message.starts_with("The key `client_secret` is unknown. Did you mean `client_secret_"), "{message}");
        assert!(!message.contains("hunter2"));
    }

    #[test]
    fn values_out_of_range_are_named() {
        let message = error("[source]\nlookback_hours = 900");
        assert!(message.contains("`source.lookback_hours`") && message.contains("168"), "{message}");
        assert!(error("[limits]\nreaders = 0").contains("`limits.readers`"));
        assert!(error("cloud = \"mars\"").contains("mars"));
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named_with_its_key() {
        let message = error("[limits]\nreaders = \"four\"");
        assert!(message.contains("`limits.readers`"), "{message}");
        let message = parse(&GOOD.replace("\"contoso.onmicrosoft.com\"", "5")).unwrap_err().0;
        assert!(message.contains("`tenant`"), "{message}");
    }

    #[test]
    fn a_missing_key_is_named() {
        let message = parse("tenant = \"x\"").unwrap_err().0;
        assert!(message.starts_with("The key `client_id` is missing."), "{message}");
    }

    #[test]
    fn events_come_in_one_format() {
        let sinks = |formats: &[&str]| {
            let sink =
                |(path, format)| format!("[[sinks]]\ntype = \"file\"\npath = \"{path}\"\nformat = \"{format}\"\n");
            formats.iter().enumerate().map(sink).collect::<String>()
        };
        assert!(error(&sinks(&["ocsf", "raw", "ecs"])).contains("one of the two"));
        assert!(parse(&format!("{GOOD}\n{}", sinks(&["ecs", "raw", "ecs"]))).is_ok());
    }

    #[test]
    fn sinks_must_make_sense() {
        assert!(error("[[sinks]]\ntype = \"file\"").contains("has no `path`"));
        assert!(error("[[sinks]]\ntype = \"stdout\"\npath = \"x\"").contains("has a `path`"));
        assert!(
            error("[[sinks]]\ntype = \"file\"\npath = \"x\"\n[[sinks]]\ntype = \"file\"\npath = \"x\"")
                .contains("Two sinks")
        );
        assert!(
            error("[[sinks]]\ntype = \"file\"\npath = \"x\"\n[[sinks]]\ntype = \"file\"\npath = \"./src/../x\"")
                .contains("Two sinks")
        );
        assert!(error("[[sinks]]\ntype = \"file\"\npath = \"x\"\nmode = \"rw\"").contains("`sinks.0.mode`"));
        assert!(error("[[sinks]]\ntype = \"stdout\"\nmode = \"0600\"").contains("the key `mode`"));
        assert!(error("[[sinks]]\ntype = \"http\"").contains("has no `url`"));
        assert!(error("[[sinks]]\ntype = \"file\"\npath = \"x\"\nurl = \"https://x\"").contains("the key `url`"),);
        let http = "[[sinks]]\ntype = \"http\"\nurl = \"https://x.example\"\n";
        assert!(error(&format!("{http}{http}")).contains("Give each a `name` of its own"));
        assert!(parse(&format!("{GOOD}\n{http}name = \"a\"\n{http}name = \"b\"")).is_ok());
        assert!(error(&format!("{http}name = \"a\"\n{http}name = \"a\"")).contains("Two sinks"));
        assert!(error("[[sinks]]\ntype = \"file\"\npath = \"x\"\nrotate = {}").contains("says not when"));
        assert!(error("[[sinks]]\ntype = \"file\"\npath = \"x\"\nrotate = {max_byte = 1}").contains("`max_bytes`"));
        assert!(error(&format!("{http}auth = {{barer = {{}}}}")).contains("`bearer`"));
    }
}

//! `m365-pipe validate`: events or records against the schemas, every error named by line and path.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use jsonschema::Validator;
use serde_json::Value;

use super::{Failure, Global, exit_codes};
use crate::guest::GuestLimits;

/// Check newline-delimited JSON against a schema. Every error is told on standard error with file, line and path; exit
/// code 1 if there is any.
#[derive(Debug, Args)]
pub(super) struct Validate {
    /// The schema, as `m365-pipe schema list` names it. Default: the OCSF events.
    #[arg(long, value_name = "NAME", default_value = super::schema::EVENTS)]
    schema: String,
    /// Files to check. Default: standard input.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Validate {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        let plugin = super::plugin::load(global, GuestLimits::default())?;
        let text = super::schema::text(&plugin, &self.schema)?;
        let schema: Value = serde_json::from_str(&text).map_err(|error| {
            Failure::new(exit_codes::PLUGIN, format!("The schema {} is no JSON: {error}.", self.schema))
        })?;
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).map_err(|error| {
            Failure::new(exit_codes::PLUGIN, format!("The schema {} can't be used: {error}.", self.schema))
        })?;
        let mut tally = Tally::default();
        if self.files.is_empty() {
            check(&validator, Path::new("standard input"), io::stdin().lock(), &mut tally)?;
        }
        for path in &self.files {
            let file = File::open(path).map_err(|error| Failure::file("read", path, &error))?;
            check(&validator, path, BufReader::with_capacity(1 << 18, file), &mut tally)?;
        }
        eprintln!("{}: {} lines, {} of them invalid", self.schema, tally.lines, tally.invalid);
        Ok(if tally.invalid == 0 { ExitCode::SUCCESS } else { ExitCode::from(exit_codes::FOUND) })
    }
}

#[derive(Default)]
struct Tally {
    lines: u64,
    invalid: u64,
}

fn check(validator: &Validator, name: &Path, mut input: impl BufRead, tally: &mut Tally) -> Result<(), Failure> {
    let mut line = Vec::new();
    let mut number = 0u64;
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line).map_err(|error| Failure::file("read", name, &error))? == 0 {
            return Ok(());
        }
        number += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        tally.lines += 1;
        let mut errors = BTreeMap::new();
        match serde_json::from_slice::<Value>(&line) {
            Err(error) => {
                errors.insert(String::from("/"), format!("this is not JSON: {error}"));
            }
            Ok(value) => {
                for error in validator.iter_errors(&value) {
                    let path = error.instance_path().to_string();
                    errors
                        .entry(if path.is_empty() { "/".to_owned() } else { path })
                        .or_insert_with(|| shortened(&error.to_string()));
                }
            }
        }
        if !errors.is_empty() {
            tally.invalid += 1;
        }
        for (path, message) in errors {
            eprintln!("{}:{number}: {path}: {message}", name.display());
        }
    }
}

/// The messages quote the value at fault, which can be a whole event.
fn shortened(message: &str) -> String {
    const MOST: usize = 300;
    if message.chars().count() <= MOST {
        return message.to_owned();
    }
    let end: String = message.chars().skip(message.chars().count() - MOST / 2).collect();
    let start: String = message.chars().take(MOST / 2).collect();
    format!("{start} … {end}")
}

//! Turns the schema files into tables, so that checking an event or a record interprets no JSON.
//!
//! Invariant: a keyword that the tables can't express stops the build; so what the tables accept the schemas accept.

mod events;
mod records;

use std::{env, fs, path::Path, process::exit};

fn main() {
    if let Err(reason) = generate() {
        // A build script's standard error is what cargo shows when it fails.
        eprintln!("the schemas can't be turned into tables: {reason}");
        exit(1);
    }
}

fn generate() -> Result<(), String> {
    println!("cargo::rerun-if-changed=build");
    let out = env::var("OUT_DIR").map_err(|e| e.to_string())?;
    let write = |name: &str, text: String| fs::write(Path::new(&out).join(name), text).map_err(|e| e.to_string());
    write("events.rs", events::tables(Path::new("."))?)?;
    write("records.rs", records::tables(Path::new("records"))?)
}

/// A file of this folder, watched for changes.
fn read(path: &Path) -> Result<String, String> {
    println!("cargo::rerun-if-changed={}", path.display());
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn read_json(path: &Path) -> Result<serde_json::Value, String> {
    serde_json::from_str(&read(path)?).map_err(|e| format!("{}: {e}", path.display()))
}

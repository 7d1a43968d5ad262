//! Writes `events/ocsf.schema.json` anew from the OCSF bundle and the list of attributes: `cargo run -p m365-schemas`.

use std::{fs, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    match write(folder) {
        Ok(bytes) => {
            println!("events/ocsf.schema.json: {bytes} bytes");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("events/ocsf.schema.json was not written: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> Result<usize, String> {
    // Read at run time, so that a change of the list takes effect without a second build.
    let read = |name: &str| fs::read_to_string(folder.join(name)).map_err(|e| format!("{name} can't be read: {e}"));
    let text = m365_schemas::generate(&read("ocsf/bundle.schema.json")?, &read("events/attributes.json")?)?;
    fs::write(folder.join("events/ocsf.schema.json"), &text).map_err(|e| e.to_string())?;
    Ok(text.len())
}

//! Writes the generated schemas anew: `cargo run -p m365-schemas`. `events/ocsf.schema.json` comes from the OCSF bundle and the list of
//! attributes, `ecs/document.schema.json` from the tables beside it.

use std::{fs, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut outcome = ExitCode::SUCCESS;
    for (name, text) in [("events/ocsf.schema.json", events(folder)), ("ecs/document.schema.json", documents())] {
        match text.and_then(|text| fs::write(folder.join(name), &text).map(|()| text.len()).map_err(|e| e.to_string()))
        {
            Ok(bytes) => println!("{name}: {bytes} bytes"),
            Err(reason) => {
                eprintln!("{name} was not written: {reason}");
                outcome = ExitCode::FAILURE;
            }
        }
    }
    outcome
}

fn events(folder: &Path) -> Result<String, String> {
    // Read at run time, so that a change of the list takes effect without a second build.
    let read = |name: &str| fs::read_to_string(folder.join(name)).map_err(|e| format!("{name} can't be read: {e}"));
    m365_schemas::generate(&read("ocsf/bundle.schema.json")?, &read("events/attributes.json")?)
}

fn documents() -> Result<String, String> {
    m365_schemas::text(&m365_schemas::ecs::schema()?)
}

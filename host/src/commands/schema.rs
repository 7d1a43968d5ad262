//! `m365-pipe schema`: the schemas that are built in, those of the plugin and that of the configuration.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{Failure, Global, exit_codes};
use crate::guest::{GuestLimits, Plugin};

/// The schema of the events that the plugin makes.
pub(super) const EVENTS: &str = "events/ocsf";
/// The schema of the configuration file.
const CONFIG: &str = "config";

/// The schemas that are built in.
#[derive(Debug, Args)]
pub(super) struct Schema {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Name every schema, one a line.
    List,
    /// Print a schema.
    Print {
        /// Its name, out of the list.
        name: String,
    },
}

impl Schema {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        let plugin = super::plugin::load(global, GuestLimits::default())?;
        let text = match self.what.unwrap_or(What::List) {
            What::List => {
                let mut names = plugin.description().schemas.clone();
                names.push(CONFIG.to_owned());
                names.sort();
                names.join("\n") + "\n"
            }
            What::Print { name } => text(&plugin, &name)?,
        };
        io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::stdout(&error))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The text of a schema by its name.
pub(super) fn text(plugin: &Plugin, name: &str) -> Result<String, Failure> {
    if name == CONFIG {
        return Ok(crate::config::json_schema());
    }
    plugin.schema(name)?.ok_or_else(|| {
        let mut names = plugin.description().schemas.clone();
        names.push(CONFIG.to_owned());
        Failure::new(
            exit_codes::CONFIGURATION,
            format!("There is no schema {name:?}. The schemas are: {}.", names.join(", ")),
        )
    })
}

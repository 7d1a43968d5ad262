//! `m365-pipe streams`: what can be collected, and what it needs.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::table::layout;
use super::{Failure, Global};
use crate::guest::GuestLimits;

/// The streams: API, permissions, dataset, vendor, product, story and event classes.
#[derive(Debug, Args)]
pub(super) struct Streams {
    /// Print a JSON array, with the long texts.
    #[arg(long)]
    json: bool,
}

impl Streams {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        let plugin = super::plugin::load(global, GuestLimits::default())?;
        let streams = &plugin.description().streams;
        let classes = |uids: &[u32]| uids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let text = if self.json {
            let rows: Vec<_> = streams
                .iter()
                .map(|stream| {
                    json!({
                        "name": stream.name, "title": stream.title, "api": stream.api, "audience": stream.audience,
                        "permissions": stream.permissions, "dataset": stream.dataset, "vendor": stream.vendor,
                        "product": stream.product, "story": stream.story, "event_classes": stream.event_classes,
                        "notice": stream.notice,
                    })
                })
                .collect();
            format!("{:#}\n", serde_json::Value::Array(rows))
        } else {
            let header = ["STREAM", "API", "PERMISSIONS", "DATASET", "VENDOR", "PRODUCT", "STORY", "OCSF CLASSES"];
            let rows: Vec<Vec<String>> = streams
                .iter()
                .map(|stream| {
                    vec![
                        stream.name.clone(),
                        stream.api.clone(),
                        stream.permissions.join(","),
                        stream.dataset.clone(),
                        stream.vendor.clone(),
                        stream.product.clone(),
                        stream.story.clone().unwrap_or_else(|| "-".to_owned()),
                        classes(&stream.event_classes),
                    ]
                })
                .collect();
            let mut text = layout(&header, &rows);
            for stream in streams.iter().filter(|stream| !stream.notice.is_empty()) {
                text.push_str(&format!("\n{}: {}\n", stream.name, stream.notice));
            }
            text
        };
        io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::stdout(&error))?;
        Ok(ExitCode::SUCCESS)
    }
}

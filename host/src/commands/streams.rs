//! `m365-pipe streams`: what can be collected, what it needs, and what the operations in it mean.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::table::layout;
use super::{Failure, Global};
use crate::guest::{GuestLimits, Operation, StreamDescription};

/// The streams: API, permissions, dataset, vendor, product, story and event classes; or what the operations in them mean.
#[derive(Debug, Args)]
pub(super) struct Streams {
    /// Print what every operation means instead: OCSF class, activity, severity, and what it is done to.
    #[arg(long)]
    operations: bool,
    /// Print a JSON array, with the long texts.
    #[arg(long)]
    json: bool,
}

impl Streams {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        let plugin = super::plugin::load(global, GuestLimits::default())?;
        let text = if self.operations {
            let operations = plugin.operations()?;
            if self.json { json_text(operations.iter().map(operation_json)) } else { operation_table(&operations) }
        } else {
            let streams = &plugin.description().streams;
            if self.json { json_text(streams.iter().map(stream_json)) } else { stream_table(streams) }
        };
        match io::stdout().write_all(text.as_bytes()) {
            // A long table often goes to a reader that stops early.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
            done => done.map(|()| ExitCode::SUCCESS).map_err(|error| Failure::stdout(&error)),
        }
    }
}

fn json_text(rows: impl Iterator<Item = Value>) -> String {
    format!("{:#}\n", Value::Array(rows.collect()))
}

fn stream_json(stream: &StreamDescription) -> Value {
    json!({
        "name": stream.name, "title": stream.title, "api": stream.api, "audience": stream.audience,
        "permissions": stream.permissions, "dataset": stream.dataset, "vendor": stream.vendor,
        "product": stream.product, "story": stream.story, "event_classes": stream.event_classes,
        "notice": stream.notice,
    })
}

fn stream_table(streams: &[StreamDescription]) -> String {
    let classes = |uids: &[u32]| uids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
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
}

fn operation_json(operation: &Operation) -> Value {
    json!({
        "family": operation.family, "operation": operation.name, "class_uid": operation.event_class,
        "class_name": operation.event_class_name, "activity_id": operation.activity,
        "activity_name": operation.activity_name, "severity_id": operation.severity, "object": operation.object,
        "note": operation.note, "record_types": operation.record_types,
    })
}

/// A line for each operation. Record types come last, since they are many.
fn operation_table(operations: &[Operation]) -> String {
    let header = ["FAMILY", "OPERATION", "OCSF CLASS", "ACTIVITY", "SEVERITY", "OBJECT", "RECORD TYPES"];
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let rows: Vec<Vec<String>> = operations
        .iter()
        .map(|operation| {
            let activity = match operation.activity {
                Some(id) => format!("{id} {}", operation.activity_name),
                None => operation.activity_name.clone(),
            };
            vec![
                or_dash(&operation.family),
                operation.name.clone(),
                format!("{} {}", operation.event_class, operation.event_class_name),
                activity,
                operation.severity.map_or_else(|| "-".to_owned(), |id| id.to_string()),
                or_dash(&operation.object),
                operation.record_types.join(","),
            ]
        })
        .collect();
    layout(&header, &rows)
}

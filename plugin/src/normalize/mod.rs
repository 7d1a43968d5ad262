//! Raw records in, OCSF 1.8.0 events out; on request as documents of the Elastic Common Schema, which [`crate::ecs`] makes of the events.
//!
//! Invariant: every line that comes in is counted once, as normalised, rejected or filtered; no record can stop a batch, and no
//! event leaves that its schema refuses.
//!
//! The way of a record: [`parse`] makes the line a tree that borrows from it, a [`record`]; `m365_schemas::record` holds it against the schema of its
//! family; [`context`] takes what all records of the family share; [`tables`] say what the operation means; [`dispatch`] chooses
//! the mapping; the mapping builds one or more [`event`]s; `context` adds the envelope and what no rule took; [`write`] checks the
//! event against the schema and writes it.
//!
//! # How to add a mapping
//!
//! 1. *What an operation means* is a line of a table in `tables/operations/` (class, activity, severity, object); `tables/record_types.tsv`
//!    says which tables a record type looks into, and `tables/README.md` how a line reads. If that is all that is missing, stop here: the existing mappings do the rest.
//! 2. *How fields are read* is a file of its own, named after what it maps, with one function:
//!
//!    ```text
//!    pub fn map<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
//!        let Some(owner) = record.peek_str("MailboxOwnerUPN") else {      // can the class be filled? Look, don't take.
//!            return generic::map(context, record);                        // if not: a weaker class, never an invented value
//!        };
//!        let mut event = context.event();                                 // class and activity of the rule
//!        event.set(attr::ACTOR, users::actor(record));                    // shared conversions
//!        event.set(attr::SRC_ENDPOINT, addresses::source(record));
//!        outcome::of_activity(context.operation, record.take_str("ResultStatus"), context.workload).write(&mut event);
//!        let mut entity = Attributes::of(&object::MANAGED_ENTITY);        // an object, by its name in OCSF
//!        entity.set(attr::NAME, record.take_str("ObjectId"));             // nothing is never written
//!        entity.set_enum(attr::TYPE_ID, 2, None);                         // writes `type` as well
//!        entity.set(attr::DATA, context.take_value(record, "Parameters")); // redacted, JSON in text untangled
//!        event.set(attr::ENTITY, entity);
//!        vec![event]                                                      // several, if the record says several
//!    }
//!    ```
//!
//!    Look before taking: decide the class with `peek…`, because what is taken no longer turns up in `unmapped`. Everything that
//!    isn't taken is kept there, so a forgotten field is never lost. Don't write `metadata`, `cloud`, `api`, `message`, `unmapped`,
//!    profiles or observables: they follow. For many events out of one record, clone one event and set what differs.
//! 3. One line in [`dispatch`] leads to it.
//! 4. An attribute that no event used before is added to `schemas/events/attributes.json`; then `cargo run -p m365-schemas`.
//! 5. A golden pair: `tests/golden/<stream>/<name>.record.json`, then `UPDATE_GOLDEN=1 cargo test -p m365-plugin --test golden`
//!    writes the event beside it for review.
//! 6. `cargo test -p m365-plugin --test lossless` shows what the mapping takes and doesn't write, `--test second_pass` whether the event
//!    says of time, actor, address, outcome, action and object what the record says. A closed list of words that the mapping
//!    decodes is a line of `tests/lossless/closed_lists.tsv`. The sentence in `message` follows from the attributes, see [`message`].

pub mod activity_alerts;
pub mod addresses;
pub mod alerts;
pub mod alerts_legacy;
pub mod authentication;
pub mod caller;
pub mod claims;
pub mod cmdlet_text;
pub mod cmdlets;
pub mod context;
pub mod copilot;
pub mod defender;
pub mod directory;
pub mod dispatch;
pub mod distinct;
pub mod dlp;
pub mod drift;
pub mod event;
pub mod evidence;
pub mod findings;
pub mod generic;
pub mod json;
pub mod labels;
pub mod mail_sent;
pub mod mailbox;
pub mod message;
pub mod named_values;
pub mod outcome;
pub mod parse;
pub mod record;
pub mod rest;
pub mod sharepoint;
pub mod streams;
pub mod tables;
pub mod teams;
pub mod times;
pub mod users;
pub mod web_resource;
pub mod workloads;
pub mod write;

use std::fmt;

use bumpalo::Bump;
use m365_schemas::record::check;
use serde_json::{Map, Value};

use context::{Batch, Context};
use drift::{Drift, Unknown};
use record::Node;
use rest::Redact;
use write::Fault;

/// What the configuration says about normalising.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The tenant's id or domain; may be empty.
    pub tenant: String,
    /// Whether events carry the record's text as `raw_data`.
    pub raw: bool,
    /// Whether events list their observables.
    pub observables: bool,
    /// What happens to secrets.
    pub redact: Redact,
    /// What becomes of a record.
    pub format: Format,
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// OCSF events.
    #[default]
    Ocsf,
    /// The same events as documents of the Elastic Common Schema.
    Ecs,
}

/// Normalises batches of records. Cheap to make; holds nothing but its settings.
#[derive(Debug, Clone)]
pub struct Normalizer {
    settings: Settings,
}

/// What became of a batch. Input lines = records that gave events + `rejects` + `filtered`.
#[derive(Debug, Default)]
pub struct Output {
    /// The events, one JSON object a line.
    pub data: Vec<u8>,
    /// How many events `data` holds; a record can give several.
    pub events: u32,
    /// The records that gave no event, by line.
    pub rejects: Vec<Reject>,
    /// How many records were left out by wish of the configuration.
    pub filtered: u32,
    /// What in the records no table knows.
    pub unknown: Vec<Unknown>,
}

/// A record that gave no event.
#[derive(Debug, PartialEq, Eq)]
pub struct Reject {
    /// The line of the batch, from 0.
    pub index: u32,
    /// Why: `empty`, `invalid-json`, `not-an-object`, `invalid-record` or `invalid-event`.
    pub code: &'static str,
    /// The same in a sentence, with the place in the record or event; it holds no values.
    pub message: String,
}

/// Why a record gave no event.
struct Refused {
    code: &'static str,
    message: String,
    /// Whether it was only too large for its own mapping.
    too_large: bool,
}

/// The largest record that goes through its own mapping, in bytes. A larger one is kept whole in the weakest event that is true of it: the
/// tree of its values takes most of a component's memory, and nobody reads a million entries.
const MAX_MAPPED: usize = 8 << 20;

/// The name of a stream that doesn't exist.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownStream(pub String);

impl fmt::Display for UnknownStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no stream `{}`; the streams are ", self.0)?;
        for (i, stream) in crate::streams::STREAMS.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            f.write_str(stream.name)?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownStream {}

impl Normalizer {
    /// Reads the settings: an object with `tenant` (text), `raw` (`none`, the default, or `string`), `observables` (boolean, default true)
    /// and `redact` (`mask`, the default, `hash` or `keep`), `format` (`ocsf`, the default, or `ecs`). Other members are somebody else's.
    ///
    /// # Errors
    /// A sentence naming the member that can't be read and what it may be.
    pub fn new(settings_json: &str) -> Result<Self, String> {
        let settings: Value =
            serde_json::from_str(settings_json).map_err(|e| format!("the settings are not JSON: {e}"))?;
        let Value::Object(settings) = settings else {
            return Err("the settings must be a JSON object".to_owned());
        };
        let tenant = choice(&settings, "tenant", "text", |v| v.as_str().map(str::to_owned))?;
        let raw = choice(&settings, "raw", "`none` or `string`", |v| match v.as_str()? {
            "none" => Some(false),
            "string" => Some(true),
            _ => None,
        })?;
        let redact = choice(&settings, "redact", "`mask`, `hash` or `keep`", |v| match v.as_str()? {
            "mask" => Some(Redact::Mask),
            "hash" => Some(Redact::Hash),
            "keep" => Some(Redact::Keep),
            _ => None,
        })?;
        let observables = choice(&settings, "observables", "true or false", Value::as_bool)?;
        let format = choice(&settings, "format", "`ocsf` or `ecs`", |v| match v.as_str()? {
            "ocsf" => Some(Format::Ocsf),
            "ecs" => Some(Format::Ecs),
            _ => None,
        })?;
        let format = format.unwrap_or_default();
        Ok(Self {
            settings: Settings {
                tenant: tenant.unwrap_or_default(),
                raw: raw.unwrap_or(false),
                // In ECS they become `related`.
                observables: format == Format::Ecs || observables.unwrap_or(true),
                redact: redact.unwrap_or_default(),
                format,
            },
        })
    }

    /// Normalises a batch of records, one JSON object a line, as they came from a stream.
    ///
    /// `now_ms` is the time of the batch in milliseconds since 1970; it becomes `metadata.processed_time`, so that the same input
    /// gives the same output. A line break at the end of the last line is no further line.
    ///
    /// # Errors
    /// Only if there is no such stream. What is wrong with a record is in [`Output::rejects`].
    pub fn process(&self, stream: &str, ndjson: &[u8], now_ms: u64) -> Result<Output, UnknownStream> {
        let stream = crate::streams::find(stream).ok_or_else(|| UnknownStream(stream.to_owned()))?;
        let batch = Batch::new(&self.settings, stream, now_ms);
        // The events of short records are three to four times as long; a record of many megabytes must not ask for as much.
        let room =
            if ndjson.len() > MAX_MAPPED { ndjson.len() * 5 / 4 } else { ndjson.len() * 3 + ndjson.len().min(1 << 20) };
        let mut output = Output { data: Vec::with_capacity(room), ..Output::default() };
        if ndjson.is_empty() {
            return Ok(output);
        }
        let body = ndjson.strip_suffix(b"\n").unwrap_or(ndjson);
        let mut drift = Drift::default();
        let mut arena = Bump::new();
        let mut begin = 0;
        for (index, end) in memchr::memchr_iter(b'\n', body).chain([body.len()]).enumerate() {
            let line = &body[begin..end];
            begin = end + 1;
            let start = output.data.len();
            let mut result = self.line(&batch, &arena, line, line.len() > MAX_MAPPED, &mut output.data, &mut drift);
            // Its memory serves the next record.
            arena.reset();
            if let Err(Refused { too_large: true, .. }) = result {
                output.data.truncate(start);
                result = self.line(&batch, &arena, line, true, &mut output.data, &mut Drift::default());
                arena.reset();
            }
            match result {
                Ok(events) => output.events += events,
                Err(Refused { code, message, .. }) => {
                    // All events of a record or none.
                    output.data.truncate(start);
                    output.rejects.push(Reject { index: u32::try_from(index).unwrap_or(u32::MAX), code, message });
                }
            }
        }
        output.unknown = drift.finish();
        Ok(output)
    }

    /// One record to its events; gives their number. `whole`: without its own mapping, as a record that is too large for it.
    fn line(
        &self,
        batch: &Batch<'_>,
        arena: &Bump,
        line: &[u8],
        whole: bool,
        out: &mut Vec<u8>,
        drift: &mut Drift,
    ) -> Result<u32, Refused> {
        let refused = |code, message| Refused { code, message, too_large: false };
        if line.iter().all(u8::is_ascii_whitespace) {
            return Err(refused("empty", "the line is empty".to_owned()));
        }
        let node =
            parse::parse(line, arena).map_err(|e| refused("invalid-json", format!("the line is not JSON: {e}")))?;
        let Node::Object(record) = &node else {
            return Err(refused("not-an-object", format!("the record is {} instead of an object", node.kind())));
        };
        check(batch.stream().family(), &node).map_err(|reason| refused("invalid-record", reason))?;
        let context = Context::new(batch, line, record, arena);
        drift.look(&context, record);
        let events = if whole { generic::map_whole(&context) } else { dispatch::map(&context, record) };
        let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
        let invalid = |fault: Fault| Refused {
            code: "invalid-event",
            message: fault.to_string(),
            too_large: !whole && fault.is_of_size(),
        };
        match self.settings.format {
            Format::Ocsf => context.finish(events, record, out).map_err(invalid)?,
            Format::Ecs => {
                let mut ocsf = Vec::with_capacity(line.len() * 2);
                context.finish(events, record, &mut ocsf).map_err(invalid)?;
                for event in ocsf.split(|byte| *byte == b'\n').filter(|event| !event.is_empty()) {
                    crate::ecs::document(event, out).map_err(|fault| refused("invalid-event", fault))?;
                    out.push(b'\n');
                }
            }
        }
        Ok(count)
    }
}

fn choice<T>(
    settings: &Map<String, Value>,
    name: &str,
    allowed: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Option<T>, String> {
    match settings.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => read(value).map(Some).ok_or_else(|| format!("the setting `{name}` must be {allowed}")),
    }
}

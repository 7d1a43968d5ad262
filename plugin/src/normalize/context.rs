//! What is known of a record before its class is: settings, stream, identity, time, operation; and the envelope of its events.
//!
//! Invariant: `metadata`, `cloud`, `api`, `time`, `message` and `raw_data` are written here for every class alike; a mapping sets
//! one of them only where it knows better, and then what it set stays.

use std::{borrow::Cow, cell::RefCell};

use m365_schemas::validate::RecordFamily;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use crate::streams::Stream;

use super::{
    Settings,
    event::{Attributes, Event, Present},
    record::{Node, Object},
    rest::{Converter, push_hex},
    streams,
    tables::{self, RecordType, Rule},
    times, users,
};

/// One record and everything around it that mappings ask for.
#[derive(Debug)]
pub struct Context<'s> {
    /// The settings of the plugin.
    pub settings: &'s Settings,
    /// The stream that the record came from.
    pub stream: &'static Stream,
    /// The time of the batch, in milliseconds since 1970.
    pub now_ms: u64,
    /// The record type; none for a number that the tables don't list.
    pub record_type: Option<&'static RecordType>,
    /// The operation: trimmed, without a trailing full stop.
    pub operation: String,
    /// What the tables say of the operation.
    pub rule: Rule,
    /// Whether the tables know the operation by name.
    pub known: bool,
    /// `Workload` of a Management Activity record, else empty.
    pub workload: String,
    line: &'s [u8],
    id: String,
    time: Option<i64>,
    time_text: String,
    tenant: Option<String>,
    version: Option<String>,
    feature: Option<String>,
    feature_uid: Option<String>,
    correlation: Option<String>,
    redacted: RefCell<Vec<String>>,
}

impl<'s> Context<'s> {
    /// Reads what all records of the stream's family have in common, and takes it.
    pub fn new(
        settings: &'s Settings,
        stream: &'static Stream,
        now_ms: u64,
        line: &'s [u8],
        record: &Object<'_>,
    ) -> Self {
        let own = |text: &str| text.to_owned();
        let (id, time, operation) = match stream.family() {
            RecordFamily::Activity => ("Id", "CreationTime", "Operation"),
            RecordFamily::SignIn => ("id", "createdDateTime", ""),
            RecordFamily::DirectoryAudit => ("id", "activityDateTime", "activityDisplayName"),
            RecordFamily::Alert | RecordFamily::AlertLegacy => ("id", "createdDateTime", ""),
        };
        let time_text = match stream.family() {
            // Alerts have several times, which their mappings take; this one is for lack of a better.
            RecordFamily::Alert | RecordFamily::AlertLegacy => record
                .peek_str(time)
                .or_else(|| record.peek_str("eventDateTime"))
                .or_else(|| record.peek_str("lastModifiedDateTime")),
            _ => record.take_str(time),
        }
        .map(own)
        .unwrap_or_default();
        let operation = match (stream.family(), operation) {
            (RecordFamily::SignIn, _) => "Sign-in activity",
            (_, "") => "alert",
            (_, name) => record.take_str(name).unwrap_or_default(),
        };
        let mut context = Self {
            settings,
            stream,
            now_ms,
            record_type: stream.record_type().and_then(tables::record_type_named),
            operation: own(operation.trim_end_matches(['.', ' '])),
            rule: Rule { class_uid: 6003, activity: tables::Activity::Verb, severity: None },
            known: false,
            workload: String::new(),
            line,
            id: record.take_str(id).map(own).unwrap_or_default(),
            time: times::parse(&time_text),
            time_text,
            tenant: None,
            version: None,
            feature: None,
            feature_uid: None,
            correlation: None,
            redacted: RefCell::default(),
        };
        match stream.family() {
            RecordFamily::Activity => context.read_activity(record),
            RecordFamily::SignIn => {
                context.feature = record.items("signInEventTypes").first().and_then(Node::as_str).map(own);
                context.correlation = correlation(record, &["correlationId"]);
            }
            RecordFamily::DirectoryAudit => {
                context.feature = record.take_str("loggedByService").map(own);
                context.correlation = correlation(record, &["correlationId"]);
            }
            RecordFamily::Alert => context.tenant = record.take_str("tenantId").map(own),
            RecordFamily::AlertLegacy => context.tenant = record.take_str("azureTenantId").map(own),
        }
        if context.tenant.is_none() && !settings.tenant.is_empty() {
            context.tenant = Some(settings.tenant.clone());
        }
        (context.rule, context.known) = tables::rule(context.record_type, &context.operation);
        context
    }

    fn read_activity(&mut self, record: &Object<'_>) {
        self.workload = record.take_str("Workload").unwrap_or_default().to_owned();
        if let Some(kind) = record.take_text("RecordType") {
            // A number, a number as text, or Microsoft's name of it.
            let number = kind.parse::<i64>().ok();
            self.record_type = number.map_or_else(|| tables::record_type_named(&kind), tables::record_type);
            self.feature = Some(match self.record_type {
                Some(known) if !known.name.is_empty() => known.name.to_owned(),
                _ => kind.to_string(),
            });
            self.feature_uid = match self.record_type {
                Some(known) => Some(known.text.to_owned()),
                None => number.map(|n| n.to_string()),
            };
        }
        self.tenant =
            record.take_if("OrganizationId", |n| n.as_str().filter(|t| !users::is_nobody(t)).map(str::to_owned));
        self.version = record.take_text("Version").map(Cow::into_owned);
        let inner = record.object("AppAccessContext").and_then(|c| correlation(c, &["CorrelationId"]));
        self.correlation = inner.or_else(|| correlation(record, &["InterSystemsId", "CorrelationId", "correlationId"]));
    }

    /// The number of the record type; 0 for Graph and for types that the tables don't list.
    pub fn record_type_number(&self) -> i64 {
        self.record_type.and_then(|t| t.number).unwrap_or(0)
    }

    /// The source's id of the record; none if it is empty.
    pub fn id(&self) -> Option<&str> {
        (!self.id.is_empty()).then_some(self.id.as_str())
    }

    /// When it happened, in milliseconds since 1970, if the record says it.
    pub fn time(&self) -> Option<i64> {
        self.time
    }

    /// The `activity_id` that the rule gives the operation.
    pub fn activity(&self) -> i64 {
        tables::activity(self.rule, &self.operation)
    }

    /// A new event of the rule's class and activity.
    pub fn event(&self) -> Event {
        Event::new(self.rule.class_uid, self.activity(), &self.operation)
    }

    /// A new event of another class, for when the rule's can't be filled; the activity by the words of the operation.
    pub fn event_of(&self, class_uid: u32) -> Event {
        Event::new(class_uid, tables::by_verb(class_uid, &self.operation), &self.operation)
    }

    /// A value of the record on its way into the event: redacted, JSON in text untangled. `name` is where it was found.
    pub fn value(&self, name: &str, node: &Node<'_>) -> Option<Value> {
        let mut converter = Converter::new(self.settings.redact, &self.settings.tenant);
        let value = converter.whole(name, node);
        self.redacted.borrow_mut().append(&mut converter.redacted);
        value
    }

    /// Takes a member of an object and converts it as [`Self::value`] does.
    pub fn take_value(&self, object: &Object<'_>, name: &str) -> Option<Value> {
        let node = object.peek(name)?;
        let value = self.value(name, node)?;
        object.take(name);
        Some(value)
    }

    /// Takes what no rule took of an object, and converts it as [`Self::value`] does. `name` is where it was found.
    pub fn take_rest(&self, name: &str, object: &Object<'_>) -> Option<Value> {
        let mut converter = Converter::new(self.settings.redact, &self.settings.tenant);
        let rest = converter.rest_at(name, object);
        self.redacted.borrow_mut().append(&mut converter.redacted);
        object.members().iter().for_each(|member| {
            object.take(&member.name);
        });
        (!rest.is_empty()).then_some(Value::Object(rest))
    }

    /// The product that made the record.
    pub fn product(&self) -> &str {
        match self.stream.family() {
            RecordFamily::Activity if self.rule.class_uid == 2006 => "Microsoft Purview Data Loss Prevention",
            RecordFamily::Activity => streams::product_of_workload(&self.workload),
            RecordFamily::SignIn | RecordFamily::DirectoryAudit => "Microsoft Entra ID",
            RecordFamily::Alert | RecordFamily::AlertLegacy => "Microsoft Graph Security",
        }
    }

    /// Finishes the events of the record: the envelope of each, and what is left of the record.
    pub fn finish(&self, events: Vec<Event>, record: &Object<'_>) -> Vec<Value> {
        let mut converter = Converter::new(self.settings.redact, &self.settings.tenant);
        let rest = converter.rest(record);
        let mut redacted = self.redacted.take();
        redacted.append(&mut converter.redacted);
        // Tells bodies under one source id apart; the id itself is in the name as well.
        let digest = xxh3_128(self.line).to_be_bytes();
        let raw = self.settings.raw.then(|| self.raw(record, !redacted.is_empty()));
        let last = events.len().saturating_sub(1);
        let mut rest = Some(rest);
        let mut finished = Vec::with_capacity(events.len());
        for (index, mut event) in events.into_iter().enumerate() {
            if let Some(severity) = self.rule.severity {
                event.set_severity(severity);
            }
            self.metadata(&mut event, &digest, index);
            self.envelope(&mut event);
            if let Some(raw) = &raw {
                write_raw(&mut event, raw);
            }
            if !redacted.is_empty() {
                event.keep("_redacted", redacted.clone());
            }
            let rest = if index == last { rest.take() } else { rest.clone() };
            finished.push(event.finish(rest.unwrap_or_default(), self.settings.observables));
        }
        finished
    }

    fn metadata(&self, event: &mut Event, digest: &[u8], index: usize) {
        let product = {
            let mut product = Attributes::of("product");
            product.set("name", self.product());
            product.set("vendor_name", "Microsoft");
            let mut feature = Attributes::of("feature");
            feature.set("name", self.feature.as_deref());
            feature.set("uid", self.feature_uid.as_deref());
            product.set("feature", feature);
            product
        };
        let metadata = event.metadata();
        metadata.set("version", "1.8.0");
        metadata.set_if_absent("product", product);
        metadata.set("uid", self.uid(digest, index));
        metadata.set_if_absent("original_event_uid", self.id.as_str());
        metadata.set_if_absent("original_time", self.time_text.as_str());
        metadata.set("processed_time", i64::try_from(self.now_ms).unwrap_or(i64::MAX));
        metadata.set("log_provider", self.stream.provider());
        metadata.set("log_source", self.stream.source());
        metadata.set("log_name", self.stream.dataset);
        metadata.set("log_format", "JSON");
        metadata.set("log_version", self.version.as_deref());
        metadata.set_if_absent("event_code", self.operation.as_str());
        metadata.set("tenant_uid", self.tenant.as_deref());
        metadata.set_if_absent("correlation_uid", self.correlation.as_deref());
        if let Some(name) = self.stream.story {
            let mut story = Attributes::of("key_value_object");
            story.set("name", "story");
            story.set("value", name);
            metadata.set("tags", vec![story]);
        }
    }

    fn envelope(&self, event: &mut Event) {
        event.set_if_absent("time", self.time.unwrap_or(i64::try_from(self.now_ms).unwrap_or(i64::MAX)));
        event.set("timezone_offset", 0);
        let mut cloud = Attributes::of("cloud");
        cloud.set("provider", "Microsoft");
        if let Some(tenant) = &self.tenant {
            let mut account = Attributes::of("account");
            account.set("uid", tenant.as_str());
            account.set_enum("type_id", 17, None);
            cloud.set("account", account);
            let mut org = Attributes::of("organization");
            org.set("uid", tenant.as_str());
            cloud.set("org", org);
        }
        event.set("cloud", cloud);
        if !event.has("api") {
            event.set("api", self.api(None));
        }
        if !event.has("status_id") {
            event.set_enum("status_id", 0, None);
        }
        let message = message(&self.operation, event);
        event.set_if_absent("message", message);
    }

    /// `api` with the operation and service, and the id of the request if the record has one.
    pub fn api(&self, request_uid: Option<&str>) -> Attributes {
        let mut api = Attributes::of("api");
        api.set("operation", self.operation.as_str());
        let mut service = Attributes::of("service");
        service.set("name", self.product());
        api.set("service", service);
        let mut request = Attributes::of("request");
        request.set("uid", request_uid);
        api.set("request", request);
        api
    }

    /// A stable id of the event: the same record gives the same one, and another body under the same source id another one.
    fn uid(&self, digest: &[u8], index: usize) -> String {
        let mut name = Vec::with_capacity(160);
        for part in [self.settings.tenant.as_bytes(), self.stream.name.as_bytes(), self.id.as_bytes(), digest] {
            name.extend_from_slice(part);
            name.push(0);
        }
        name.extend_from_slice(index.to_string().as_bytes());
        Uuid::new_v5(&NAMESPACE, &name).hyphenated().to_string()
    }

    /// The record's text; with redaction the text of the redacted record, in which JSON inside of text is untangled.
    fn raw(&self, record: &Object<'_>, redacted: bool) -> String {
        if redacted {
            let mut converter = Converter::new(self.settings.redact, &self.settings.tenant);
            let whole: serde_json::Map<String, Value> = record
                .members()
                .iter()
                .filter_map(|m| Some((m.name.to_string(), converter.whole(&m.name, &m.value)?)))
                .collect();
            return Value::Object(whole).to_string();
        }
        String::from_utf8_lossy(self.line).into_owned()
    }
}

/// The namespace of our event ids: UUIDv5 of the URL namespace and `urn:m365-pipe:event`, checked by a test.
const NAMESPACE: Uuid = Uuid::from_u128(0xe5e7_286a_6633_5f75_b9b5_d061_c85e_a9ef);

fn write_raw(event: &mut Event, raw: &str) {
    event.set("raw_data_size", raw.len() as i64);
    let mut hash = Attributes::of("fingerprint");
    hash.set_enum("algorithm_id", 3, None);
    let mut hex = String::with_capacity(64);
    push_hex(&mut hex, &Sha256::digest(raw));
    hash.set("value", hex);
    event.set("raw_data_hash", hash);
    event.set("raw_data", Verbatim(raw));
}

/// Text that is kept with the blanks around it.
struct Verbatim<'a>(&'a str);

impl Present for Verbatim<'_> {
    fn present(self) -> Option<Value> {
        (!self.0.is_empty()).then(|| Value::String(self.0.to_owned()))
    }
}

/// Takes the first of the members that is an id; the others stay.
fn correlation(record: &Object<'_>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| {
        record.take_if(name, |n| n.as_str().map(str::trim).filter(|t| !users::is_nobody(t)).map(str::to_owned))
    })
}

/// One short sentence: the operation, by whom, on what.
fn message(operation: &str, event: &Event) -> String {
    let mut text = String::with_capacity(96);
    text.push_str(operation);
    let by = [
        &["actor", "user", "name"][..],
        &["actor", "user", "full_name"],
        &["actor", "user", "uid"],
        &["actor", "app_name"],
    ];
    let by = by.iter().find_map(|path| event.text_at(path));
    if let Some(by) = by {
        text.push_str(" by ");
        text.push_str(by);
    }
    let on: [&[&str]; 9] = [
        &["entity", "name"],
        &["group", "name"],
        &["file", "name"],
        &["app", "name"],
        &["email", "subject"],
        &["finding_info", "title"],
        &["user", "name"],
        &["service", "name"],
        &["entity", "uid"],
    ];
    if let Some(on) = on.iter().find_map(|path| event.text_at(path)).filter(|on| Some(*on) != by) {
        text.push_str(" on ");
        text.push_str(on);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_is_what_it_says() {
        assert_eq!(NAMESPACE, Uuid::new_v5(&Uuid::NAMESPACE_URL, b"urn:m365-pipe:event"));
    }
}

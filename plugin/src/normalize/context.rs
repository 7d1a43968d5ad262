//! What is known of a record before its class is: settings, stream, identity, time, operation; and the envelope of its events.
//!
//! Invariant: `metadata`, `cloud`, `api`, `time`, `message` and `raw_data` are written here for every class alike; a mapping sets
//! one of them only where it knows better, and then what it set stays.

use std::{borrow::Cow, cell::RefCell, rc::Rc};

use bumpalo::Bump;
use m365_schemas::record::RecordFamily;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use crate::streams::Stream;

use super::{
    Settings,
    event::{Attributes, Event, Members, Present, Value, attr, object, trimmed},
    message,
    record::{Member, Node, Object},
    rest::{self, Converter, Redacted, push_hex},
    streams,
    tables::{self, Known, RecordType, Rule},
    times, users,
    write::{self, Envelope, Fault},
};

/// What all records of a batch share.
#[derive(Debug)]
pub struct Batch<'s> {
    settings: &'s Settings,
    stream: &'static Stream,
    now_ms: u64,
    /// The record type, for a stream of one kind.
    record_type: Option<&'static RecordType>,
    /// In which the ids of the events are.
    namespace: Uuid,
    /// What its events share, for each product, tenant and version that they come from; mostly one.
    envelopes: RefCell<Vec<(Origin<String>, Rc<Envelope>)>>,
}

/// What an envelope depends on besides the batch: the tenant, the product, its feature's name and id, and the version. Empty where the
/// record doesn't say.
type Origin<T> = [T; 5];

/// From more members than this on there is one event for all, so that a long list isn't copied into as many events.
pub const MAX_MEMBERS: usize = 256;
/// So many bytes may what is left of the record take in all events together.
const MAX_OF_MEMBERS: usize = 8 << 20;
/// So many times the bytes of a large record its events take at most.
const MAX_GROWTH: usize = 6;

/// So many envelopes are remembered.
const MAX_ENVELOPES: usize = 16;

impl<'s> Batch<'s> {
    /// A batch of a stream at a time, in milliseconds since 1970.
    pub fn new(settings: &'s Settings, stream: &'static Stream, now_ms: u64) -> Self {
        let name = [settings.tenant.as_bytes(), b"\0", stream.name.as_bytes()].concat();
        let namespace = Uuid::new_v5(&NAMESPACE, &name);
        let record_type = stream.record_type().and_then(tables::record_type_named);
        Self { settings, stream, now_ms, record_type, namespace, envelopes: RefCell::default() }
    }

    /// The stream.
    pub fn stream(&self) -> &'static Stream {
        self.stream
    }
}

/// The class of the findings of DLP, whatever workload the data was in.
const DATA_SECURITY_FINDING: u32 = 2006;

/// The namespace of our event ids: UUIDv5 of the URL namespace and `urn:m365-pipe:event`, checked by a test.
const NAMESPACE: Uuid = Uuid::from_u128(0xe5e7_286a_6633_5f75_b9b5_d061_c85e_a9ef);

/// One record and everything around it that mappings ask for. All texts are the record's.
#[derive(Debug)]
pub struct Context<'r> {
    /// The settings of the plugin.
    pub settings: &'r Settings,
    /// The stream that the record came from.
    pub stream: &'static Stream,
    /// The time of the batch, in milliseconds since 1970.
    pub now_ms: u64,
    /// The record type; none for a number that the tables don't list.
    pub record_type: Option<&'static RecordType>,
    /// The operation: trimmed, without a trailing full stop.
    pub operation: &'r str,
    /// What the tables say of the operation.
    pub rule: Rule,
    /// How the tables know the operation.
    pub known: Known,
    /// `Workload` of a Management Activity record, else empty.
    pub workload: &'r str,
    batch: &'r Batch<'r>,
    line: &'r [u8],
    arena: &'r Bump,
    id: &'r str,
    time: Option<i64>,
    time_text: &'r str,
    tenant: Option<&'r str>,
    version: Option<Cow<'r, str>>,
    feature: Option<Cow<'r, str>>,
    feature_uid: Option<Cow<'r, str>>,
    correlation: Option<&'r str>,
    redacted: RefCell<Redacted>,
}

impl<'r> Context<'r> {
    /// Reads what all records of the stream's family have in common, and takes it.
    pub fn new(batch: &'r Batch<'r>, line: &'r [u8], record: &'r Object<'r>, arena: &'r Bump) -> Self {
        let Batch { settings, stream, now_ms, .. } = *batch;
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
            record_type: batch.record_type,
            operation: operation.trim_end_matches(['.', ' ']),
            rule: Rule { class_uid: 6003, activity: tables::Activity::Verb, severity: None, object: "" },
            known: Known::Not,
            workload: "",
            batch,
            line,
            arena,
            id: record.take_str(id).unwrap_or_default(),
            time: times::parse(time_text),
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
                context.feature = record.items("signInEventTypes").first().and_then(Node::as_str).map(Cow::Borrowed);
                context.correlation = correlation(record, &["correlationId"]);
            }
            RecordFamily::DirectoryAudit => {
                context.feature = record.take_str("loggedByService").map(Cow::Borrowed);
                context.correlation = correlation(record, &["correlationId"]);
            }
            RecordFamily::Alert => context.tenant = record.take_str("tenantId"),
            RecordFamily::AlertLegacy => context.tenant = record.take_str("azureTenantId"),
        }
        if context.tenant.is_none() && !settings.tenant.is_empty() {
            context.tenant = Some(&settings.tenant);
        }
        (context.rule, context.known) = tables::rule(context.record_type, context.operation);
        context
    }

    fn read_activity(&mut self, record: &'r Object<'r>) {
        self.workload = record.take_str("Workload").unwrap_or_default();
        if let Some(kind) = record.take_text("RecordType") {
            // A number, a number as text, or Microsoft's name of it.
            let number = kind.parse::<i64>().ok();
            self.record_type = number.map_or_else(|| tables::record_type_named(&kind), tables::record_type);
            self.feature_uid = match self.record_type {
                Some(known) => Some(Cow::Borrowed(known.text)),
                None => number.map(|n| Cow::Owned(n.to_string())),
            };
            self.feature = Some(match self.record_type {
                Some(known) if !known.name.is_empty() => Cow::Borrowed(known.name),
                _ => kind,
            });
        }
        self.tenant = record.take_if("OrganizationId", |n| n.as_str().filter(|t| !users::is_nobody(t)));
        self.version = record.take_text("Version");
        let inner = record.object("AppAccessContext").and_then(|c| correlation(c, &["CorrelationId"]));
        self.correlation = inner.or_else(|| correlation(record, &["InterSystemsId", "CorrelationId", "correlationId"]));
    }

    /// The number of the record type; 0 for Graph and for types that the tables don't list.
    pub fn record_type_number(&self) -> i64 {
        self.record_type.and_then(|t| t.number).unwrap_or(0)
    }

    /// The source's id of the record; none if it is empty.
    pub fn id(&self) -> Option<&'r str> {
        (!self.id.is_empty()).then_some(self.id)
    }

    /// Whether records of the stream say which operation they are of; sign-ins and alerts are all of one kind.
    pub fn has_operations(&self) -> bool {
        matches!(self.stream.family(), RecordFamily::Activity | RecordFamily::DirectoryAudit)
    }

    /// When it happened, in milliseconds since 1970, if the record says it.
    pub fn time(&self) -> Option<i64> {
        self.time
    }

    /// The `activity_id` that the rule gives the operation.
    pub fn activity(&self) -> i64 {
        tables::activity(self.rule, self.operation)
    }

    /// A new event of the rule's class and activity.
    pub fn event(&self) -> Event<'r> {
        Event::new(self.rule.class_uid, self.activity(), self.operation)
    }

    /// A new event of another class, for when the rule's can't be filled; the activity by the words of the operation.
    pub fn event_of(&self, class_uid: u32) -> Event<'r> {
        let activity = match class_uid {
            3004 => tables::weaker_activity(self.rule, self.operation),
            other => tables::by_verb(other, self.operation),
        };
        Event::new(class_uid, activity, self.operation)
    }

    /// JSON that is text inside the record, as a tree; none if it isn't JSON.
    pub fn untangle(&self, text: &'r str) -> Option<&'r Node<'r>> {
        rest::untangle(text, self.arena)
    }

    /// Whether there can be an event for each of so many members of the record: they are few, and so is what all of these events say.
    pub fn has_room_for(&self, members: usize) -> bool {
        members <= MAX_MEMBERS && members * self.line.len() <= MAX_OF_MEMBERS
    }

    /// The bytes of the record.
    pub fn size(&self) -> usize {
        self.line.len()
    }

    /// Keeps a text that was put together, so that it lives as long as the record.
    pub fn hold(&self, text: &str) -> &'r str {
        self.arena.alloc_str(text)
    }

    fn converter(&self) -> Converter<'r, 'r> {
        Converter::new(self.settings.redact, &self.settings.tenant, self.arena)
    }

    fn converted<T>(&self, convert: impl FnOnce(&mut Converter<'r, 'r>) -> T) -> T {
        let mut converter = self.converter();
        // What was redacted before, so that each path is told once.
        converter.redacted = self.redacted.take();
        let value = convert(&mut converter);
        self.redacted.replace(converter.redacted);
        value
    }

    /// A value of the record on its way into the event: redacted, JSON in text untangled. `name` is where it was found.
    pub fn value(&self, name: &'r str, node: &'r Node<'r>) -> Option<Value<'r>> {
        self.converted(|converter| converter.whole(name, node))
    }

    /// Takes a member of an object and converts it as [`Self::value`] does.
    pub fn take_value(&self, object: &'r Object<'r>, name: &'r str) -> Option<Value<'r>> {
        let node = object.peek(name)?;
        let value = self.value(name, node)?;
        object.take(name);
        Some(value)
    }

    /// Takes what no rule took of an object, and converts it as [`Self::value`] does. `name` is where it was found.
    pub fn take_rest(&self, name: &'r str, object: &'r Object<'r>) -> Members<'r> {
        let rest = self.converted(|converter| converter.rest_at(name, object));
        object.members().iter().for_each(Member::take);
        rest
    }

    /// The product that made the record.
    pub fn product(&self) -> &'r str {
        match self.stream.family() {
            RecordFamily::Activity if self.rule.class_uid == DATA_SECURITY_FINDING => {
                "Microsoft Purview Data Loss Prevention"
            }
            RecordFamily::Activity => streams::product_of_workload(self.workload),
            RecordFamily::SignIn | RecordFamily::DirectoryAudit => "Microsoft Entra ID",
            RecordFamily::Alert | RecordFamily::AlertLegacy => "Microsoft Graph Security",
        }
    }

    /// Finishes the events of the record: the envelope of each, and what is left of the record; and writes them, one a line.
    ///
    /// # Errors
    /// If an event doesn't pass its schema, or the events are too large for the record. What `out` holds behind its earlier length is then void.
    pub fn finish(&self, events: Vec<Event<'r>>, record: &'r Object<'r>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let rest = self.converted(|converter| converter.rest(record));
        let redacted = self.redacted.take();
        let redacted = redacted.paths();
        // The record's bytes tell its events from all others; the id is among them.
        let digest = xxh3_128(self.line).to_be_bytes();
        let raw = self.settings.raw.then(|| self.raw(record, !redacted.is_empty()));
        let envelope = self.envelope()?;
        // A text that a mapping puts beside each item of a list makes an event that grows with the square of its record.
        let limit = out.len() + (self.line.len() * MAX_GROWTH).max(MAX_OF_MEMBERS);
        let last = events.len().saturating_sub(1);
        let mut rest = Some(rest);
        for (index, mut event) in events.into_iter().enumerate() {
            let severity = event.get(attr::SEVERITY_ID).and_then(Value::as_int).unwrap_or(1);
            event.set_severity(self.rule.severity.unwrap_or(severity));
            self.metadata(&mut event, digest, index);
            self.complete(record, &mut event);
            if let Some(raw) = &raw {
                write_raw(&mut event, raw);
            }
            if !redacted.is_empty() {
                event.keep("_redacted", redacted.to_vec());
            }
            let rest = if index == last { rest.take() } else { rest.clone() };
            event.leave(rest.unwrap_or_default());
            write::event(event, &envelope, self.settings.observables, limit, out)?;
            out.push(b'\n');
        }
        Ok(())
    }

    /// What the event shares with the others of the batch that have the same origin.
    fn envelope(&self) -> Result<Rc<Envelope>, Fault> {
        fn text<'t>(text: &'t Option<Cow<'_, str>>) -> &'t str {
            text.as_deref().unwrap_or_default()
        }
        let origin: Origin<&str> = [
            self.tenant.unwrap_or_default(),
            self.product(),
            text(&self.feature),
            text(&self.feature_uid),
            text(&self.version),
        ];
        let mut envelopes = self.batch.envelopes.borrow_mut();
        if let Some((_, envelope)) = envelopes.iter().find(|(known, _)| *known == origin) {
            return Ok(envelope.clone());
        }
        let envelope = Rc::new(self.new_envelope()?);
        if envelopes.len() >= MAX_ENVELOPES {
            envelopes.remove(0);
        }
        envelopes.push((origin.map(str::to_owned), envelope.clone()));
        Ok(envelope)
    }

    fn new_envelope(&self) -> Result<Envelope, Fault> {
        let mut product = Attributes::of(&object::PRODUCT);
        product.set(attr::NAME, self.product());
        product.set(attr::VENDOR_NAME, "Microsoft");
        let mut feature = Attributes::of(&object::FEATURE);
        feature.set(attr::NAME, self.feature.as_deref());
        feature.set(attr::UID, self.feature_uid.as_deref());
        product.set(attr::FEATURE, feature);
        let mut metadata = Attributes::of(&object::METADATA);
        metadata.set(attr::VERSION, "1.8.0");
        metadata.set(attr::PROCESSED_TIME, i64::try_from(self.now_ms).unwrap_or(i64::MAX));
        metadata.set(attr::LOG_PROVIDER, self.stream.provider());
        metadata.set(attr::LOG_SOURCE, self.stream.source());
        metadata.set(attr::LOG_NAME, self.stream.dataset);
        metadata.set(attr::LOG_FORMAT, "JSON");
        metadata.set(attr::LOG_VERSION, self.version.as_deref());
        metadata.set(attr::TENANT_UID, self.tenant);
        if let Some(name) = self.stream.story {
            let mut story = Attributes::of(&object::KEY_VALUE_OBJECT);
            story.set(attr::NAME, "story");
            story.set(attr::VALUE, name);
            metadata.set(attr::TAGS, vec![story]);
        }
        let mut cloud = Attributes::of(&object::CLOUD);
        cloud.set(attr::PROVIDER, "Microsoft");
        if let Some(tenant) = self.tenant {
            let mut account = Attributes::of(&object::ACCOUNT);
            account.set(attr::UID, tenant);
            account.set_enum(attr::TYPE_ID, 17, None);
            cloud.set(attr::ACCOUNT, account);
            let mut org = Attributes::of(&object::ORGANIZATION);
            org.set(attr::UID, tenant);
            cloud.set(attr::ORG, org);
        }
        Envelope::new(&cloud, &metadata, product)
    }

    fn metadata(&self, event: &mut Event<'r>, digest: [u8; 16], index: usize) {
        let metadata = event.metadata();
        metadata.set(attr::UID, self.uid(digest, index));
        metadata.set_if_absent(attr::ORIGINAL_EVENT_UID, self.id);
        metadata.set_if_absent(attr::ORIGINAL_TIME, self.time_text);
        metadata.set_if_absent(attr::EVENT_CODE, self.operation);
        let correlation = metadata.text(attr::CORRELATION_UID).is_some_and(|id| Some(id) != self.correlation);
        metadata.set_if_absent(attr::CORRELATION_UID, self.correlation);
        if correlation {
            // A mapping knew a better one.
            event.keep("CorrelationId", self.correlation);
        }
        if self.rule.class_uid == DATA_SECURITY_FINDING {
            // The product is the one that evaluates the rules; where the data was is said nowhere else.
            event.keep("Workload", self.workload);
        }
    }

    fn complete(&self, record: &'r Object<'r>, event: &mut Event<'r>) {
        event.set_if_absent(attr::TIME, self.time.unwrap_or(i64::try_from(self.now_ms).unwrap_or(i64::MAX)));
        event.set(attr::TIMEZONE_OFFSET, 0);
        if !event.has(attr::API) {
            event.set(attr::API, self.api(None));
        }
        if !event.has(attr::STATUS_ID) {
            event.set_enum(attr::STATUS_ID, 0, None);
        }
        event.set(attr::MESSAGE, message::of(self, record, event));
    }

    /// `api` with the operation and service, and the id of the request if the record has one.
    pub fn api(&self, request_uid: Option<&'r str>) -> Attributes<'r> {
        let mut api = Attributes::of(&object::API);
        api.set(attr::OPERATION, self.operation);
        let mut service = Attributes::of(&object::SERVICE);
        service.set(attr::NAME, self.product());
        api.set(attr::SERVICE, service);
        let mut request = Attributes::of(&object::REQUEST);
        request.set(attr::UID, request_uid);
        api.set(attr::REQUEST, request);
        api
    }

    /// A stable id of the event: the same record gives the same one, and another body under the same source id another one.
    ///
    /// UUIDv5 in the namespace of the tenant's stream of the digest of the record, and the number of the event if it isn't the first.
    fn uid(&self, digest: [u8; 16], index: usize) -> String {
        let mut name = Vec::with_capacity(24);
        name.extend_from_slice(&digest);
        if index > 0 {
            name.extend_from_slice(index.to_string().as_bytes());
        }
        let uid = Uuid::new_v5(&self.batch.namespace, &name);
        uid.hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned()
    }

    /// The record's text; with redaction the text of the redacted record, in which JSON inside of text is untangled.
    fn raw(&self, record: &'r Object<'r>, redacted: bool) -> String {
        if redacted {
            let mut converter = self.converter();
            let mut whole = Members::default();
            for member in record.members() {
                if let Some(value) = converter.whole(member.name, &member.value) {
                    whole.push(Cow::Borrowed(member.name), value);
                }
            }
            return write::to_json(&Value::Open(whole));
        }
        String::from_utf8_lossy(self.line).into_owned()
    }
}

fn write_raw(event: &mut Event<'_>, raw: &str) {
    event.set(attr::RAW_DATA_SIZE, i64::try_from(raw.len()).unwrap_or(i64::MAX));
    let mut hash = Attributes::of(&object::FINGERPRINT);
    hash.set_enum(attr::ALGORITHM_ID, 3, None);
    let mut hex = String::with_capacity(64);
    push_hex(&mut hex, &Sha256::digest(raw));
    hash.set(attr::VALUE, hex);
    event.set(attr::RAW_DATA_HASH, hash);
    event.set(attr::RAW_DATA, Verbatim(raw));
}

/// Text that is kept with the blanks around it.
struct Verbatim<'a>(&'a str);

impl<'r> Present<'r> for Verbatim<'_> {
    fn present(self) -> Option<Value<'r>> {
        (!self.0.is_empty()).then(|| Value::Text(Cow::Owned(self.0.to_owned())))
    }
}

/// Takes the first of the members that is an id; the others stay.
fn correlation<'r>(record: &'r Object<'r>, names: &[&str]) -> Option<&'r str> {
    names.iter().find_map(|name| record.take_if(name, |n| n.as_str().map(trimmed).filter(|t| !users::is_nobody(t))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_is_what_it_says() {
        assert_eq!(NAMESPACE, Uuid::new_v5(&Uuid::NAMESPACE_URL, b"urn:m365-pipe:event"));
    }
}

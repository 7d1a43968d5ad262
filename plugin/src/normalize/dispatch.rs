//! Which mapping a record goes through: the one place that knows all of them.
//!
//! Invariant: every record goes somewhere; what no line here speaks of goes through [`generic::map`].

use m365_schemas::validate::RecordFamily;

use super::{authentication, context::Context, directory, event::Event, generic, record::Object};

/// Builds the events of a record, without their envelope.
pub fn map(context: &Context<'_>, record: &Object<'_>) -> Vec<Event> {
    match context.stream.family {
        RecordFamily::SignIn => authentication::map_sign_in(context, record),
        RecordFamily::DirectoryAudit => directory::map_audit(context, record),
        RecordFamily::Alert | RecordFamily::AlertLegacy => generic::map_alert(context, record),
        RecordFamily::Activity => activity(context, record),
    }
}

/// Management Activity records: by record type first, then by class.
fn activity(context: &Context<'_>, record: &Object<'_>) -> Vec<Event> {
    match (context.record_type_number(), context.rule.class_uid) {
        (8, _) => directory::map_activity(context, record),
        (_, 3002) => authentication::map_activity(context, record),
        _ => generic::map(context, record),
    }
}

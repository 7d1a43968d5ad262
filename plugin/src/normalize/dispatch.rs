//! Which mapping a record goes through: the one place that knows all of them.
//!
//! Invariant: every record goes somewhere; what no line here speaks of goes through [`workloads::map`], which ends in
//! [`super::generic::map`].

use m365_schemas::record::RecordFamily;

use super::{
    activity_alerts, alerts, alerts_legacy, authentication, cmdlets, context::Context, copilot, defender, directory,
    dlp, event::Event, labels, mailbox, record::Object, sharepoint, teams, workloads,
};

/// Builds the events of a record, without their envelope.
pub fn map<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    match context.stream.family() {
        RecordFamily::SignIn => authentication::map_sign_in(context, record),
        RecordFamily::DirectoryAudit => directory::map_audit(context, record),
        RecordFamily::Alert => alerts::map(context, record),
        RecordFamily::AlertLegacy => alerts_legacy::map(context, record),
        RecordFamily::Activity => activity(context, record),
    }
}

/// Management Activity records: by record type first, then by class.
fn activity<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Vec<Event<'r>> {
    match (context.record_type_number(), context.rule.class_uid) {
        (8, _) => directory::map_activity(context, record),
        (_, 3002) => authentication::map_activity(context, record),
        (1 | 10 | 18 | 87, _) => cmdlets::map(context, record),
        (2 | 3 | 19 | 50 | 101, _) => mailbox::map(context, record),
        (4 | 6 | 7 | 14 | 36 | 37 | 54..=56 | 102, _) => sharepoint::map(context, record),
        (25 | 57 | 59 | 73 | 206 | 230, _) => teams::map(context, record),
        (28, 4009) => defender::map_mail(context, record),
        (41, 2004) => defender::map_click(context, record),
        (47, 2004) => defender::map_file(context, record),
        (40, 2004) => activity_alerts::map_policy_alert(context, record),
        (64 | 86 | 89, 2004) => activity_alerts::map_investigation(context, record),
        (294, 2004) => activity_alerts::map_risk(context, record),
        (_, 2004) => activity_alerts::map_other(context, record),
        (_, 2006) => dlp::map(context, record),
        (43, 4009) => labels::map_mail(context, record),
        (97, 6002) => labels::map_heartbeat(context, record),
        (70 | 71 | 82..=84 | 93..=96, 6006) => labels::map_file(context, record),
        (261 | 328 | 334 | 363, 6003) => copilot::map(context, record),
        _ => workloads::map(context, record),
    }
}

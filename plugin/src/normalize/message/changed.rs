//! What of a thing was set or changed, and where mail goes because of it.
//!
//! Invariant: names are told, and of values only addresses that mail is sent on to.

use super::Words;
use crate::normalize::{
    cmdlet_text,
    event::{Event, Value, attr},
    record::{Node, Object},
};

/// Most names that are looked at for what was changed.
const MAX_CHANGED: usize = 64;

/// Parameters of inbox rules, transport rules and mailboxes that are looked for first, in this order.
const TELLING: [&str; 11] = [
    "ForwardTo",
    "RedirectTo",
    "ForwardAsAttachmentTo",
    "ForwardingSmtpAddress",
    "ForwardingAddress",
    "BlindCopyTo",
    "DeleteMessage",
    "SoftDeleteMessage",
    "MoveToFolder",
    "MarkAsRead",
    "AuditEnabled",
];

/// How many of [`TELLING`] hold the addresses of recipients.
const FORWARDING: usize = 6;

/// Says the names in brackets. `properties`: those of modified properties as well as those of parameters.
pub fn say<'r>(words: &mut Words, record: &'r Object<'r>, properties: bool) {
    let told = names(record, properties);
    if !told.is_empty() {
        words.say(" (").list(&told).say(")");
    }
}

/// The names of what was set or changed: parameters of a cmdlet, modified properties of the directory or of a site.
fn names<'r>(record: &'r Object<'r>, properties: bool) -> Vec<&'r str> {
    // What names the object, says how the cmdlet runs, or sums up the others.
    const NO_NEWS: [&str; 11] = [
        "Identity",
        "Name",
        "Mailbox",
        "Force",
        "Confirm",
        "WhatIf",
        "DomainController",
        "Organization",
        "AlwaysDeleteOutlookRulesBlob",
        "Included Updated Properties",
        "Action Client Name",
    ];
    let targets = record.items("targetResources").iter().filter_map(Node::as_object);
    let modified = [record.items("ModifiedProperties")]
        .into_iter()
        .chain(targets.map(|target| target.items("modifiedProperties")))
        .filter(|_| properties);
    let names = [record.items("Parameters")].into_iter().chain(modified).flatten().filter_map(|item| {
        let item = item.as_object()?;
        item.peek_str("Name").or_else(|| item.peek_str("displayName"))
    });
    let in_text = record.peek_str("Parameters").and_then(cmdlet_text::parameters).unwrap_or_default();
    let names = names.chain(in_text.into_iter().map(|(name, _)| name));
    let mut told = Vec::new();
    // Each is compared with those before it, and a sentence needs a few.
    for name in names.take(MAX_CHANGED).filter(|name| !NO_NEWS.contains(name) && !name.starts_with("TargetId.")) {
        if !told.contains(&name) {
            told.push(name);
        }
    }
    told.sort_by_cached_key(|name| TELLING.iter().position(|telling| telling == name).unwrap_or(TELLING.len()));
    told
}

/// `, forwarding to x@example.net`: by a mailbox, by a rule that a cmdlet made, or by one that a mail client made.
pub fn forwarding<'r>(words: &mut Words, record: &'r Object<'r>, event: &Event<'r>) {
    let parameters = record.pairs("Parameters");
    let by_mailbox = event.text_at(&[attr::ENTITY, attr::USER, attr::FORWARD_ADDR]);
    let by_cmdlet = || TELLING[..FORWARDING].iter().find_map(|name| parameters.peek_str(name));
    if let Some(address) = by_mailbox.or_else(by_cmdlet) {
        words.say(", forwarding to ").name(address);
        return;
    }
    let data = event.get(attr::ENTITY).and_then(|entity| entity.get(attr::DATA));
    let Some(Value::Open(data)) = data else { return };
    let Some(Value::List(actions)) = data.get("RuleActions") else { return };
    for action in actions.iter().take(4) {
        let Value::Open(action) = action else { continue };
        let Some(kind) = action.get("ActionType").and_then(Value::as_str) else { continue };
        words.say(", which does ").name(kind);
        if let Some(Value::List(recipients)) = action.get("Recipients") {
            let recipients: Vec<&str> = recipients.iter().filter_map(Value::as_str).collect();
            words.say(" to ").list(&recipients);
        }
    }
}

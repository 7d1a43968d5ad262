//! `message`: what happened, as a sentence that an analyst can read.
//!
//! Who did what, to whom or on what, from where, and if it didn't simply work, how it ended:
//!
//! ```text
//! anna@contoso.com downloaded Q3-forecast.xlsx from 203.0.113.7
//! Sign-in of anna@contoso.com to Office 365 from 203.0.113.7 (Lisbon, PT) failed: wrong user name or password (50126)
//! ```
//!
//! Invariant: every word comes from the event, its operation, or the names that the record gives to what the class has no place for;
//! nothing that redaction covers is said. One line, whatever the names hold.

mod changed;
mod findings;
mod words;

use super::{
    context::Context,
    event::{Attribute, Event, Value, attr},
    record::{Node, Object},
    tables,
};
use words::Words;

const USER_NAMES: [&[Attribute]; 3] =
    [&[attr::USER, attr::NAME], &[attr::USER, attr::FULL_NAME], &[attr::USER, attr::UID]];

/// The sentence of an event that is otherwise complete. Empty for an event of which nothing can be said.
pub fn of<'r>(context: &Context<'r>, record: &'r Object<'r>, event: &Event<'r>) -> String {
    let mut words = Words::default();
    match event.class.uid {
        3002 => sign_in(&mut words, context, event),
        3001 => account(&mut words, context, record, event),
        3004 => entity(&mut words, context, record, event),
        3005 => access(&mut words, context, event),
        3006 => group(&mut words, context, record, event),
        4009 => mail(&mut words, context, event),
        6001 => web(&mut words, context, record, event),
        6002 => app(&mut words, context, record, event),
        6006 => file(&mut words, context, record, event),
        0 => whole(&mut words, context),
        2004 => return findings::alert(words, context, event),
        2006 => return findings::dlp(words, context, event),
        _ => api(&mut words, context, event),
    }
    words.into()
}

fn first<'e>(event: &'e Event<'_>, paths: &[&[Attribute]]) -> Option<&'e str> {
    paths.iter().find_map(|path| event.text_at(path))
}

fn id(event: &Event<'_>, attribute: Attribute) -> i64 {
    event.get(attribute).and_then(Value::as_int).unwrap_or(0)
}

/// Items of an attribute that is a list.
fn items<'e, 'r>(event: &'e Event<'r>, attribute: Attribute) -> &'e [Value<'r>] {
    match event.get(attribute) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

/// Who acted: the person, else the program, else the id of either.
fn who<'e>(context: &'e Context<'_>, event: &'e Event<'_>) -> &'e str {
    let name = event.text_at(&[attr::ACTOR, attr::USER, attr::NAME]).filter(|name| *name != "Unknown");
    let others: [&[Attribute]; 3] = [
        &[attr::ACTOR, attr::USER, attr::FULL_NAME],
        &[attr::ACTOR, attr::APP_NAME],
        &[attr::ACTOR, attr::USER, attr::UID],
    ];
    match name.or_else(|| first(event, &others)) {
        Some("anonymous") => "An anonymous user",
        Some(name) => name,
        None if event.has(attr::ACTOR) => "An unknown user",
        // Nobody is told to have acted: it is the service that did.
        None => product(context, event),
    }
}

fn product<'e>(context: &'e Context<'_>, event: &'e Event<'_>) -> &'e str {
    let own = event.metadata.get(attr::PRODUCT).and_then(|p| p.get(attr::NAME)).and_then(Value::as_str);
    own.unwrap_or_else(|| context.product())
}

fn whom<'e>(event: &'e Event<'_>) -> Option<&'e str> {
    first(event, &USER_NAMES).filter(|name| *name != "Unknown")
}

/// ` from 203.0.113.7 (Lisbon, PT)`.
fn place(words: &mut Words, event: &Event<'_>) {
    let places: [&[Attribute]; 3] =
        [&[attr::SRC_ENDPOINT, attr::IP], &[attr::SRC_ENDPOINT, attr::HOSTNAME], &[attr::DEVICE, attr::IP]];
    let Some(source) = first(event, &places) else { return };
    words.say(" from ").name(source);
    let location = |part| event.text_at(&[attr::SRC_ENDPOINT, attr::LOCATION, part]);
    match (location(attr::CITY).or(location(attr::REGION)), location(attr::COUNTRY)) {
        (Some(city), Some(country)) => words.say(" (").name(city).say(", ").name(country).say(")"),
        (Some(one), None) | (None, Some(one)) => words.say(" (").name(one).say(")"),
        (None, None) => words,
    };
}

/// From where, and how it ended if it didn't simply work.
fn end(words: &mut Words, event: &Event<'_>) {
    place(words, event);
    let detail = event.text_at(&[attr::STATUS_DETAIL]);
    match (id(event, attr::STATUS_ID), event.text_at(&[attr::STATUS])) {
        (2, _) if detail.is_some() => words.say(": ").name(detail.unwrap_or_default()),
        (99, Some(word)) => words.say(" (").name(word).say(")"),
        _ => words,
    };
}

/// `anna@contoso.com downloaded `, or `anna@contoso.com failed to download `; by the operation's name for what is Other (99).
/// False for the latter, after which `on` and a name can follow.
fn does(words: &mut Words, context: &Context<'_>, event: &Event<'_>) -> bool {
    let failed = id(event, attr::STATUS_ID) == 2;
    words.name(who(context, event));
    match words::deed(event.class.uid, event.activity_id) {
        Some((base, _)) if failed => words.say(" failed to ").say(base).say(" "),
        Some((_, past)) => words.say(" ").say(past).say(" "),
        None => {
            // An operation that is a failure by its name was nothing that somebody wanted to perform.
            let met = ["Blocked", "Denied", "Rejected"].iter().any(|end| context.operation.ends_with(end));
            words.say(if met {
                " ran into "
            } else if failed {
                " failed to perform "
            } else {
                " performed "
            });
            words.name(if context.operation.is_empty() { "an operation without a name" } else { context.operation });
            return false;
        }
    };
    true
}

fn on(words: &mut Words, name: Option<&str>) {
    if let Some(name) = name {
        words.say(" on ").name(name);
    }
}

fn sign_in(words: &mut Words, context: &Context<'_>, event: &Event<'_>) {
    match event.activity_id {
        1 => words.say("Sign-in"),
        2 => words.say("Sign-out"),
        _ => words.name(context.operation),
    };
    words.say(" of ").name(whom(event).unwrap_or("an unknown user"));
    let service = [&[attr::SERVICE, attr::NAME][..], &[attr::SERVICE, attr::UID]];
    if let Some(service) = first(event, &service) {
        words.say(" to ").name(service);
    }
    if let Some(program) = event.text_at(&[attr::ACTOR, attr::APP_NAME])
        && Some(program) != first(event, &service)
    {
        words.say(" with ").name(program);
    }
    place(words, event);
    let code = event.text_at(&[attr::STATUS_CODE]).filter(|code| *code != "0");
    let reason = code
        .and_then(|code| tables::sign_in_reason(code.parse().ok()?))
        .or_else(|| event.text_at(&[attr::STATUS_DETAIL]));
    match (id(event, attr::STATUS_ID), id(event, attr::DISPOSITION_ID)) {
        (1, _) if matches!(event.get(attr::IS_MFA), Some(Value::Bool(true))) => {
            words.say(" succeeded with a second factor")
        }
        (1, _) => words.say(" succeeded"),
        (2, 2) => words.say(" was blocked"),
        (2, _) => words.say(" failed"),
        (99, 23) => words.say(" was interrupted"),
        (99, _) => words.say(" ended as ").name(event.text_at(&[attr::STATUS]).unwrap_or("other")),
        _ => return,
    };
    if id(event, attr::STATUS_ID) == 1 {
        return;
    }
    if let Some(reason) = reason {
        words.say(": ").name(reason);
    }
    if let Some(code) = code {
        words.say(" (").name(code).say(")");
    }
}

fn account<'r>(words: &mut Words, context: &Context<'r>, record: &'r Object<'r>, event: &Event<'r>) {
    let user = whom(event);
    if does(words, context, event) {
        match user {
            Some(user) if user == who(context, event) => words.say("their own").say(words::own(event.activity_id)),
            Some(user) => words.say(words::of_user(event.activity_id)).name(user),
            None => words.say("a user"),
        };
    } else {
        on(words, user);
        changed::say(words, record, true);
    }
    end(words, event);
}

fn entity<'r>(words: &mut Words, context: &Context<'r>, record: &'r Object<'r>, event: &Event<'r>) {
    let mut name = first(event, &[&[attr::ENTITY, attr::NAME], &[attr::ENTITY, attr::UID]]);
    if !does(words, context, event) {
        words.say(" on ");
    }
    let kind = event.text_at(&[attr::ENTITY, attr::TYPE]).filter(|kind| *kind != "Unknown" && Some(*kind) != name);
    let owner = first(event, &[&[attr::ENTITY, attr::USER, attr::NAME], &[attr::ENTITY, attr::USER, attr::UID]]);
    if kind == Some("User") {
        // The place of a mailbox in Exchange's directory says no more than its name.
        name = owner.or(name);
    }
    if let Some(kind) = kind {
        words.say("the ").kind(kind).say(" ");
    }
    words.name(name.unwrap_or("an unnamed entity"));
    if let Some(owner) = owner.filter(|owner| Some(*owner) != name) {
        words.say(" of ").name(owner);
    }
    changed::forwarding(words, record, event);
    // What was read or deleted was so as a whole, and what is created by no cmdlet has all its properties listed.
    if ![2, 4].contains(&event.activity_id) {
        changed::say(words, record, event.activity_id != 1);
    }
    end(words, event);
}

fn access(words: &mut Words, context: &Context<'_>, event: &Event<'_>) {
    let user = whom(event);
    if does(words, context, event) {
        let privileges: Vec<&str> = items(event, attr::PRIVILEGES).iter().filter_map(Value::as_str).collect();
        words.list(&privileges);
        if let Some(user) = user {
            words.say(if event.activity_id == 2 { " from " } else { " to " }).name(user);
        }
        // A role is the privilege itself.
        let resource =
            items(event, attr::RESOURCES).iter().find(|r| r.get(attr::TYPE).and_then(Value::as_str) != Some("Role"));
        let name = resource.and_then(|r| r.get(attr::NAME).or_else(|| r.get(attr::UID))).and_then(Value::as_str);
        on(words, name.filter(|name| Some(*name) != user && !privileges.contains(name)));
    } else {
        on(words, user);
    }
    end(words, event);
}

fn group<'r>(words: &mut Words, context: &Context<'r>, record: &'r Object<'r>, event: &Event<'r>) {
    let name = first(event, &[&[attr::GROUP, attr::NAME], &[attr::GROUP, attr::UID]]).unwrap_or("without a name");
    let activity = event.activity_id;
    if does(words, context, event) {
        if let 3 | 4 = activity {
            words.name(whom(event).unwrap_or("a member")).say(if activity == 3 { " to " } else { " from " });
        }
        words.say("the group ").name(name);
    } else {
        words.say(" on the group ").name(name);
        changed::say(words, record, true);
    }
    end(words, event);
}

fn mail(words: &mut Words, context: &Context<'_>, event: &Event<'_>) {
    let subject = event.text_at(&[attr::EMAIL, attr::SUBJECT]);
    let to: Vec<&str> = items(event, attr::TO).iter().filter_map(Value::as_str).collect();
    let from = event.text_at(&[attr::EMAIL, attr::FROM]);
    if event.activity_id == 3 {
        let found = items(event, attr::MALWARE).first().and_then(|m| m.get(attr::NAME)).and_then(Value::as_str);
        words.name(product(context, event));
        let label = event.get(attr::EMAIL).and_then(|email| email.get(attr::DATA_CLASSIFICATIONS)).is_some();
        match found {
            Some(found) => words.say(" found ").name(found).say(" in the mail"),
            None if label => words.say(" found a sensitivity label on the mail"),
            None => words.say(" found no threat in the mail"),
        };
    } else if does(words, context, event) {
        words.say("the mail");
    }
    if let Some(subject) = subject {
        words.say(" ").quoted(subject);
    }
    if let Some(from) = from.filter(|from| *from != who(context, event)) {
        words.say(if event.activity_id == 3 { " from " } else { " as " }).name(from);
    }
    if !to.is_empty() {
        words.say(" to ").list(&to);
    }
    if let Some(done) = event.text_at(&[attr::DISPOSITION]).filter(|done| *done != "Unknown") {
        words.say(": ").name(done);
        return;
    }
    end(words, event);
}

fn web<'r>(words: &mut Words, context: &Context<'r>, record: &'r Object<'r>, event: &Event<'r>) {
    let resources = items(event, attr::WEB_RESOURCES);
    let text = |resource: &Value<'_>, name| resource.get(name).and_then(Value::as_str).map(str::to_owned);
    let target =
        items(event, attr::WEB_RESOURCES_RESULT).first().and_then(|r| r.get(attr::NAME)).and_then(Value::as_str);
    let moved = target.is_some() && [3, 4].contains(&event.activity_id);
    let named = if moved {
        // To the folder of deleted items as well.
        let failed = id(event, attr::STATUS_ID) == 2;
        words.name(who(context, event)).say(if failed { " failed to move " } else { " moved " });
        true
    } else {
        does(words, context, event)
    };
    match resources {
        [] => {}
        [one] => {
            let kind = text(one, attr::TYPE).unwrap_or_default();
            let name = text(one, attr::NAME).or_else(|| text(one, attr::UID)).unwrap_or_default();
            words.say(if named { "the " } else { " on the " }).kind(&kind).say(" ").quoted(&name);
        }
        several => {
            let kinds: Vec<Option<String>> = several.iter().map(|r| text(r, attr::TYPE)).collect();
            let same = kinds.iter().all(|kind| *kind == kinds[0]);
            words.say(if named { "" } else { " on " }).say(&several.len().to_string()).say(" ");
            words.kind(kinds[0].as_deref().filter(|_| same).unwrap_or("item")).say("s");
        }
    }
    if let Some(target) = target {
        words.say(" to ").quoted(target);
    }
    if let (8, Some(partner)) = (event.activity_id, partner(record)) {
        words.say(" with ").name(partner);
    }
    let owner = event.text_at(&[attr::DST_ENDPOINT, attr::OWNER, attr::NAME]);
    if let Some(owner) = owner.filter(|owner| !owner.eq_ignore_ascii_case(who(context, event))) {
        words.say(" in the mailbox of ").name(owner);
    }
    if context.operation == "MailItemsAccessed" {
        let properties = record.pairs("OperationProperties");
        match properties.peek_str("MailAccessType") {
            Some("Sync") => words.say(" by synchronising whole folders"),
            _ => words,
        };
        if properties.peek("IsThrottled").and_then(Node::to_bool) == Some(true) {
            words.say(", and more that was not logged");
        }
    }
    end(words, event);
}

fn app<'r>(words: &mut Words, context: &Context<'r>, record: &'r Object<'r>, event: &Event<'r>) {
    let name = first(event, &[&[attr::APP, attr::NAME], &[attr::APP, attr::UID]]);
    if does(words, context, event) {
        words.say("the app ").name(name.unwrap_or("without a name"));
    } else {
        on(words, name);
    }
    if let Some(team) = record.peek_str("TeamName") {
        words.say(" in the team ").name(team);
    }
    end(words, event);
}

/// With whom something was shared, which no class has a place for.
fn partner<'r>(record: &'r Object<'r>) -> Option<&'r str> {
    record.peek_str("TargetUserOrGroupName").or_else(|| record.peek_str("Invitee"))
}

fn file<'r>(words: &mut Words, context: &Context<'r>, record: &'r Object<'r>, event: &Event<'r>) {
    let name = event.text_at(&[attr::FILE, attr::NAME]);
    if !does(words, context, event) {
        words.say(" on ");
    }
    if event.activity_id == 3 && context.operation.contains("Label") {
        words.say("the label of ");
    }
    words.name(name.unwrap_or("a file"));
    let target = first(event, &[&[attr::FILE_RESULT, attr::PATH], &[attr::FILE_RESULT, attr::NAME]]);
    if let Some(target) = target {
        words.say(" to ").name(target);
    }
    if let (12 | 13, Some(partner)) = (event.activity_id, partner(record)) {
        words.say(" with ").name(partner);
    }
    let malware = items(event, attr::MALWARE).first().and_then(|m| m.get(attr::NAME)).and_then(Value::as_str);
    if let Some(malware) = malware {
        words.say(", which holds ").name(malware);
    }
    end(words, event);
}

/// A record of which nothing was looked at but its operation.
fn whole(words: &mut Words, context: &Context<'_>) {
    words.name(if context.operation.is_empty() { "an operation without a name" } else { context.operation });
    words.say(" in a record of ").say(&context.size().to_string()).say(" bytes, which is too large to be read as more");
}

fn api(words: &mut Words, context: &Context<'_>, event: &Event<'_>) {
    // The operation says more than Create, Read, Update or Delete of something unknown.
    let failed = id(event, attr::STATUS_ID) == 2;
    words.name(who(context, event)).say(if failed { " failed to perform " } else { " performed " });
    words.name(if context.operation.is_empty() { "an operation without a name" } else { context.operation });
    if let Some(host) = event.text_at(&[attr::MESSAGE_CONTEXT, attr::SERVICE, attr::NAME]) {
        words.say(" in ").name(host);
    }
    let resources = items(event, attr::RESOURCES);
    let named: Vec<&str> = resources
        .iter()
        .filter_map(|r| r.get(attr::NAME).or_else(|| r.get(attr::UID)))
        .filter_map(Value::as_str)
        .collect();
    if !named.is_empty() {
        words.say(" on ").list(&named);
    }
    end(words, event);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::normalize::Normalizer;

    fn message(stream: &str, record: &Value) -> String {
        let output = Normalizer::new("{}").unwrap().process(stream, record.to_string().as_bytes(), 0).unwrap();
        assert_eq!(output.rejects, []);
        let line = output.data.split(|b| *b == b'\n').next().unwrap();
        serde_json::from_slice::<Value>(line).unwrap()["message"].as_str().unwrap().to_owned()
    }

    fn activity(stream: &str, record_type: i64, operation: &str, members: Value) -> String {
        let mut record = json!({"Id": "1", "CreationTime": "2025-11-25T09:00:00", "RecordType": record_type, "Operation": operation,
            "UserId": "anna@contoso.com", "UserType": 0, "ClientIP": "203.0.113.7"});
        record.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        message(stream, &record)
    }

    #[test]
    fn files() {
        let of = |operation: &str, members: Value| activity("office365.sharepoint", 6, operation, members);
        let file = json!({"Workload": "SharePoint", "SourceFileName": "Q3-forecast.xlsx", "ItemType": "File"});
        assert_eq!(of("FileDownloaded", file.clone()), "anna@contoso.com downloaded Q3-forecast.xlsx from 203.0.113.7");
        let mut shared = file.clone();
        shared["TargetUserOrGroupName"] = json!("bo@example.net");
        assert_eq!(
            of("SharingSet", shared),
            "anna@contoso.com shared Q3-forecast.xlsx with bo@example.net from 203.0.113.7"
        );
        let mut failed = file;
        failed["ResultStatus"] = json!("Failed");
        assert_eq!(of("FileDeleted", failed), "anna@contoso.com failed to delete Q3-forecast.xlsx from 203.0.113.7");
    }

    #[test]
    fn sign_ins() {
        let sign_in = |code: i64, app: &str| {
            message(
                "graph.signins.interactive",
                &json!({"id": "1", "createdDateTime": "2025-11-25T09:00:00Z", "userPrincipalName": "anna@contoso.com", "userId": "x",
                    "appDisplayName": app, "appId": "y", "resourceDisplayName": "Office 365", "resourceId": "z",
                    "ipAddress": "203.0.113.7", "location": {"city": "Lisbon", "countryOrRegion": "PT"},
                    "isInteractive": true, "status": {"errorCode": code, "failureReason": "Other."}}),
            )
        };
        let begin = "Sign-in of anna@contoso.com to Office 365 from 203.0.113.7 (Lisbon, PT)";
        assert_eq!(sign_in(0, "Office 365"), format!("{begin} succeeded"));
        assert_eq!(sign_in(50126, "Office 365"), format!("{begin} failed: wrong user name or password (50126)"));
        assert_eq!(
            sign_in(53003, "Office 365"),
            format!("{begin} was blocked: Conditional Access does not allow it (53003)")
        );
        assert!(
            sign_in(50074, "Outlook")
                .contains(" to Office 365 with Outlook from 203.0.113.7 (Lisbon, PT) was interrupted: ")
        );
    }

    #[test]
    fn names_of_any_kind_stay_on_one_line() {
        let rule = activity(
            "office365.exchange",
            1,
            "New-InboxRule",
            json!({"Workload": "Exchange", "ObjectId": "anna\\a\r\nb",
            "ResultStatus": "True", "Parameters": [{"Name": "Name", "Value": "a\r\nb"}, {"Name": "ForwardTo", "Value": "x@example.net"}]}),
        );
        assert!(!rule.contains(['\r', '\n']), "{rule}");
        assert!(
            rule.starts_with("anna@contoso.com created the InboxRule a b") && rule.contains("(ForwardTo)"),
            "{rule}"
        );
        let long = "n".repeat(5_000);
        assert!(activity("office365.sharepoint", 6, "FileDeleted", json!({"SourceFileName": long})).len() < 400);
    }

    #[test]
    fn without_anything_to_name() {
        assert_eq!(
            activity("office365.general", 999_999, "Unheard", json!({"UserId": "Not Available", "ClientIP": ""})),
            "An unknown user performed Unheard"
        );
    }
}

//! Mail that was sent from a mailbox (Send, SendAs, SendOnBehalf of mailbox auditing): OCSF Email Activity.
//!
//! Invariant: `email.from` is the visible sender and `email.sender` who really sent; both only if they are addresses.

use super::{
    caller,
    context::Context,
    event::{Attributes, Event, attr, object},
    mailbox,
    record::{Node, Object},
    users,
};

/// A sent message. None if the record names neither a sender's nor a recipient's address.
pub fn map<'r>(context: &Context<'r>, record: &'r Object<'r>) -> Option<Vec<Event<'r>>> {
    let address = |name: &'static str| Some((name, record.peek_str(name).filter(|a| users::is_email(a))?));
    let shown = ["SendAsUserSmtp", "SendOnBehalfOfUserSmtp", "MailboxOwnerUPN"];
    let from = shown.into_iter().find_map(address);
    let to = recipients(record);
    if from.is_none() && to.is_empty() {
        return None;
    }
    let mut email = Attributes::of(&object::EMAIL);
    if let Some((name, from)) = from {
        record.take(name);
        email.set(attr::FROM, from);
    }
    email.set(attr::SENDER, record.peek_str("UserId").filter(|id| users::is_email(id)));
    email.set(attr::TO, to.clone());
    if let Some(item) = record.object("Item") {
        email.set(attr::SUBJECT, item.take_str("Subject"));
        email.set(attr::MESSAGE_UID, item.take_str("InternetMessageId"));
        email.set(attr::UID, item.take_if("Id", |n| n.as_str().filter(|id| !users::is_nobody(id))));
        email.set(attr::SIZE, item.take_int("SizeInBytes"));
        email.set(attr::FILES, item.take_str("Attachments").map(files));
    }
    let mut event = context.event();
    caller::write(context, record, &mut event);
    mailbox::write_owner(context, record, &mut event);
    event.set(attr::FROM, from.map(|(_, from)| from));
    event.set_enum(attr::DIRECTION_ID, direction(from.map(|(_, from)| from), &to), None);
    event.set(attr::TO, to);
    event.set(attr::EMAIL, email);
    Some(vec![event])
}

/// `recipientList`: taken if every entry is an address.
fn recipients<'r>(record: &'r Object<'r>) -> Vec<&'r str> {
    let address = |entry: &'r Node<'r>| {
        let text = entry.as_object().map_or_else(|| entry.as_str(), |object| object.peek_str("Address"));
        text.map(str::trim).filter(|a| users::is_email(a))
    };
    let items = record.items("recipientList");
    let to: Vec<&str> = items.iter().filter_map(address).collect();
    // Display names and whatever else have no place in the event.
    let more = |entry: &Node<'_>| {
        entry.as_object().is_some_and(|o| o.members().iter().any(|m| m.name != "Address" && !m.value.is_empty()))
    };
    if !items.is_empty() && to.len() == items.len() && !items.iter().any(more) {
        record.take("recipientList");
    }
    to
}

/// 3 Internal if all recipients are of the sender's domain, 2 Outbound if one is not, 0 if the record names none.
fn direction(from: Option<&str>, to: &[&str]) -> i64 {
    let domain = |address: &str| address.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
    match from {
        Some(from) if !to.is_empty() => {
            let own = domain(from);
            if to.iter().all(|to| domain(to) == own) { 3 } else { 2 }
        }
        _ => 0,
    }
}

/// `a.pdf (1234b); b (draft).docx (99b)`: names and sizes.
fn files<'r>(text: &'r str) -> Vec<Attributes<'r>> {
    let file = |part: &'r str| {
        let part = part.trim();
        let sized =
            part.rsplit_once(" (").and_then(|(name, size)| Some((name, size.strip_suffix("b)")?.parse::<i64>().ok()?)));
        let (name, size) = sized.map_or((part, None), |(name, size)| (name, Some(size)));
        if name.is_empty() {
            return None;
        }
        let mut file = Attributes::of(&object::FILE);
        file.set(attr::NAME, name);
        file.set(attr::SIZE, size);
        file.set_enum(attr::TYPE_ID, 1, None);
        Some(file)
    };
    text.split(';').filter_map(file).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::normalize::write::shown;

    #[test]
    fn attachments_in_one_text() {
        let files = shown(files("tps (report) 1.docx (1024b); image.jpg (8192b);odd"));
        let file = |name: &str, size: i64| json!({"name": name, "size": size, "type_id": 1, "type": "Regular File"});
        let odd = json!({"name": "odd", "type_id": 1, "type": "Regular File"});
        assert_eq!(files, json!([file("tps (report) 1.docx", 1024), file("image.jpg", 8192), odd]));
    }

    #[test]
    fn where_mail_goes() {
        assert_eq!(direction(Some("a@contoso.com"), &["b@Contoso.com"]), 3);
        assert_eq!(direction(Some("a@contoso.com"), &["b@contoso.com", "c@example.net"]), 2);
        assert_eq!(direction(Some("a@contoso.com"), &[]), 0);
        assert_eq!(direction(None, &["b@contoso.com"]), 0);
    }
}

//! Sentences of findings: an alert at one state of its life, and a match of a DLP rule.

use super::{Words, first, items, product, who};
use crate::normalize::{
    context::Context,
    event::{Attribute, Event, Value, attr},
};

fn text<'e>(value: &'e Value<'_>, path: &[Attribute]) -> Option<&'e str> {
    path.iter().try_fold(value, |value, name| value.get(*name))?.as_str()
}

/// `Microsoft Defender for Endpoint raised the alert "Suspicious script" (High) about anna@contoso.com on desktop-7`; a click on a link
/// by who clicked.
pub fn alert(mut words: Words, context: &Context<'_>, event: &Event<'_>) -> String {
    let evidences = items(event, attr::EVIDENCES);
    let title = event.text_at(&[attr::FINDING_INFO, attr::TITLE]).unwrap_or("without a title");
    if let [click] = evidences
        && text(click, &[attr::NAME]) == Some("URL click")
    {
        words
            .name(who(context, event))
            .say(" clicked ")
            .name(text(click, &[attr::URL, attr::URL_STRING]).unwrap_or("a link"));
        if let Some(ip) = text(click, &[attr::SRC_ENDPOINT, attr::IP]) {
            words.say(" from ").name(ip);
        }
        words.say(" (").name(title).say(")");
        return words.into();
    }
    let found_by = event.text_at(&[attr::FINDING_INFO, attr::PRODUCT, attr::NAME]);
    words.name(found_by.unwrap_or_else(|| product(context, event)));
    words.say(match event.activity_id {
        1 => " raised the alert ",
        2 => " updated the alert ",
        3 => " closed the alert ",
        _ => " reported ",
    });
    words.quoted(title);
    match event.text_at(&[attr::SEVERITY]).filter(|s| *s != "Unknown") {
        Some(severity) => words.say(" (").name(severity).say(")"),
        None => &mut words,
    };
    let user = [&[attr::USER, attr::NAME][..], &[attr::USER, attr::UID], &[attr::PROCESS, attr::USER, attr::NAME]];
    if let Some(user) = evidences.iter().find_map(|e| user.iter().find_map(|path| text(e, path))) {
        words.say(" about ").name(user);
    }
    let host = [&[attr::DEVICE, attr::HOSTNAME][..], &[attr::DEVICE, attr::NAME]];
    if let Some(host) = evidences.iter().find_map(|e| host.iter().find_map(|path| text(e, path))) {
        words.say(" on ").name(host);
    }
    if let (3, Some(verdict)) = (event.activity_id, event.text_at(&[attr::VERDICT])) {
        words.say(": ").name(verdict);
    }
    words.into()
}

/// `DLP rule "Cards" of the policy "PCI" matched cards.xlsx of anna@contoso.com (Credit Card Number: 5): Blocked`.
pub fn dlp(mut words: Words, context: &Context<'_>, event: &Event<'_>) -> String {
    words
        .say("DLP rule ")
        .quoted(event.text_at(&[attr::FINDING_INFO, attr::ANALYTIC, attr::NAME]).unwrap_or("without a name"));
    if let Some(policy) = event.text_at(&[attr::DATA_SECURITY, attr::POLICY, attr::NAME]) {
        words.say(" of the policy ").quoted(policy);
    }
    let activity = event.activity_id;
    words.say(match activity {
        3 => " was undone for ",
        4 => " was overridden or reported as wrong for ",
        _ => " matched ",
    });
    let resource = items(event, attr::RESOURCES).first();
    let item = first(event, &[&[attr::FILE, attr::NAME]])
        .or_else(|| text(resource?, &[attr::NAME]).or_else(|| text(resource?, &[attr::UID])));
    match item {
        Some(file) if event.has(attr::FILE) => words.name(file),
        Some(subject) => words.quoted(subject),
        None => words.say("something"),
    };
    words.say(" of ").name(who(context, event));
    let found = event.get(attr::DATA_SECURITY).and_then(|data| data.get(attr::DISCOVERY_DETAILS));
    if let Some(Value::List(details)) = found {
        let counted: Vec<String> = details
            .iter()
            .filter_map(|d| Some(format!("{}: {}", text(d, &[attr::TYPE])?, d.get(attr::COUNT)?.as_int()?)))
            .collect();
        let counted: Vec<&str> = counted.iter().map(String::as_str).collect();
        words.say(" (").list(&counted).say(")");
    }
    if let (1, Some(done)) = (activity, event.text_at(&[attr::DISPOSITION])) {
        words.say(": ").name(done);
    }
    words.into()
}

//! Which factors a sign-in used, and whether a second one was among them.
//!
//! Invariant: `is_mfa` says that a second factor was *used*; that a policy asked for one is not enough.

use super::super::{
    context::Context,
    distinct,
    event::{Attributes, Event, attr, object},
    record::{Node, Object},
};

/// OCSF factor types by what Microsoft's method names contain, first match first.
const METHODS: [(&str, i64); 16] = [
    ("text message", 1),
    ("sms", 1),
    ("phone call", 3),
    ("hardware token", 6),
    ("hardware oath", 6),
    ("verification code", 7),
    ("oath", 7),
    ("software token", 7),
    ("notification", 5),
    ("authenticator", 5),
    ("email", 8),
    ("fido2", 10),
    ("passkey", 10),
    ("windows hello", 10),
    ("platform credential", 10),
    ("password", 11),
];

/// The OCSF type of a method by its name; 99 if no table knows it.
pub fn factor_type(method: &str) -> i64 {
    let lower = method.to_ascii_lowercase();
    METHODS.iter().find(|(part, _)| lower.contains(part)).map_or(99, |(_, id)| *id)
}

/// Writes `auth_factors` and `is_mfa`. The steps themselves stay in `unmapped`: they say when, in which order and with what result.
pub fn write<'r>(context: &Context<'r>, event: &mut Event<'r>, record: &'r Object<'r>, succeeded: bool) {
    let steps = record.items("authenticationDetails");
    let (mut used, mut listed) = (distinct::texts(), distinct::texts());
    let mut claim = false;
    for step in steps.iter().filter_map(Node::as_object) {
        let result = step.peek_str("authenticationStepResultDetail").unwrap_or_default();
        claim |= result.to_ascii_lowercase().contains("mfa requirement satisfied");
        let Some(method) = step.peek_str("authenticationMethod").filter(|m| *m != "Previously satisfied") else {
            continue;
        };
        listed.add(method);
        if step.peek("succeeded").and_then(Node::to_bool) == Some(true) {
            used.add(method);
        }
    }
    let mfa = record.object("mfaDetail");
    let method = mfa.and_then(|m| m.peek_str("authMethod"));
    method.into_iter().for_each(|method| listed.add(method));
    let phone = mfa.filter(|_| method.is_some()).and_then(|m| {
        m.take_if("authDetail", |n| {
            n.as_str().filter(|t| t.starts_with('+') && t.bytes().all(|b| b.is_ascii_digit() || b"+ X*x-".contains(&b)))
        })
    });
    let factors: Vec<Attributes> = listed
        .items()
        .iter()
        .map(|name| {
            let mut factor = Attributes::of(&object::AUTH_FACTOR);
            factor.set_enum(attr::FACTOR_TYPE_ID, factor_type(name), Some(name));
            if method == Some(*name) {
                factor.set(attr::PHONE_NUMBER, phone);
            }
            factor
        })
        .collect();
    event.set(attr::AUTH_FACTORS, factors);
    let says = !steps.is_empty() || method.is_some() || record.peek("authenticationRequirement").is_some();
    // Principals have no second factor to use, so nothing is said of them.
    if says && context.stream.name.ends_with("interactive") {
        event.set(attr::IS_MFA, used.items().len() > 1 || claim || (method.is_some() && succeeded));
    }
}

#[cfg(test)]
mod tests {
    use super::factor_type;

    #[test]
    fn methods_by_their_names() {
        for (method, id) in [
            ("Password", 11),
            ("Password Hash Sync", 11),
            ("Text message", 1),
            ("Mobile app notification", 5),
            ("OATH verification code", 7),
            ("FIDO2 security key", 10),
            ("Windows Hello for Business", 10),
            ("Temporary Access Pass", 99),
        ] {
            assert_eq!(factor_type(method), id, "{method}");
        }
    }
}

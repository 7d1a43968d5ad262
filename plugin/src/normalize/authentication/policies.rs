//! Conditional Access: which policies were applied to a sign-in, and which one decided.
//!
//! Invariant: a policy that was only reported, not enabled or not applied is never shown as one that was enforced.

use super::super::{
    context::Context,
    event::{Attributes, Event},
    record::{Node, Object},
};

/// Writes `authorizations` (one per policy that isn't off) and `policy` (the one that decided).
pub fn write(context: &Context<'_>, event: &mut Event, record: &Object<'_>) {
    let mut authorizations = Vec::new();
    let mut decided: Option<(bool, Attributes)> = None;
    for item in record.items("appliedConditionalAccessPolicies").iter().filter_map(Node::as_object) {
        let result = item.peek_str("result").unwrap_or_default();
        if result.eq_ignore_ascii_case("notEnabled") {
            continue;
        }
        let failed = result.eq_ignore_ascii_case("failure");
        let applied = failed || result.eq_ignore_ascii_case("success");
        let mut policy = Attributes::of("policy");
        policy.set("uid", item.take_str("id"));
        policy.set("name", item.take_str("displayName"));
        policy.set("type", "Conditional Access");
        policy.set("is_applied", applied);
        if applied && decided.as_ref().is_none_or(|(was_failure, _)| failed && !was_failure) {
            decided = Some((failed, policy.clone()));
        }
        let mut data = serde_json::Map::new();
        for name in ["enforcedGrantControls", "enforcedSessionControls"] {
            if let Some(value) = context.take_value(item, name) {
                data.insert(name.to_owned(), value);
            }
        }
        policy.set("data", serde_json::Value::Object(data));
        let mut authorization = Attributes::of("authorization");
        authorization.set("decision", result);
        item.take("result");
        authorization.set("policy", policy);
        authorizations.push(authorization);
    }
    event.set("authorizations", authorizations);
    event.set("policy", decided.map(|(_, policy)| policy));
}

//! Conditional Access: which policies were applied to a sign-in, and which one decided.
//!
//! Invariant: a policy that was only reported, not enabled or not applied is never shown as one that was enforced.

use super::super::{
    context::Context,
    event::{Attributes, Event, Members, attr, object},
    record::{Node, Object},
};

/// Writes `authorizations` (one per policy that isn't off) and `policy` (the one that decided).
pub fn write<'r>(context: &Context<'r>, event: &mut Event<'r>, record: &'r Object<'r>) {
    let mut authorizations = Vec::new();
    let mut decided: Option<(bool, Attributes)> = None;
    for item in record.items("appliedConditionalAccessPolicies").iter().filter_map(Node::as_object) {
        let result = item.peek_str("result").unwrap_or_default();
        if result.eq_ignore_ascii_case("notEnabled") {
            continue;
        }
        let failed = result.eq_ignore_ascii_case("failure");
        let applied = failed || result.eq_ignore_ascii_case("success");
        let mut policy = Attributes::of(&object::POLICY);
        policy.set(attr::UID, item.take_str("id"));
        policy.set(attr::NAME, item.take_str("displayName"));
        policy.set(attr::TYPE, "Conditional Access");
        policy.set(attr::IS_APPLIED, applied);
        if applied && decided.as_ref().is_none_or(|(was_failure, _)| failed && !was_failure) {
            decided = Some((failed, policy.clone()));
        }
        let mut data = Members::default();
        for name in ["enforcedGrantControls", "enforcedSessionControls"] {
            if let Some(value) = context.take_value(item, name) {
                data.insert(name, value);
            }
        }
        policy.set(attr::DATA, data);
        let mut authorization = Attributes::of(&object::AUTHORIZATION);
        authorization.set(attr::DECISION, result);
        item.take_str("result");
        authorization.set(attr::POLICY, policy);
        authorizations.push(authorization);
    }
    event.set(attr::AUTHORIZATIONS, authorizations);
    event.set(attr::POLICY, decided.map(|(_, policy)| policy));
}

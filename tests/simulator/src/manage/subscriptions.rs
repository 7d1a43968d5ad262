//! Subscriptions: started, stopped, listed.
//!
//! Invariant: content that became available while a subscription was stopped is never listed; content from before the first start is.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::{content_type, needs, stream_of};
use crate::answer::Answer;
use crate::clock::{TICKS_PER_SECOND, Ticks, ticks};
use crate::misbehaviour::What;
use crate::request::Request;
use crate::server::Tenant;
use crate::streams::{Api, STREAMS};
use crate::tally::lock;
use crate::template::mix;
use crate::tenant::TENANT_ID;

#[derive(Clone, Default)]
struct Subscription {
    enabled: bool,
    known: bool,
    started: Option<Ticks>,
    /// Until when it can't be started: somebody tried too often.
    held: Option<Ticks>,
    /// Stretches in which it was stopped; the last one may be open.
    stopped: Vec<(Ticks, Ticks)>,
}

/// The state of every content type's subscription.
pub(crate) struct Subscriptions(Mutex<Vec<Subscription>>);

/// Why content cannot be listed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unlisted {
    NeverStarted,
    Stopped,
}

impl Subscriptions {
    /// Stops a subscription at a time, as somebody else's call does.
    pub(crate) fn stop_at(&self, content_type: &str, at: Ticks) {
        let Some(stream) = stream_of(content_type) else { return };
        let subscription = &mut lock(&self.0)[stream];
        if subscription.enabled {
            subscription.enabled = false;
            subscription.stopped.push((at, Ticks::MAX));
        }
    }

    pub(crate) fn new(subscribed: bool) -> Self {
        let one = Subscription { enabled: subscribed, known: subscribed, ..Subscription::default() };
        Self(Mutex::new(vec![one; STREAMS.len()]))
    }

    /// The stretches in which a subscription was stopped.
    pub(crate) fn stops(&self, stream: usize) -> Vec<(Ticks, Ticks)> {
        lock(&self.0)[stream].stopped.clone()
    }

    /// Until when a subscription can't be started, as its refusals have said.
    pub(crate) fn held(&self, stream: usize) -> Option<Ticks> {
        lock(&self.0)[stream].held
    }

    /// The stretches whose content was lost, or why there is no content at all.
    pub(crate) fn gaps(&self, stream: usize) -> Result<Vec<(Ticks, Ticks)>, Unlisted> {
        let state = lock(&self.0);
        let subscription = &state[stream];
        match (subscription.known, subscription.enabled) {
            (false, _) => Err(Unlisted::NeverStarted),
            (true, false) => Err(Unlisted::Stopped),
            (true, true) => Ok(subscription.stopped.clone()),
        }
    }
}

/// `POST subscriptions/start`
pub(super) fn start(tenant: &Tenant, parameters: &[(String, String)], request: &Request, roles: &[String]) -> Answer {
    let stream = match content_type(parameters).and_then(|stream| needs(stream, roles).map(|()| stream)) {
        Ok(stream) => stream,
        Err(error) => return error,
    };
    if !request.body.trim_ascii().is_empty() {
        return match serde_json::from_slice::<Value>(&request.body) {
            Ok(body) if body.get("webhook").is_some_and(|webhook| !webhook.is_null()) => Answer::management(
                400,
                "AF20021",
                "The webhook endpoint could not be validated: the simulated tenant calls nobody.",
            ),
            Ok(body) if body.is_object() => begin(tenant, stream),
            _ => Answer::management(400, "AF20002", "The request body is not a JSON object."),
        }
        .concerning(Some(stream));
    }
    begin(tenant, stream).concerning(Some(stream))
}

fn begin(tenant: &Tenant, stream: usize) -> Answer {
    let name = name(stream);
    if tenant.options.faults.auditing_off && !tenant.changed(|what| matches!(what, What::AuditingOn)) {
        let code = format!(
            "StartSubscription [CorrId={}] [TenantId={TENANT_ID},ContentType={name},ApplicationId={}",
            tenant.new_guid(),
            crate::tenant::CLIENT_ID
        );
        let message = format!(
            "PublisherId={TENANT_ID}] [AppId] Exception: Microsoft.Office.Compliance.Audit.DataServiceException: Tenant {TENANT_ID} does not exist."
        );
        return Answer::management(400, &code, &message);
    }
    if tenant.options.faults.disabled_content_types.contains(name) {
        return disabled();
    }
    let now = tenant.clock.now();
    let mut state = lock(&tenant.subscriptions.0);
    let subscription = &mut state[stream];
    if let Some(answer) = too_frequent(tenant, stream, subscription, now) {
        return answer;
    }
    if subscription.enabled {
        return Answer::management(400, "AF20024", "The subscription is already enabled. No property change.");
    }
    if subscription.started.is_some_and(|started| now - started < ticks(tenant.options.start_guard)) {
        return Answer::management(
            429,
            "AF429",
            "Too many frequent subscription start requests. Wait 15 minutes between them.",
        );
    }
    if let Some(last) = subscription.stopped.last_mut() {
        last.1 = last.1.min(now);
    }
    subscription.enabled = true;
    subscription.known = true;
    subscription.started = Some(now);
    Answer::json(&json!({ "contentType": name, "status": "enabled", "webhook": null }))
}

/// The refusal of a start that comes too soon, as far as a scenario wants it: the time that is left stands in the message alone.
fn too_frequent(tenant: &Tenant, stream: usize, subscription: &mut Subscription, now: Ticks) -> Option<Answer> {
    let (least, most) = tenant.options.misbehaviour.subscriptions.throttled_starts?;
    let seed = tenant.options.seed;
    // The content types are the first five streams.
    // Both answers were seen.
    let (status, code) = match (stream as u64 + seed % 5) % 5 {
        0 => (403, "429"),
        1 => (429, "AF429"),
        _ => return None,
    };
    let span = ticks(most.saturating_sub(least)).max(1);
    let time = ticks(least) + (mix(seed ^ mix(stream as u64)) >> 8) as Ticks % span;
    let until = *subscription.held.get_or_insert(now.saturating_add(time));
    let left = (until.saturating_sub(now) + TICKS_PER_SECOND - 1).div_euclid(TICKS_PER_SECOND);
    let message = format!(
        "Too many frequent subscription start requests. Please retry again after {}m {}s.",
        left / 60,
        left % 60
    );
    (left > 0).then(|| Answer::management(status, code, &message))
}

/// AF20023, for a subscription that somebody else has disabled.
pub(super) fn disabled() -> Answer {
    Answer::management(400, "AF20023", "The subscription was disabled by a tenant admin or a service admin.")
}

fn name(stream: usize) -> &'static str {
    match STREAMS[stream].api {
        Api::Management(name) => name,
        _ => "",
    }
}

/// `POST subscriptions/stop`
pub(super) fn stop(tenant: &Tenant, parameters: &[(String, String)]) -> Answer {
    let stream = match content_type(parameters) {
        Ok(stream) => stream,
        Err(error) => return error,
    };
    let now = tenant.clock.now();
    let mut state = lock(&tenant.subscriptions.0);
    let subscription = &mut state[stream];
    if !subscription.known {
        return Answer::management(
            400,
            "AF20022",
            &format!("No subscription found for the specified content type: {}.", name(stream)),
        )
        .concerning(Some(stream));
    }
    if subscription.enabled {
        subscription.enabled = false;
        subscription.stopped.push((now, Ticks::MAX));
    }
    Answer::empty().concerning(Some(stream))
}

/// `GET subscriptions/list`
pub(super) fn list(tenant: &Tenant) -> Answer {
    let disabled = &tenant.options.faults.disabled_content_types;
    let state = lock(&tenant.subscriptions.0);
    let known = state.iter().enumerate().filter(|(_, subscription)| subscription.known);
    let listed: Vec<Value> = known
        .map(|(stream, subscription)| {
            let enabled = subscription.enabled && !disabled.contains(name(stream));
            json!({ "contentType": name(stream), "status": if enabled { "enabled" } else { "disabled" }, "webhook": null })
        })
        .collect();
    Answer::json(&json!(listed))
}

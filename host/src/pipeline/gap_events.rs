//! Declared gaps as events, for those who want to see in their store what is missing from it.
//!
//! OCSF has no class for what a collector could not collect, so that they are Base Events (class 0) of ours. They go to
//! sinks of OCSF events only: one of another format couldn't read them.

use std::time::Duration;

use serde_json::json;

use super::outputs::{Outputs, Part};
use super::patience::Halt;
use super::{Shared, now_ms};
use crate::config::SinkFormat;
use crate::ledger::Untold;
use crate::times::utc;

/// A gap of lost pieces is told once it hasn't grown for this long.
const SETTLED: Duration = Duration::from_secs(60);

/// Delivers the gaps that haven't been told, if that is wanted. `last`: the run ends, so that nothing is waited for.
pub(super) fn tell(shared: &Shared, outputs: &mut Outputs, last: bool) -> Result<(), Halt> {
    let Some(tenant) = &shared.gap_events else { return Ok(()) };
    let now = now_ms();
    let settled = if last { now } else { now.saturating_sub(SETTLED.as_millis() as u64) };
    let ledger = &shared.ledger;
    let gaps = shared.patience.attempt("Telling of gaps", || ledger.untold_gaps(settled, now))?;
    if gaps.is_empty() {
        return Ok(());
    }
    let events: Vec<String> = gaps.iter().map(|gap| event(gap, shared.dataset(&gap.stream), tenant, now)).collect();
    let parts: Vec<Part<'_>> = gaps
        .iter()
        .zip(&events)
        .map(|(gap, event)| Part {
            stream: &gap.stream,
            dataset: shared.dataset(&gap.stream),
            split: "gap",
            events: event.as_bytes(),
            raw: &[],
            only_for: Some(SinkFormat::Ocsf),
        })
        .collect();
    let handed = outputs.deliver(&parts, None, &shared.patience, ledger)?;
    shared.patience.attempt("Telling of gaps", || ledger.gaps_told(&gaps, &handed.letters, &handed.marks, now))
}

/// A gap as an event, a line of its own.
fn event(untold: &Untold, dataset: &str, tenant: &str, now: u64) -> String {
    let Untold { stream, gap, .. } = untold;
    let what = match gap.pieces {
        0 => format!("A stretch of {stream} from {} to {} is missing", utc(gap.start), utc(gap.end)),
        1 => format!("A piece of {stream} of {} is missing", utc(gap.start)),
        pieces => format!("{pieces} pieces of {stream} from {} to {} are missing", utc(gap.start), utc(gap.end)),
    };
    let uid =
        blake3::hash(format!("{tenant} {stream} {} {} {} {}", gap.start, gap.end, gap.code, gap.pieces).as_bytes());
    let event = json!({
        "activity_id": 99,
        "activity_name": "Gap Declared",
        "category_name": "Uncategorized",
        "category_uid": 0,
        "class_name": "Base Event",
        "class_uid": 0,
        "cloud": {"account": {"type": "M365 Tenant", "type_id": 17, "uid": tenant}, "org": {"uid": tenant}, "provider": "Microsoft"},
        "end_time": gap.end,
        "message": format!("{what}: {}", gap.reason),
        "metadata": {
            "log_name": dataset,
            "log_provider": "m365-pipe",
            "log_source": stream,
            "processed_time": now,
            "product": {"name": "m365-pipe", "version": env!("CARGO_PKG_VERSION")},
            "tenant_uid": tenant,
            "uid": uid.to_hex()[..32],
            "version": "1.8.0",
        },
        "severity": "High",
        "severity_id": 4,
        "start_time": gap.start,
        "status": "Failure",
        "status_code": gap.code,
        "status_detail": gap.reason,
        "status_id": 2,
        "time": gap.first_at,
        "type_name": "Base Event: Other",
        "type_uid": 99,
        "unmapped": {"pieces": gap.pieces},
    });
    format!("{event}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Gap;

    #[test]
    fn a_gap_is_an_event_that_is_valid_and_always_the_same() {
        let untold = |pieces| Untold {
            id: 1,
            stream: "office365.exchange".to_owned(),
            gap: Gap {
                start: 1_795_000_000_000,
                end: 1_795_003_600_000,
                code: "unlisted".to_owned(),
                reason: "It wasn't listed in time.".to_owned(),
                pieces,
                first_at: 1_795_984_132_000,
                last_at: 1_795_984_132_000,
            },
        };
        let schema = serde_json::from_str(include_str!("../../../schemas/events/ocsf.schema.json")).unwrap();
        let schema = jsonschema::validator_for(&schema).unwrap();
        let mut uids = std::collections::BTreeSet::new();
        for pieces in [0, 1, 7] {
            let line = event(&untold(pieces), "o365_management_activity", "6f2b1a9c-0d3e-4f58-9a7b-1c2d3e4f5a6b", 5);
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            let errors: Vec<String> = schema.iter_errors(&event).map(|error| error.to_string()).collect();
            assert_eq!(errors, Vec::<String>::new());
            assert!(event["message"].as_str().unwrap().contains("office365.exchange"));
            uids.insert(event["metadata"]["uid"].to_string());
        }
        assert_eq!(uids.len(), 3);
    }
}

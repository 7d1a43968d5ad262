//! What the plugin says of itself: audiences, quotas, schemas, operations.
//!
//! Invariant: facts about streams come from the table in `streams.rs`, those about operations from `normalize/tables/`; here is what
//! the streams share.

use m365_schemas::event;

use crate::normalize::tables::{self, Activity, RecordType, Rule};
use crate::streams::{AUDIENCE_GRAPH, AUDIENCE_OFFICE365, QUOTA_GRAPH_ALERTS, QUOTA_GRAPH_REPORTS, QUOTA_OFFICE365};

/// A service for which the host gets tokens.
#[derive(Clone, Copy, Debug)]
pub struct Audience {
    /// The name that requests give.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// The hosts over all clouds.
    pub hosts: &'static [&'static str],
}

/// The audiences. The hosts are those of the worldwide, GCC, GCC High, DoD and China clouds, as far as a cloud has one of
/// its own (Microsoft: Management Activity API reference; Graph national cloud deployments). Microsoft documents no
/// Management Activity API in China; clients use the host that is listed last.
pub const AUDIENCES: &[Audience] = &[
    Audience {
        name: AUDIENCE_OFFICE365,
        title: "Office 365 Management APIs",
        hosts: &[
            "manage.office.com",
            "manage-gcc.office.com",
            "manage.office365.us",
            "manage.protection.apps.mil",
            "manage.office365.cn",
        ],
    },
    Audience {
        name: AUDIENCE_GRAPH,
        title: "Microsoft Graph",
        hosts: &[
            "graph.microsoft.com",
            "graph.microsoft.us",
            "dod-graph.microsoft.us",
            "microsoftgraph.chinacloudapi.cn",
        ],
    },
];

/// A rate that all streams of a tenant share.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// The name that requests give.
    pub name: &'static str,
    /// At most so many requests …
    pub requests: u32,
    /// … in so many milliseconds.
    pub per_ms: u32,
    /// For people: what the limit is and who states it.
    pub reason: &'static str,
}

/// The quotas.
pub const QUOTAS: &[Quota] = &[
    Quota {
        name: QUOTA_OFFICE365,
        requests: 2_000,
        per_ms: 60_000,
        reason: "Microsoft's Management Activity API reference: at least 2,000 requests a minute and tenant",
    },
    Quota {
        name: QUOTA_GRAPH_REPORTS,
        requests: 5,
        per_ms: 10_000,
        reason: "Microsoft Graph throttling limits: 5 requests in 10 seconds, application and tenant for identity and access reports",
    },
    Quota {
        name: QUOTA_GRAPH_ALERTS,
        requests: 150,
        per_ms: 60_000,
        reason: "Microsoft Graph throttling limits: 150 requests a minute, application and tenant for security alerts",
    },
];

/// The schemas by id: what events have to fulfil, and what raw records have to.
pub const SCHEMAS: &[(&str, &str)] = &[
    ("events/ocsf", m365_schemas::EVENTS),
    ("events/ecs", m365_schemas::ecs::DOCUMENT),
    ("records/activity", m365_schemas::RECORD_ACTIVITY),
    ("records/sign-in", m365_schemas::RECORD_SIGN_IN),
    ("records/directory-audit", m365_schemas::RECORD_DIRECTORY_AUDIT),
    ("records/alert", m365_schemas::RECORD_ALERT),
    ("records/alert-legacy", m365_schemas::RECORD_ALERT_LEGACY),
];

/// The text of a schema.
pub fn schema(id: &str) -> Option<&'static str> {
    SCHEMAS.iter().find(|(known, _)| *known == id).map(|(_, text)| *text)
}

/// What an operation means, for people.
#[derive(Debug)]
pub struct OperationDescription {
    /// The table that says so; empty for the rule of a record type.
    pub family: &'static str,
    /// The record types that look into the table.
    pub record_types: Vec<&'static str>,
    /// The operation; `*` alone for a rule.
    pub name: &'static str,
    /// The OCSF class.
    pub class: &'static event::Class,
    /// The activity; none if the words of the name decide.
    pub activity: Option<u32>,
    /// What OCSF calls the activity.
    pub activity_name: &'static str,
    /// The severity, where the operation has one of its own.
    pub severity: Option<u32>,
    /// What it is done to; empty in rules.
    pub object: &'static str,
    /// Why, where the line needs a reason.
    pub note: &'static str,
}

impl OperationDescription {
    fn new(name: &'static str, rule: Rule, record_types: Vec<&'static str>) -> Option<Self> {
        let class = event::class(rule.class_uid)?;
        let (activity, activity_name) = match rule.activity {
            Activity::Verb => (None, "by the words of the name"),
            Activity::Id(id) => {
                let caption = class.definition.caption(event::attr::ACTIVITY_ID, id);
                (u32::try_from(id).ok(), caption.unwrap_or_default())
            }
        };
        let severity = rule.severity.and_then(|id| u32::try_from(id).ok());
        let object = rule.object;
        Some(Self { family: "", record_types, name, class, activity, activity_name, severity, object, note: "" })
    }
}

/// The name of a record type, or its number if Microsoft published no name.
fn name(kind: &'static RecordType) -> &'static str {
    if kind.name.is_empty() { kind.text } else { kind.name }
}

/// Every operation of the tables, by family and name, then the rules of the record types.
pub fn operations() -> Vec<OperationDescription> {
    let mut all = Vec::new();
    for family in tables::families() {
        let looking = |kind: &&RecordType| kind.families().any(|f| std::ptr::eq(f, family));
        let record_types: Vec<&str> = tables::record_types().iter().filter(looking).map(name).collect();
        all.extend(family.operations().filter_map(|operation| {
            let described = OperationDescription::new(operation.name, operation.rule, record_types.clone())?;
            Some(OperationDescription { family: family.name, note: operation.reason, ..described })
        }));
    }
    all.extend(
        tables::record_types().iter().filter_map(|t| OperationDescription::new("*", t.default(), vec![name(t)])),
    );
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::STREAMS;

    #[test]
    fn every_stream_names_a_known_audience_and_quota() {
        for stream in STREAMS {
            assert!(AUDIENCES.iter().any(|audience| audience.name == stream.audience()), "{}", stream.name);
            assert!(QUOTAS.iter().any(|quota| quota.name == stream.quota()), "{}", stream.name);
        }
    }

    #[test]
    fn operations_are_told_with_the_names_of_class_and_activity() {
        let all = operations();
        let role = all.iter().find(|o| o.family == "directory" && o.name == "Add member to role").unwrap();
        assert_eq!((role.class.name, role.activity_name), ("User Access Management", "Assign Privileges"));
        assert_eq!(role.record_types, ["AzureActiveDirectory", "graph:directoryAudits"]);
        let rules = all.iter().filter(|o| o.name == "*").count();
        assert_eq!(rules, tables::record_types().len());
        let lines: usize = tables::families().iter().map(|f| f.operations().count()).sum();
        assert_eq!(all.len(), rules + lines);
        assert!(all.iter().all(|o| !o.activity_name.is_empty() && !o.record_types.is_empty()));
    }

    #[test]
    fn schemas_are_json_and_found_by_id() {
        for (id, text) in SCHEMAS {
            let schema: serde_json::Value = serde_json::from_str(text).unwrap();
            assert!(schema.is_object(), "{id}");
            assert_eq!(super::schema(id), Some(*text));
        }
        assert_eq!(super::schema("events/none"), None);
    }
}

//! Tenants where something is off, missing, retired, or changed by somebody else.

use super::{Ends, MINUTE, OFFICE365, SIGN_INS, SOME_HOURS, Scenario};
use crate::misbehaviour::{Change, What};
use crate::options::LegacyAlerts;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "disabled-by-somebody",
        about: "After 100 minutes somebody stops the subscription to Audit.Exchange; what arrives while it is off is lost.",
        change: |options| {
            let what = What::Stop("Audit.Exchange");
            options.misbehaviour.changes = vec![Change { after: 100 * MINUTE, what }];
        },
        runs: SOME_HOURS,
        ends: Ends::Gap(&["office365.exchange"]),
    },
    Scenario {
        name: "disabled-by-admin",
        about: "The subscription to Audit.Exchange is disabled by an administrator and can't be started: AF20023.",
        change: |options| options.faults.disabled_content_types = ["Audit.Exchange".to_owned()].into(),
        runs: SOME_HOURS,
        ends: Ends::Blocked(&["office365.exchange"]),
    },
    Scenario {
        name: "auditing-off",
        about: "The tenant's unified audit log is off: subscriptions can't be started.",
        change: |options| options.faults.auditing_off = true,
        runs: SOME_HOURS,
        ends: Ends::Blocked(OFFICE365),
    },
    Scenario {
        name: "auditing-turned-on",
        about: "The unified audit log is off, and somebody turns it on after 50 minutes.",
        change: |options| {
            options.faults.auditing_off = true;
            options.misbehaviour.changes = vec![Change { after: 50 * MINUTE, what: What::AuditingOn }];
        },
        runs: SOME_HOURS,
        ends: Ends::AtLast,
    },
    Scenario {
        name: "empty-tenant",
        about: "Nothing has happened in the tenant: every listing is empty, and that is no error.",
        change: |options| options.events = 0,
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "legacy-alerts-retired",
        about: "The legacy alerts are gone: 410. alerts_v2 goes on.",
        change: |options| options.faults.legacy_alerts = LegacyAlerts::Gone,
        runs: SOME_HOURS,
        ends: Ends::Blocked(&["graph.alerts-legacy"]),
    },
    Scenario {
        name: "licence-missing",
        about: "The tenant has no Entra ID P1 or P2: sign-ins answer 403, everything else works.",
        change: |options| options.faults.no_premium_licence = true,
        runs: SOME_HOURS,
        ends: Ends::Blocked(SIGN_INS),
    },
    Scenario {
        name: "consent-missing",
        about: "Nobody consented to ActivityFeed.ReadDlp: DLP answers 401 with AF10001, everything else works.",
        change: |options| options.faults.missing_roles = ["ActivityFeed.ReadDlp".to_owned()].into(),
        runs: SOME_HOURS,
        ends: Ends::Blocked(&["office365.dlp"]),
    },
];

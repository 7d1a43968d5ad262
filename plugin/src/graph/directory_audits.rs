//! Directory audits.

use super::Query;
use crate::clock::DAY;

/// The query. `activityDateTime` takes `eq`, `ge` and `le` (Microsoft: List directoryAudits).
pub const QUERY: Query = Query {
    path: "/v1.0/auditLogs/directoryAudits",
    time: "activityDateTime",
    condition: None,
    ordered: true,
    reach: Some(30 * DAY),
    cap: None,
};

//! Sign-ins: four families, each read on its own.
//!
//! Invariant: only the beta endpoint knows `signInEventTypes`; v1.0 answers 400 to a filter on it and gives the
//! interactive family alone (Microsoft: List signIns).

use super::Query;
use crate::clock::DAY;
use crate::streams::SignInFamily;

/// The query of a family.
pub const fn query(family: SignInFamily) -> Query {
    let (path, condition) = match family {
        SignInFamily::Interactive => ("/v1.0/auditLogs/signIns", None),
        SignInFamily::NonInteractive => (BETA, Some("signInEventTypes/any(t: t eq 'nonInteractiveUser')")),
        SignInFamily::ServicePrincipal => (BETA, Some("signInEventTypes/any(t: t eq 'servicePrincipal')")),
        SignInFamily::ManagedIdentity => (BETA, Some("signInEventTypes/any(t: t eq 'managedIdentity')")),
    };
    Query {
        path,
        time: "createdDateTime",
        condition,
        ordered: true,
        // 30 days with a premium licence, 7 without (Microsoft: Entra data retention); the licence can't be seen here.
        reach: Some(30 * DAY),
        cap: None,
    }
}

const BETA: &str = "/beta/auditLogs/signIns";

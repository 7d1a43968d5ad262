//! What somebody else does to the tenant while it is collected from.

use std::time::Duration;

/// Something that somebody else does.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// How long after the start, by the simulated clock.
    pub after: Duration,
    /// What is done.
    pub what: What,
}

/// What can be done to a tenant.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// The subscription of a content type is stopped: what arrives until it is started again is never listed.
    Stop(&'static str),
    /// Auditing is turned on, where it was off.
    AuditingOn,
}

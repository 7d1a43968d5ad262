//! The conformance kit: what must hold for any collector, checked by the tenant that it collects from.
//!
//! Invariant: nothing here knows a particular collector; it sees requests, and the lines that a collector wrote.

pub(crate) mod output;
pub(crate) mod rules;
pub(crate) mod verdict;

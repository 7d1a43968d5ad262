//! A simulated Microsoft 365 tenant on a loopback address: login, Office 365 Management Activity API, Microsoft Graph.
//!
//! It is strict where Microsoft is: tokens are checked for audience, expiry and roles, quotas refuse, page links work only as given, unknown
//! query options are errors. What a client does against the rules but gets away with is written down in [`Simulator::violations`].
//!
//! Invariant: everything served is made from a number on demand, so that a large tenant costs no more memory than a small one, and equal
//! [`Options`] give equal bytes. Generated records come from a pool of at most about 500 variants a stream; beyond that they differ in ids
//! and times.
//!
//! Simplifications, by intent: a client assertion is checked by its claims, not its signature; an alert exists in one version;
//! interactive sign-ins have the v1.0 shape also on beta; of the documented `$filter` forms those on times, sign-in families and providers are
//! known, `$select` is not.
//!
//! ```
//! use m365_sim::{Options, Quotas, Simulator};
//!
//! let simulator = Simulator::start(Options::new(7, 600).with_quotas(Quotas::unlimited()))?;
//! assert_eq!(simulator.holds().values().sum::<u64>(), 600);
//! simulator.stop();
//! # Ok::<(), std::io::Error>(())
//! ```

mod answer;
mod catalogue;
mod clock;
mod connection;
mod corpus;
mod generate;
mod graph;
mod kit;
mod login;
mod manage;
pub mod misbehaviour;
mod options;
mod quota;
mod replacements;
mod request;
mod scenarios;
mod server;
mod simulator;
mod streams;
mod tally;
mod template;
mod tenant;
mod tls;
mod token;
mod wire;

pub use kit::verdict::{StreamVerdict, Verdict};
pub use options::{FAULTS, Faults, Injection, Instead, LegacyAlerts, Options, Quotas, Wait};
pub use scenarios::{Ends, SCENARIOS, Scenario, scenario};
pub use simulator::Simulator;
pub use tally::{RequestLine, Served, Traffic};
pub use tenant::{CLIENT_ID, CLIENT_SECRET, CUSTOM_DOMAIN, DOMAIN, TENANT_ID};

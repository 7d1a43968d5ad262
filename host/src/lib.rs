//! The host of m365-pipe: it gives a plugin HTTP and durable state, and delivers what the plugin makes.
//!
//! The host knows nothing of the records it carries. What it must know of Microsoft, how Entra ID issues a token, is in
//! [`entra`] and nowhere else.

pub mod claims;
pub mod clock;
pub mod commands;
pub mod config;
pub mod entra;
pub mod files;
pub mod foreign_text;
pub mod guest;
pub mod http;
pub mod ledger;
pub mod pipeline;
pub mod sinks;
#[cfg(test)]
mod test_log;
pub mod times;

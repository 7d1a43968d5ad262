//! How much a guest may say in one call: every number that `wit/` states, and those that the host sets.
//!
//! What is beyond a bound breaks the contract, and the call with it; texts for people are cut instead. Memory and time are
//! bounded in [`super::limits`].

use std::time::Duration;

/// Bytes that a guest hands over in one call at most, whatever they are.
pub(super) const CALL_BYTES: usize = 64 << 20;

/// Names, codes and other words that stand in tables, in bytes.
pub(super) const WORD_BYTES: usize = 64;
/// A message for a person, in bytes. What is longer is cut.
pub(super) const MESSAGE_BYTES: usize = 4096;

/// The id of a split, in bytes (`wit/source.wit`).
pub(super) const SPLIT_ID_BYTES: usize = 512;
/// What a guest needs to read a split, in bytes.
pub(super) const PAYLOAD_BYTES: usize = 256 << 10;
/// The state of a stream, in bytes (`wit/source.wit`).
pub(super) const STATE_BYTES: usize = 256 << 10;
/// Where to go on in a split, in bytes (`wit/source.wit`).
pub(super) const RESUME_BYTES: usize = 64 << 10;
/// The name of a pass, in bytes.
pub(super) const PASS_BYTES: usize = 32;
/// Splits of one listing.
pub(super) const SPLITS: usize = 100_000;
/// Stretches that one listing covers.
pub(super) const COVERAGE: usize = 10_000;
/// Stretches that one listing gives up.
pub(super) const LOST: usize = 1000;
/// Parts of a split that one chunk says were passed over (`wit/source.wit`).
pub(super) const LOSSES: usize = 256;
/// The beginning of such a part, in bytes (`wit/source.wit`).
pub(super) const HEAD_BYTES: usize = 1 << 10;
/// Empty chunks in a row, each with another position.
pub(super) const EMPTY_CHUNKS: u32 = 10_000;
/// Findings about one stream.
pub(super) const FINDINGS: usize = 100;
/// Things in one batch that a guest doesn't know.
pub(super) const UNKNOWN: usize = 1000;
/// The name, place or sample of one of them, in bytes.
pub(super) const UNKNOWN_BYTES: usize = 1024;

/// Streams, audiences, quotas and schemas of a plugin, and the list members of each, such as permissions.
pub(super) const DESCRIBED: usize = 1000;
/// A text about one of them, in bytes.
pub(super) const DESCRIPTION_BYTES: usize = 1024;
/// A schema, in bytes.
pub(super) const SCHEMA_BYTES: usize = 16 << 20;
/// Operations that a guest describes.
pub(super) const OPERATIONS: usize = 100_000;
/// How long a guest may compute for a call of the interface `info`, which only looks things up.
pub(super) const INFO_TIME: Duration = Duration::from_secs(5);

/// Requests in one call.
pub(super) const REQUESTS: u32 = 10_000;
/// Requests in one call that the host refuses.
pub(super) const REFUSED_REQUESTS: u32 = 20;
/// Headers that a guest sets on a request.
pub(super) const HEADERS: usize = 64;
/// Their names and values, in bytes.
pub(super) const HEADER_BYTES: usize = 64 << 10;
/// The URL of a request, in bytes.
pub(super) const URL_BYTES: usize = 32 << 10;
/// The body of a request, in bytes.
pub(super) const BODY_BYTES: usize = 4 << 20;
/// Bytes of a body that one `read` hands out.
pub(super) const READ_BYTES: usize = 1 << 20;
/// Things of the host's that a guest holds at a time: answers, streams, timers.
pub(super) const HANDLES: usize = 64;
/// Random bytes that one call gives.
pub(super) const RANDOM_BYTES: u64 = 64 << 10;

/// A log line's message, in bytes; a field's value has a quarter of that.
pub(super) const LOG_BYTES: usize = 2048;
/// Fields of a log line.
pub(super) const LOG_FIELDS: usize = 16;

/// The largest file that is taken as a component, in bytes.
pub(super) const COMPONENT_BYTES: u64 = 128 << 20;

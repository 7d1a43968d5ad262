//! A component that misbehaves on demand. The tests run it with `--plugin` and see that the host's limits hold.
//!
//! What it does wrong is a *mode*. The stream `hostile.MODE` misbehaves in one export, which the first word of the mode names,
//! and is good otherwise; the stream `honest` beside it is always good. What is called before there is a stream (the start, `describe`,
//! `schema`, `operations`, `configure`) misbehaves if the mode is written into the component, over [`MARKER`].

/// Sixty-four bytes in the component. A test writes a mode and blanks over what follows the colon.
pub const MARKER: [u8; 64] = *b"m365-hostile-mode:                                              ";

/// How many records the stream `honest` has.
pub const HONEST_RECORDS: usize = HONEST_SPLITS * RECORDS;
/// How many splits it has.
pub const HONEST_SPLITS: usize = 3;
/// How many records are in a split, in chunks of [`CHUNK`].
pub const RECORDS: usize = 100;
/// Records of a chunk.
pub const CHUNK: usize = 50;

#[cfg(target_family = "wasm")]
mod component;
#[cfg(target_family = "wasm")]
mod harm;

//! The real binary against the simulated tenant: everything a newcomer or an operator would try.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod collecting;
mod commands;
mod components;
mod demonstration;
mod harness;
mod killing;
mod limits;

//! The real binary against the simulated tenant: everything a newcomer or an operator would try.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod collecting;
mod commands;
mod components;
mod coverage;
mod dead_letters;
mod demonstration;
mod drift;
mod exit_codes;
mod failing_receiver;
mod failing_sink;
mod harness;
mod hostile;
mod killing;
mod limits;
mod lost;
mod receiver;
mod restarts;
mod scenarios;
mod secrets;
mod sinks;
mod touched_files;

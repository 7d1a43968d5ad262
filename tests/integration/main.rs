//! The real binary against the simulated tenant: everything a newcomer or an operator would try.

mod bad_input;
mod collecting;
mod commands;
mod components;
mod demonstration;
mod harness;
mod killing;
mod limits;

//! Tests of the source against scripted answers, and against a model of the service.
#![allow(clippy::unwrap_used)] // a test says by its panic what went wrong

#[path = "source/answers.rs"]
mod answers;
#[path = "source/endless.rs"]
mod endless;
#[path = "source/graph.rs"]
mod graph;
#[path = "source/history.rs"]
mod history;
#[path = "source/host.rs"]
mod host;
#[path = "source/late.rs"]
mod late;
#[path = "source/model.rs"]
mod model;
#[path = "source/office365.rs"]
mod office365;
#[path = "source/script.rs"]
mod script;
#[path = "source/splitter.rs"]
mod splitter;

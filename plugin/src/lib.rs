//! The Microsoft 365 plugin: what to fetch, how to page, and what a record means in OCSF.

#[cfg(any(target_family = "wasm", test))]
mod allocator;
pub mod call;
pub mod catalog;
pub mod causes;
pub mod clock;
#[cfg(any(target_family = "wasm", test))]
mod compare;
#[cfg(target_family = "wasm")]
mod component;
pub mod driver;
pub mod ecs;
pub mod error;
pub mod graph;
pub mod normalize;
pub mod office365;
pub mod pages;
pub mod passes;
pub mod settings;
pub mod source;
pub mod splitter;
pub mod streams;

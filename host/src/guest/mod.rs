//! Plugins: WebAssembly components of the worlds in `wit/`, loaded, limited and called.
//!
//! A guest gets the imports `http` and `log` and an empty WASI context: no files, no environment, no arguments, no
//! sockets. Each [`SourceInstance`], [`Reader`] and [`TransformInstance`] is a store of its own; a trap ends that
//! store and nothing else.

mod bindings;
mod bounds;
mod cache;
mod contract;
mod imports;
mod instance;
mod limits;
mod lines;
mod plugin;
mod wasi;

pub use bindings::{
    Batch, Chunk, Discovery, ErrorKind, Finding, Interval, Loss, Operation, Output, Oversized, PluginDescription,
    Reject, Severity, Split, StreamDescription, Unknown, UnknownKind,
};
pub use contract::is_json;
pub use instance::{GuestError, Reader, SourceInstance, TransformInstance};
pub use limits::{GuestLimits, WhenStuck};
pub use plugin::{LoadError, Plugin, PluginFile};

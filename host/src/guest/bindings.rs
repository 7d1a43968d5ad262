//! Rust types and calls generated from `wit/`. Both worlds share one set of types.
#![allow(missing_docs, clippy::all, reason = "generated; the documentation is in wit/")]

pub mod source {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "source-plugin",
        imports: { default: trappable },
        with: { "log-pipeline:plugin/http.response": crate::guest::imports::GuestResponse },
        require_store_data_send: true,
    });
}

pub mod transform {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "transform-plugin",
        with: { "log-pipeline:plugin/types": crate::guest::bindings::source::log_pipeline::plugin::types },
        require_store_data_send: true,
    });
}

pub use source::exports::log_pipeline::plugin::info::{Operation, Plugin as PluginDescription, StreamDescription};
pub use source::exports::log_pipeline::plugin::source::{Chunk, Discovery, Finding, Loss, Oversized, Severity, Split};
pub use source::log_pipeline::plugin::types::{Batch, Error, ErrorKind, Interval};
pub use transform::exports::log_pipeline::plugin::transform::{Output, Reject, Unknown, UnknownKind};

/// Each world has an `info` of its own, of the same shape.
mod info {
    use super::source::exports::log_pipeline::plugin::info as ours;
    use super::transform::exports::log_pipeline::plugin::info as theirs;

    impl From<theirs::Plugin> for ours::Plugin {
        fn from(plugin: theirs::Plugin) -> Self {
            let theirs::Plugin { name, version, streams, audiences, quotas, schemas } = plugin;
            Self {
                name,
                version,
                streams: streams.into_iter().map(ours::StreamDescription::from).collect(),
                audiences: audiences.into_iter().map(ours::Audience::from).collect(),
                quotas: quotas.into_iter().map(ours::Quota::from).collect(),
                schemas,
            }
        }
    }

    impl From<theirs::StreamDescription> for ours::StreamDescription {
        fn from(stream: theirs::StreamDescription) -> Self {
            let theirs::StreamDescription {
                name,
                title,
                api,
                audience,
                permissions,
                dataset,
                vendor,
                product,
                story,
                event_classes,
                notice,
            } = stream;
            Self { name, title, api, audience, permissions, dataset, vendor, product, story, event_classes, notice }
        }
    }

    impl From<theirs::Operation> for ours::Operation {
        fn from(operation: theirs::Operation) -> Self {
            let theirs::Operation {
                family,
                record_types,
                name,
                event_class,
                event_class_name,
                activity,
                activity_name,
                severity,
                object,
                note,
            } = operation;
            Self {
                family,
                record_types,
                name,
                event_class,
                event_class_name,
                activity,
                activity_name,
                severity,
                object,
                note,
            }
        }
    }

    impl From<theirs::Audience> for ours::Audience {
        fn from(theirs::Audience { name, title, hosts }: theirs::Audience) -> Self {
            Self { name, title, hosts }
        }
    }

    impl From<theirs::Quota> for ours::Quota {
        fn from(theirs::Quota { name, requests, per_ms, reason }: theirs::Quota) -> Self {
            Self { name, requests, per_ms, reason }
        }
    }
}

//! The exports of the component, thin over `source`, `catalog` and `normalize`; the only file that calls the `http` and
//! `log` imports.
//!
//! Invariant: no decision is taken here, values are only carried across.

use std::cell::RefCell;

use crate::allocator::Chunks;
use crate::normalize::Normalizer;
use crate::normalize::drift::{Kind, Unknown};

/// Normalising is mostly small allocations, for which the default allocator of the target is slow.
#[global_allocator]
static ALLOCATOR: Chunks<talc::wasm::WasmDynamicTalc> = Chunks::new(talc::wasm::new_wasm_dynamic_allocator());

/// What the contract generates. Its code is unsafe where it crosses the border of the component.
#[allow(unsafe_code, missing_docs, clippy::all, clippy::unwrap_used)]
mod bindings {
    #[cfg(feature = "source")]
    wit_bindgen::generate!({ path: "../wit", world: "plugin", pub_export_macro: false });
    #[cfg(not(feature = "source"))]
    wit_bindgen::generate!({ path: "../wit", world: "transform-plugin", pub_export_macro: false });

    use super::Component;
    export!(Component);
}

use bindings::exports::log_pipeline::plugin::{info, transform};
use bindings::log_pipeline::plugin::types;

struct Component;

thread_local! {
    static NORMALIZER: RefCell<Option<Normalizer>> = const { RefCell::new(None) };
}

fn invalid_config(message: String) -> types::Error {
    types::Error { kind: types::ErrorKind::InvalidConfig, code: "settings".to_owned(), message, retry_after_ms: None }
}

fn owned(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

impl info::Guest for Component {
    fn describe() -> info::Plugin {
        use crate::catalog::{AUDIENCES, QUOTAS, SCHEMAS};
        info::Plugin {
            name: "m365".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            streams: crate::streams::STREAMS
                .iter()
                .map(|stream| info::StreamDescription {
                    name: stream.name.to_owned(),
                    title: stream.title.to_owned(),
                    api: stream.api.to_owned(),
                    audience: stream.audience().to_owned(),
                    permissions: owned(stream.permissions),
                    dataset: stream.dataset.to_owned(),
                    vendor: stream.vendor.to_owned(),
                    product: stream.product.to_owned(),
                    story: stream.story.map(str::to_owned),
                    event_classes: stream.event_classes.to_vec(),
                    notice: stream.notice.to_owned(),
                })
                .collect(),
            audiences: AUDIENCES
                .iter()
                .map(|audience| info::Audience {
                    name: audience.name.to_owned(),
                    title: audience.title.to_owned(),
                    hosts: owned(audience.hosts),
                })
                .collect(),
            quotas: QUOTAS
                .iter()
                .map(|quota| info::Quota {
                    name: quota.name.to_owned(),
                    requests: quota.requests,
                    per_ms: quota.per_ms,
                    reason: quota.reason.to_owned(),
                })
                .collect(),
            schemas: SCHEMAS.iter().map(|(id, _)| (*id).to_owned()).collect(),
        }
    }

    fn schema(id: String) -> Option<String> {
        crate::catalog::schema(&id).map(str::to_owned)
    }

    fn operations() -> Vec<info::Operation> {
        let described = crate::catalog::operations();
        described
            .into_iter()
            .map(|operation| info::Operation {
                family: operation.family.to_owned(),
                record_types: owned(&operation.record_types),
                name: operation.name.to_owned(),
                event_class: operation.class.uid,
                event_class_name: operation.class.name.to_owned(),
                activity: operation.activity,
                activity_name: operation.activity_name.to_owned(),
                severity: operation.severity,
                object: operation.object.to_owned(),
                note: operation.note.to_owned(),
            })
            .collect()
    }
}

impl transform::Guest for Component {
    fn configure(settings: String) -> Result<(), types::Error> {
        let normalizer = Normalizer::new(&settings).map_err(invalid_config)?;
        NORMALIZER.with_borrow_mut(|slot| *slot = Some(normalizer));
        Ok(())
    }

    fn process(stream: String, input: types::Batch, now_ms: u64) -> Result<transform::Output, types::Error> {
        NORMALIZER.with_borrow(|slot| {
            let normalizer = slot.as_ref().ok_or_else(|| {
                invalid_config("The transform was called before it was configured; call configure first.".to_owned())
            })?;
            let lines = memchr::memchr_iter(b'\n', &input.data).count();
            if lines != input.count as usize || input.data.last().is_some_and(|last| *last != b'\n') {
                return Err(types::Error {
                    kind: types::ErrorKind::BadData,
                    code: "no-batch".to_owned(),
                    message: format!(
                        "The batch says that it has {} lines and has {lines}; each line has to end with a line feed.",
                        input.count
                    ),
                    retry_after_ms: None,
                });
            }
            let output = normalizer.process(&stream, &input.data, now_ms).map_err(|error| types::Error {
                kind: types::ErrorKind::BadData,
                code: "unknown-stream".to_owned(),
                message: error.to_string(),
                retry_after_ms: None,
            })?;
            Ok(transform::Output {
                batch: types::Batch { count: output.events, data: output.data },
                rejects: output
                    .rejects
                    .into_iter()
                    .map(|reject| transform::Reject {
                        index: reject.index,
                        code: reject.code.to_owned(),
                        message: reject.message,
                    })
                    .collect(),
                filtered: output.filtered,
                unknown: output.unknown.into_iter().map(unknown_out).collect(),
            })
        })
    }
}

fn unknown_out(unknown: Unknown) -> transform::Unknown {
    let Unknown { kind, place, name, count, sample } = unknown;
    let kind = match kind {
        Kind::RecordType => transform::UnknownKind::RecordType,
        Kind::Operation => transform::UnknownKind::Operation,
        Kind::Field => transform::UnknownKind::Field,
        Kind::Value => transform::UnknownKind::Value,
    };
    transform::Unknown { kind, place, name, count, sample }
}

#[cfg(feature = "source")]
mod reading {
    //! The source's exports over the `http` and `log` imports.

    use std::cell::RefCell;

    use super::Component;
    use super::bindings::exports::log_pipeline::plugin::source;
    use super::bindings::log_pipeline::plugin::{http, log, types};
    use crate::call;
    use crate::driver::Reader;
    use crate::error::{Error, ErrorKind};
    use crate::settings::Settings;

    thread_local! {
        static SETTINGS: RefCell<Option<Settings>> = const { RefCell::new(None) };
    }

    fn settings() -> Result<Settings, Error> {
        SETTINGS.with_borrow(Clone::clone).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidConfig,
                "settings",
                "The source was called before it was configured; call configure first.",
            )
        })
    }

    /// Defines the conversion of error kinds in both directions: the two enums have the same cases.
    macro_rules! kinds {
        ($($kind:ident),+ $(,)?) => {
            fn kind_out(kind: ErrorKind) -> types::ErrorKind {
                match kind { $(ErrorKind::$kind => types::ErrorKind::$kind,)+ }
            }
            fn kind_in(kind: types::ErrorKind) -> ErrorKind {
                match kind { $(types::ErrorKind::$kind => ErrorKind::$kind,)+ }
            }
        };
    }
    kinds!(
        InvalidConfig,
        Unauthenticated,
        Forbidden,
        Unlicensed,
        NotFound,
        Gone,
        RateLimited,
        Unavailable,
        Timeout,
        Protocol,
        BadData,
        DeniedByHost,
        TooLarge,
        Cancelled,
        Restart,
        Internal,
    );

    fn error_out(error: Error) -> types::Error {
        types::Error {
            kind: kind_out(error.kind),
            code: error.code,
            message: error.message,
            retry_after_ms: error.retry_after_ms,
        }
    }

    fn error_in(error: types::Error) -> Error {
        Error {
            kind: kind_in(error.kind),
            code: error.code,
            message: error.message,
            retry_after_ms: error.retry_after_ms,
        }
    }

    /// The `http` import.
    pub struct HostHttp;

    impl call::Http for HostHttp {
        type Body = http::Response;

        fn send(&mut self, request: &call::Request) -> Result<(call::Head, http::Response), Error> {
            let (method, body) = match request.method {
                call::Method::Get => (http::Method::Get, None),
                call::Method::Post => (http::Method::Post, Some(Vec::new())),
            };
            let response = http::send(&http::Request {
                method,
                url: request.url.clone(),
                headers: request.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
                body,
                audience: Some(request.audience.to_owned()),
                quota: request.quota.to_owned(),
                timeout_ms: request.timeout_ms,
            })
            .map_err(error_in)?;
            Ok((call::Head { status: response.status(), headers: response.headers() }, response))
        }
    }

    impl call::Body for http::Response {
        fn read(&mut self, max: u32) -> Result<Vec<u8>, Error> {
            http::Response::read(self, max).map_err(error_in)
        }
    }

    /// The `log` import.
    struct HostLog;

    impl call::Log for HostLog {
        fn write(&mut self, stream: &str, note: call::Note) {
            let level = match note.level {
                call::Level::Debug => log::Level::Debug,
                call::Level::Info => log::Level::Info,
                call::Level::Warn => log::Level::Warn,
            };
            log::write(level, &note.message, &[("stream".to_owned(), stream.to_owned())]);
        }
    }

    fn interval(interval: crate::clock::Interval) -> types::Interval {
        types::Interval { start: interval.start, end: interval.end }
    }

    fn loss(loss: crate::driver::Loss) -> source::Loss {
        source::Loss {
            stretch: loss.stretch.map(interval),
            code: loss.code,
            message: loss.message,
            oversized: loss.oversized.map(|record| source::Oversized {
                bytes: record.bytes,
                sha256: record.sha256,
                head: record.head,
                limit_mib: record.limit_mib,
            }),
        }
    }

    fn split_out(split: crate::source::Split) -> source::Split {
        source::Split {
            id: split.id,
            stream: split.stream,
            payload: split.payload,
            arrival: split.arrival,
            expires: split.expires,
        }
    }

    fn split_in(split: source::Split) -> crate::source::Split {
        crate::source::Split {
            id: split.id,
            stream: split.stream,
            payload: split.payload,
            arrival: split.arrival,
            expires: split.expires,
        }
    }

    fn finding(finding: crate::source::Finding) -> source::Finding {
        source::Finding {
            severity: match finding.severity {
                crate::source::Severity::Ok => source::Severity::Ok,
                crate::source::Severity::Note => source::Severity::Note,
                crate::source::Severity::Failure => source::Severity::Failure,
            },
            code: finding.code,
            message: finding.message,
            mend: finding.mend,
        }
    }

    impl source::Guest for Component {
        type Reader = SplitReader;

        fn configure(settings: String) -> Result<(), types::Error> {
            let settings = Settings::parse(&settings).map_err(error_out)?;
            SETTINGS.with_borrow_mut(|slot| *slot = Some(settings));
            Ok(())
        }

        fn check(stream: String, now_ms: u64) -> Vec<source::Finding> {
            let findings = match settings() {
                Ok(settings) => crate::source::check(&settings, &mut HostHttp, &mut HostLog, &stream, now_ms),
                Err(error) => vec![crate::source::Finding::unanswered(error)],
            };
            findings.into_iter().map(finding).collect()
        }

        fn discover(stream: String, state: Option<String>, now_ms: u64) -> Result<source::Discovery, types::Error> {
            let settings = settings().map_err(error_out)?;
            let found =
                crate::source::discover(&settings, &mut HostHttp, &mut HostLog, &stream, state.as_deref(), now_ms)
                    .map_err(error_out)?;
            Ok(source::Discovery {
                splits: found.splits.into_iter().map(split_out).collect(),
                state: found.state,
                more: found.more,
                next_ms: found.next_ms,
                coverage: found.coverage.into_iter().map(interval).collect(),
                pass: found.pass,
                sealed: found.sealed,
                lost: found.lost.into_iter().map(|(stretch, reason)| (interval(stretch), reason)).collect(),
            })
        }
    }

    /// The `reader` resource.
    pub struct SplitReader(RefCell<Reader<HostHttp>>);

    impl source::GuestReader for SplitReader {
        fn open(split: source::Split, resume: Option<String>, now_ms: u64) -> Result<source::Reader, types::Error> {
            let settings = settings().map_err(error_out)?;
            let reader =
                crate::source::open(&settings, &split_in(split), resume.as_deref(), now_ms).map_err(error_out)?;
            Ok(source::Reader::new(Self(RefCell::new(reader))))
        }

        fn next(&self, max_bytes: u32) -> Result<Option<source::Chunk>, types::Error> {
            let chunk = self.0.borrow_mut().next(max_bytes, &mut HostHttp, &mut HostLog).map_err(error_out)?;
            Ok(chunk.map(|chunk| source::Chunk {
                batch: types::Batch { count: chunk.count, data: chunk.data },
                resume: chunk.resume,
                done: chunk.done,
                losses: chunk.losses.into_iter().map(loss).collect(),
            }))
        }
    }
}

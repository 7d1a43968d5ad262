//! The imports `http` and `log` of a guest, and the state of its store.
//!
//! Everything a guest says is checked here or in [`crate::http`]; nothing it says is trusted.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::StoreLimits;
use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::bindings::source::log_pipeline::plugin::{http, log, types};
use super::limits::{Activity, GuestLimits};
use crate::foreign_text::readable;
use crate::http::{Cancel, Client, Error as HttpError, ErrorKind as HttpErrorKind, Method, Request, Response};

/// An answer that a guest holds.
pub struct GuestResponse(Response);

/// How many log lines a guest may write in the life of one store.
const LOG_LINES: u32 = 10_000;
/// The longest log message or field, in characters.
const LOG_CHARACTERS: usize = 4096;
/// Bytes that one `read` hands out at most.
const READ_BYTES: usize = 1 << 20;

/// What a store holds beside the guest's memory.
pub(super) struct GuestState {
    pub(super) limits: StoreLimits,
    pub(super) activity: Arc<Activity>,
    /// The quota that the last request counted against, unless a refusal of it says nothing about others: the host slows it
    /// when the guest says that it was too fast.
    pub(super) last_quota: Option<String>,
    wasi: WasiCtx,
    table: ResourceTable,
    way_out: Option<(Client, Cancel)>,
    stream: String,
    log_lines: u32,
}

impl GuestState {
    /// A state with a way out to the network, or with none.
    pub(super) fn new(limits: &GuestLimits, way_out: Option<(Client, Cancel)>, stream: &str) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(64);
        Self {
            limits: limits.store(),
            activity: Arc::new(Activity::default()),
            last_quota: None,
            wasi: WasiCtx::builder().build(),
            table,
            way_out,
            stream: stream.to_owned(),
            log_lines: 0,
        }
    }

    /// Runs work of the host's, which doesn't count as the guest's time.
    fn on_host<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        self.activity.leave();
        let result = work(self);
        self.activity.enter();
        result
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl HasData for GuestState {
    type Data<'a> = &'a mut GuestState;
}

fn guest_error(error: HttpError) -> types::Error {
    let kind = match error.kind {
        HttpErrorKind::InvalidConfig => types::ErrorKind::InvalidConfig,
        HttpErrorKind::Unauthenticated => types::ErrorKind::Unauthenticated,
        HttpErrorKind::Forbidden => types::ErrorKind::Forbidden,
        HttpErrorKind::Unlicensed => types::ErrorKind::Unlicensed,
        HttpErrorKind::NotFound => types::ErrorKind::NotFound,
        HttpErrorKind::Gone => types::ErrorKind::Gone,
        HttpErrorKind::RateLimited => types::ErrorKind::RateLimited,
        HttpErrorKind::Unavailable => types::ErrorKind::Unavailable,
        HttpErrorKind::Timeout => types::ErrorKind::Timeout,
        HttpErrorKind::Protocol => types::ErrorKind::Protocol,
        HttpErrorKind::BadData => types::ErrorKind::BadData,
        HttpErrorKind::DeniedByHost => types::ErrorKind::DeniedByHost,
        HttpErrorKind::TooLarge => types::ErrorKind::TooLarge,
        HttpErrorKind::Cancelled => types::ErrorKind::Cancelled,
        HttpErrorKind::Restart => types::ErrorKind::Restart,
        HttpErrorKind::Internal => types::ErrorKind::Internal,
    };
    types::Error {
        kind,
        code: error.code,
        message: error.message,
        retry_after_ms: error.retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
    }
}

impl types::Host for GuestState {}

impl http::Host for GuestState {
    fn send(&mut self, request: http::Request) -> wasmtime::Result<Result<Resource<GuestResponse>, types::Error>> {
        let Some((client, cancel)) = self.way_out.clone() else {
            return Ok(Err(types::Error {
                kind: types::ErrorKind::DeniedByHost,
                code: "no-network".to_owned(),
                message: "This instance only normalises and has no way out to the network.".to_owned(),
                retry_after_ms: None,
            }));
        };
        // Starting something has a limit of its own, and its pause concerns nothing else.
        let apart = matches!(request.method, http::Method::Post);
        self.last_quota = (!apart).then(|| request.quota.clone());
        let answer = self.on_host(|_| {
            let request = Request {
                method: match request.method {
                    http::Method::Get => Method::Get,
                    http::Method::Post => Method::Post,
                },
                url: request.url,
                headers: request.headers,
                body: request.body,
                audience: request.audience,
                quota: request.quota,
                timeout: Duration::from_millis(u64::from(request.timeout_ms)),
                apart,
            };
            client.send(request, &cancel)
        });
        match answer {
            Ok(response) => Ok(Ok(self.table.push(GuestResponse(response))?)),
            Err(error) => Ok(Err(guest_error(error))),
        }
    }
}

impl http::HostResponse for GuestState {
    fn status(&mut self, response: Resource<GuestResponse>) -> wasmtime::Result<u16> {
        Ok(self.table.get(&response)?.0.status)
    }

    fn headers(&mut self, response: Resource<GuestResponse>) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.table.get(&response)?.0.headers.clone())
    }

    fn read(&mut self, response: Resource<GuestResponse>, max: u32) -> wasmtime::Result<Result<Vec<u8>, types::Error>> {
        let wanted = if max == 0 { READ_BYTES } else { (max as usize).min(READ_BYTES) };
        self.activity.leave();
        let body = self.table.get_mut(&response)?.0.read(wanted);
        self.activity.enter();
        Ok(body.map_err(guest_error))
    }

    fn drop(&mut self, response: Resource<GuestResponse>) -> wasmtime::Result<()> {
        self.table.delete(response)?;
        Ok(())
    }
}

impl log::Host for GuestState {
    fn write(&mut self, level: log::Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        self.log_lines += 1;
        if self.log_lines > LOG_LINES {
            return Ok(());
        }
        let message = printable(&message);
        let mut extra = String::new();
        // The host says the stream itself.
        for (name, value) in fields.iter().filter(|(name, _)| name != "stream").take(16) {
            extra.push(' ');
            extra.push_str(&printable(name));
            extra.push('=');
            extra.push_str(&printable(value));
        }
        let stream = self.stream.as_str();
        match level {
            log::Level::Trace => tracing::trace!(target: "plugin", stream, "{message}{extra}"),
            log::Level::Debug => tracing::debug!(target: "plugin", stream, "{message}{extra}"),
            log::Level::Info => tracing::info!(target: "plugin", stream, "{message}{extra}"),
            log::Level::Warn => tracing::warn!(target: "plugin", stream, "{message}{extra}"),
            log::Level::Error => tracing::error!(target: "plugin", stream, "{message}{extra}"),
        }
        if self.log_lines == LOG_LINES {
            tracing::warn!(target: "plugin", stream, "The plugin writes too many log lines; further ones are dropped.");
        }
        Ok(())
    }
}

/// A guest's text as it may stand in the log.
fn printable(text: &str) -> String {
    readable(text, LOG_CHARACTERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_cannot_forge_log_lines() {
        assert_eq!(printable("a\nERROR b\u{1b}[31m"), "a ERROR b\\u{1b}[31m");
        assert!(printable(&"x".repeat(10_000)).len() < 5000);
    }

    #[test]
    fn a_guest_without_a_way_out_is_told_so() {
        let mut state = GuestState::new(&GuestLimits::default(), None, "");
        let request = http::Request {
            method: http::Method::Get,
            url: "https://example.com/".to_owned(),
            headers: Vec::new(),
            body: None,
            audience: None,
            quota: "q".to_owned(),
            timeout_ms: 0,
        };
        let answer = http::Host::send(&mut state, request).unwrap();
        assert!(matches!(answer, Err(error) if error.kind == types::ErrorKind::DeniedByHost));
    }
}

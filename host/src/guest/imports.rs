//! The imports `http` and `log` of a guest, and the state of its store.
//!
//! Everything a guest says is checked here or in [`crate::http`]; nothing it says is trusted.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::bindings::source::log_pipeline::plugin::{http, log, types};
use super::bounds::{
    BODY_BYTES, HANDLES, HEADER_BYTES, HEADERS, LOG_BYTES, LOG_FIELDS, READ_BYTES, REFUSED_REQUESTS, REQUESTS,
    URL_BYTES, WORD_BYTES,
};
use super::limits::{Activity, GuestLimits, Room, Stopped};
use super::lines::Lines;
use crate::foreign_text::readable;
use crate::http::{Cancel, Client, Error as HttpError, ErrorKind as HttpErrorKind, Method, Request, Response};

/// An answer that a guest holds.
pub struct GuestResponse(Response);

/// What a store holds beside the guest's memory.
pub(super) struct GuestState {
    pub(super) room: Room,
    pub(super) activity: Arc<Activity>,
    /// The quota that the last request counted against, unless a refusal of it says nothing about others: the host slows it
    /// when the guest says that it was too fast.
    pub(super) last_quota: Option<String>,
    /// Whether our own quota held back the last request.
    pub(super) held_back: bool,
    time: Duration,
    wasi: WasiCtx,
    table: ResourceTable,
    way_out: Option<(Client, Cancel)>,
    stream: String,
    lines: Arc<Lines>,
    /// Requests of this call, and those of them that were refused before they were sent.
    requests: u32,
    refused: u32,
}

/// How long a guest may go on computing when the run ends.
const GRACE: Duration = Duration::from_secs(2);

impl GuestState {
    /// A state with a way out to the network, or with none.
    pub(super) fn new(
        limits: &GuestLimits,
        way_out: Option<(Client, Cancel)>,
        stream: &str,
        lines: Arc<Lines>,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        Self {
            room: Room::new(limits),
            activity: Arc::new(Activity::default()),
            last_quota: None,
            held_back: false,
            time: limits.time,
            wasi: super::wasi::context(),
            table,
            way_out,
            stream: stream.to_owned(),
            lines,
            requests: 0,
            refused: 0,
        }
    }

    /// A call begins.
    pub(super) fn begin(&mut self) {
        (self.requests, self.refused) = (0, 0);
        self.activity.begin();
    }

    /// The stream that the next call is about, for the guest's log lines.
    pub(super) fn is_for(&mut self, stream: &str) {
        if self.stream != stream {
            stream.clone_into(&mut self.stream);
        }
    }

    /// Whether the run that it works for is ending.
    pub(super) fn is_ending(&self) -> bool {
        self.way_out.as_ref().is_some_and(|(_, cancel)| cancel.is_cancelled())
    }

    /// Stops a guest that has used up the time of its call, or goes on after the run has ended. `stopped` says what it did.
    pub(super) fn check_time(&self, stopped: fn(Duration) -> Stopped) -> wasmtime::Result<()> {
        let spent = self.activity.spent();
        if spent > self.time {
            Err(stopped(self.time).into())
        } else if self.is_ending() && spent > GRACE {
            Err(Stopped::Ended.into())
        } else {
            Ok(())
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
        self.requests += 1;
        if self.requests > REQUESTS {
            return Err(wasmtime::Error::msg(format!("it sent more than {REQUESTS} requests in one call")));
        }
        if let Err(refused) = within_bounds(&request) {
            self.count_refused()?;
            return Ok(Err(refused));
        }
        // Starting something has a limit of its own, and its pause concerns nothing else.
        let apart = matches!(request.method, http::Method::Post);
        self.last_quota = (!apart).then(|| request.quota.clone());
        self.held_back = false;
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
            Err(error) => {
                if error.kind == HttpErrorKind::DeniedByHost {
                    self.count_refused()?;
                }
                self.held_back = error.kind == HttpErrorKind::RateLimited && error.code == OWN_QUOTA;
                Ok(Err(guest_error(error)))
            }
        }
    }
}

impl GuestState {
    /// Each refused request is told, so a guest that goes on after many of them is stopped.
    fn count_refused(&mut self) -> wasmtime::Result<()> {
        self.refused += 1;
        if self.refused > REFUSED_REQUESTS {
            return Err(wasmtime::Error::msg(format!(
                "it sent more than {REFUSED_REQUESTS} requests in one call that the host refuses"
            )));
        }
        Ok(())
    }
}

/// The code of the error with which our own quota holds a request back.
pub(super) const OWN_QUOTA: &str = "quota";

/// Refuses a request that is larger than any that makes sense, before anything is done with it.
fn within_bounds(request: &http::Request) -> Result<(), types::Error> {
    let headers: usize = request.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let audience = request.audience.as_ref().map_or(0, String::len);
    let bounds = [
        ("its URL in bytes", request.url.len(), URL_BYTES),
        ("the number of its headers", request.headers.len(), HEADERS),
        ("its headers in bytes", headers, HEADER_BYTES),
        ("its body in bytes", request.body.as_ref().map_or(0, Vec::len), BODY_BYTES),
        ("the name of its audience in bytes", audience, WORD_BYTES),
        ("the name of its quota in bytes", request.quota.len(), WORD_BYTES),
    ];
    match bounds.into_iter().find(|(_, size, most)| size > most) {
        None => Ok(()),
        Some((what, size, most)) => Err(types::Error {
            kind: types::ErrorKind::TooLarge,
            code: "request-too-large".to_owned(),
            message: format!("The host refused a request and sent nothing: {what} is {size}, and {most} at most."),
            retry_after_ms: None,
        }),
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
        let wanted = match level {
            log::Level::Trace => tracing::enabled!(target: "plugin", tracing::Level::TRACE),
            log::Level::Debug => tracing::enabled!(target: "plugin", tracing::Level::DEBUG),
            log::Level::Info => tracing::enabled!(target: "plugin", tracing::Level::INFO),
            log::Level::Warn => tracing::enabled!(target: "plugin", tracing::Level::WARN),
            log::Level::Error => tracing::enabled!(target: "plugin", tracing::Level::ERROR),
        };
        // The host says the stream itself.
        let fields: Vec<&(String, String)> =
            fields.iter().filter(|(name, _)| name != "stream").take(LOG_FIELDS).collect();
        let bytes = fields.iter().map(|(name, value)| name.len().min(WORD_BYTES) + value.len().min(LOG_BYTES / 4));
        let bytes = message.len().min(LOG_BYTES) + bytes.sum::<usize>();
        // First, since a line that is dropped is to cost nothing.
        if !wanted || !self.lines.allow(&self.stream, bytes) {
            return Ok(());
        }
        let mut line = readable(&message, LOG_BYTES);
        for (name, value) in fields {
            line.push(' ');
            line.push_str(&readable(name, WORD_BYTES));
            line.push('=');
            line.push_str(&readable(value, LOG_BYTES / 4));
        }
        let stream = self.stream.as_str();
        match level {
            log::Level::Trace => tracing::trace!(target: "plugin", stream, "{line}"),
            log::Level::Debug => tracing::debug!(target: "plugin", stream, "{line}"),
            log::Level::Info => tracing::info!(target: "plugin", stream, "{line}"),
            log::Level::Warn => tracing::warn!(target: "plugin", stream, "{line}"),
            log::Level::Error => tracing::error!(target: "plugin", stream, "{line}"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> GuestState {
        GuestState::new(&GuestLimits::default(), None, "", Arc::new(Lines::new("Lines")))
    }

    fn request() -> http::Request {
        http::Request {
            method: http::Method::Get,
            url: "https://example.com/".to_owned(),
            headers: Vec::new(),
            body: None,
            audience: None,
            quota: "q".to_owned(),
            timeout_ms: 0,
        }
    }

    #[test]
    fn a_guest_without_a_way_out_is_told_so() {
        let answer = http::Host::send(&mut state(), request()).unwrap();
        assert!(matches!(answer, Err(error) if error.kind == types::ErrorKind::DeniedByHost));
    }

    #[test]
    fn a_request_beyond_any_bound_is_refused() {
        assert!(within_bounds(&request()).is_ok());
        let pair = |bytes: usize| ("x".to_owned(), "v".repeat(bytes));
        for request in [
            http::Request { url: "u".repeat(URL_BYTES + 1), ..request() },
            http::Request { headers: vec![pair(1); HEADERS + 1], ..request() },
            http::Request { headers: vec![pair(HEADER_BYTES)], ..request() },
            http::Request { body: Some(vec![0; BODY_BYTES + 1]), ..request() },
            http::Request { audience: Some("a".repeat(WORD_BYTES + 1)), ..request() },
            http::Request { quota: "q".repeat(WORD_BYTES + 1), ..request() },
        ] {
            let refused = within_bounds(&request).unwrap_err();
            assert_eq!(refused.code, "request-too-large");
            assert!(refused.message.len() < 200);
        }
    }
}

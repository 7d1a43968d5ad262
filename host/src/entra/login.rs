//! Exchanges with the login host, transient faults retried.
//!
//! Invariant: a permanent refusal is never repeated here, and no exchange lasts longer than its retries allow.

use std::sync::Arc;
use std::time::Duration;

use url::Url;
use zeroize::Zeroizing;

use super::clock::Clock;
use super::errors::{Again, Subject, explain};
use crate::http::{
    Allow, Backoff, Cancel, Client, Config, Error, ErrorKind, Method, QuotaRule, Request, Response, Transport,
};

const QUOTA: &str = "login";
/// Answers of the login host are a few KiB long.
const MAX_BODY_BYTES: usize = 1 << 20;
/// How often one exchange is tried, and the pause after the first failure, which doubles.
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A longer pause than this isn't sat out: the caller is told when to come back.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A way to the login host of one cloud.
pub(super) struct Login {
    client: Client,
    root: Url,
    clock: Arc<dyn Clock>,
    cancel: Cancel,
}

impl Login {
    pub(super) fn new(
        root: &Url,
        mut transport: Transport,
        clock: Arc<dyn Clock>,
        cancel: Cancel,
    ) -> Result<Self, Error> {
        transport.max_body_bytes = MAX_BODY_BYTES as u64;
        transport.timeouts.whole = transport.timeouts.whole.min(Duration::from_secs(60));
        let mut config = Config::new(transport);
        config.allow = vec![Allow::origin_of(None, root)];
        config.quotas = vec![QuotaRule { name: QUOTA.to_owned(), requests: 60, per: Duration::from_secs(60) }];
        config.backoff = Backoff { base: FIRST_PAUSE, max: Duration::from_secs(120), ..Backoff::default() };
        config.max_hold = LONGEST_PAUSE;
        Ok(Self { client: Client::new(config)?, root: root.clone(), clock, cancel })
    }

    /// By how many milliseconds the believed time of the login host is ahead of this machine's clock.
    pub(super) fn clock_ahead_ms(&self) -> i64 {
        self.client.clock_ahead_ms(None)
    }

    /// Whether its answers contradict this machine's clock, and more are needed to know which is right.
    pub(super) fn clock_in_doubt(&self) -> bool {
        self.client.clock_in_doubt(None)
    }

    /// GETs the JSON at the path below the root.
    pub(super) fn get(&self, path: &[&str], subject: &Subject) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.exchange(&Request::get(self.url(path)?, None, QUOTA), subject)
    }

    /// POSTs a form to the path below the root and takes the JSON that comes back.
    pub(super) fn post(
        &self,
        path: &[&str],
        form: &[(&str, &str)],
        subject: &Subject,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = Request {
            method: Method::Post,
            headers: vec![
                ("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()),
                ("accept".to_owned(), "application/json".to_owned()),
            ],
            body: Some(body.into_bytes()),
            ..Request::get(self.url(path)?, None, QUOTA)
        };
        self.exchange(&request, subject)
    }

    fn url(&self, path: &[&str]) -> Result<String, Error> {
        let mut url = self.root.clone();
        url.path_segments_mut()
            .map_err(|()| Error::new(ErrorKind::InvalidConfig, "login", "The login address can't have a path."))?
            .pop_if_empty()
            .extend(path);
        Ok(url.into())
    }

    fn exchange(&self, request: &Request, subject: &Subject) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut pause = FIRST_PAUSE;
        for left in (0..TRIES).rev() {
            let (error, again) = match self.attempt(request, subject) {
                Ok(body) => return Ok(body),
                Err(failed) => failed,
            };
            let wait = error.retry_after.unwrap_or(pause + pause.mul_f64(fastrand::f64() / 2.0));
            if left == 0 || !matches!(again, Again::Soon | Again::Throttled) || wait > LONGEST_PAUSE {
                return Err(error);
            }
            tracing::debug!(code = error.code, wait_ms = wait.as_millis(), "login failed for now, trying again");
            self.clock.wait(wait, &self.cancel)?;
            pause *= 2;
        }
        // `TRIES` is above zero and the last round returns.
        Err(Error::new(ErrorKind::Internal, "login", "The login was not tried."))
    }

    fn attempt(&self, request: &Request, subject: &Subject) -> Result<Zeroizing<Vec<u8>>, (Error, Again)> {
        let transport = |error: Error| {
            let again = match error.kind {
                ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Protocol => Again::Soon,
                ErrorKind::RateLimited => Again::Throttled,
                _ => Again::AfterMending,
            };
            (error, again)
        };
        let mut response: Response = self.client.send(request.clone(), &self.cancel).map_err(transport)?;
        let body = Zeroizing::new(response.read_all(MAX_BODY_BYTES).map_err(transport)?);
        match response.status {
            200 => Ok(body),
            status => Err(explain(status, &body, response.retry_after, subject)),
        }
    }
}

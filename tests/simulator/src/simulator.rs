//! A running simulator: start it, ask what it holds and what it served, stop it.
//!
//! Invariant: it lives on threads of its own and ends with [`Simulator::stop`] or when it is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, net};

use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::catalogue::{Shelf, shelves};
use crate::clock::{Clock, TICKS_PER_MS};
use crate::kit::verdict::{Verdict, judge};
use crate::options::Options;
use crate::server::{Tenant, serve};
use crate::streams::position;
use crate::tally::{RequestLine, Served, Traffic};
use crate::tenant::{CLIENT_ID, CLIENT_SECRET, DOMAIN, TENANT_ID};
use crate::tls::Tls;

/// A simulated tenant that listens on a loopback address.
pub struct Simulator {
    tenant: Arc<Tenant>,
    ca_pem: Option<String>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Simulator {
    /// Makes the tenant and begins to serve it; returns when it listens.
    ///
    /// # Errors
    /// When the address cannot be listened on, the corpus cannot be read, or a stream name is unknown.
    pub fn start(options: Options) -> io::Result<Self> {
        let clock = Clock::starting_at(options.now, options.speed);
        let shelves = shelves(&options, clock.base())?;
        let listener = net::TcpListener::bind(options.listen)?;
        listener.set_nonblocking(true)?;
        let strangers = net::TcpListener::bind("127.0.0.1:0")?;
        strangers.set_nonblocking(true)?;
        let tls = Tls::of(&options)?;
        let ca_pem = tls.as_ref().map(|tls| tls.ca_pem().to_owned());
        let scheme = if tls.is_some() { "https" } else { "http" };
        let decoy = format!("{scheme}://{}", strangers.local_addr()?);
        let url = format!("{scheme}://{}", listener.local_addr()?);
        let workers = options.workers.max(1);
        let tenant = Arc::new(Tenant::new(options, url, decoy, clock, shelves));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .thread_name("m365-sim")
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&tenant);
        let (listener, strangers) = {
            let _entered = runtime.enter();
            (tokio::net::TcpListener::from_std(listener)?, tokio::net::TcpListener::from_std(strangers)?)
        };
        let thread = std::thread::Builder::new().name("m365-sim".to_owned()).spawn(move || {
            runtime.block_on(serve(served, tls, listener, strangers, stopped));
            runtime.shutdown_background();
        })?;
        Ok(Self { tenant, ca_pem, stop: Some(stop), thread: Some(thread) })
    }

    /// Root of everything, such as `http://127.0.0.1:40123`, or the same with `https`. Login is below `/login`, the Management Activity API below `/manage`, Graph
    /// below `/graph`: these replace `https://login.microsoftonline.com`, `https://manage.office.com` and `https://graph.microsoft.com`.
    #[must_use]
    pub fn url(&self) -> String {
        self.tenant.url.clone()
    }

    /// The certificate that a client has to trust, in PEM, if the tenant is served over TLS.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Directory (tenant) id, a GUID: [`TENANT_ID`].
    #[must_use]
    pub fn tenant_id(&self) -> &str {
        TENANT_ID
    }

    /// Domain that names the tenant at the login: [`DOMAIN`]. `contoso.com` does, too.
    #[must_use]
    pub fn domain(&self) -> &str {
        DOMAIN
    }

    /// Application (client) id of the collector: [`CLIENT_ID`].
    #[must_use]
    pub fn client_id(&self) -> &str {
        CLIENT_ID
    }

    /// Client secret of the collector: [`CLIENT_SECRET`]. Tests look for it where it must not be.
    #[must_use]
    pub fn client_secret(&self) -> &str {
        CLIENT_SECRET
    }

    /// What has been sent so far, by stream.
    #[must_use]
    pub fn served(&self) -> BTreeMap<String, Served> {
        self.tenant.tally.served()
    }

    /// What has gone over all connections so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.tenant.tally.traffic()
    }

    /// Distinct, well-formed records that the tenant has, by stream, also those that have not arrived yet.
    #[must_use]
    pub fn holds(&self) -> BTreeMap<String, u64> {
        self.tenant.shelves.iter().map(|shelf| (shelf.stream.name.to_owned(), shelf.len as u64)).collect()
    }

    /// Elements of `office365.general` blobs that are no records: a text and a null when there are 500 events or more, else none.
    #[must_use]
    pub fn broken(&self) -> u64 {
        self.tenant.shelves.iter().map(|shelf| shelf.broken as u64).sum()
    }

    /// SHA-256 of each distinct, well-formed record's bytes; empty for an unknown stream. Takes about as long as serving them.
    #[must_use]
    pub fn record_hashes(&self, stream: &str) -> BTreeSet<[u8; 32]> {
        self.records(stream).map(|record| Sha256::digest(record).into()).collect()
    }

    /// The bytes of each distinct, well-formed record of a stream, made as they are asked for.
    pub fn records(&self, stream: &str) -> impl Iterator<Item = Vec<u8>> {
        let shelf: Option<&Shelf> = position(stream).map(|at| &self.tenant.shelves[at]);
        (0..shelf.map_or(0, |shelf| shelf.len)).map(move |index| {
            let mut record = Vec::new();
            if let Some(shelf) = shelf {
                shelf.render(index, &mut record);
            }
            record
        })
    }

    /// All requests so far with their answers, oldest first (the first 250,000 of them).
    #[must_use]
    pub fn requests(&self) -> Vec<RequestLine> {
        self.tenant.tally.requests()
    }

    /// The rules of the APIs that the client has broken, each a sentence with the request. A well-behaved client leaves this empty.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.tenant.tally.violations().into_iter().map(|(request, rule)| format!("{request}: {rule}")).collect()
    }

    /// The simulated time, in epoch milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.tenant.clock.now() / TICKS_PER_MS
    }

    /// Lets simulated time pass at once. A collector that runs meanwhile doesn't see it: give the next one
    /// [`Simulator::clock_setting`].
    pub fn advance(&self, time: Duration) {
        self.tenant.clock.advance(time);
    }

    /// Lets simulated time pass at once until so long after the start; does nothing if it is later already.
    pub fn advance_to(&self, since_start: Duration) {
        self.advance(since_start.saturating_sub(self.tenant.clock.since_start()));
    }

    /// The value of `M365_PIPE_TEST_CLOCK` for a collector: `SIMULATED_MS@REAL_MS*SPEED`. At the real time `REAL_MS` (epoch
    /// milliseconds) the simulated time was `SIMULATED_MS`, and it passes `SPEED` times as fast.
    #[must_use]
    pub fn clock_setting(&self) -> String {
        self.tenant.clock.setting(self.tenant.options.misbehaviour.identity.collector_ahead_ms)
    }

    /// What the kit has to say about the collector so far. With `outputs`, files of NDJSON lines that it wrote, they are
    /// compared with what the tenant has; without, the requests alone are judged. Takes about as long as serving everything.
    #[must_use]
    pub fn verdict(&self, outputs: &[PathBuf]) -> Verdict {
        judge(&self.tenant, outputs)
    }

    /// Stops serving, cuts open connections, and waits until that is done.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.end();
    }
}

//! From streams to sinks: discovery, reading, deduplication, normalising, delivery, commit.
//!
//! One thread per stream discovers; a few threads per audience read splits; one thread delivers and commits. The
//! invariant is the order of the last step: sinks confirm first, then the ledger commits, and only then are a record's
//! key and a split's progress remembered. Everything before it may happen again.

mod budget;
mod dedup;
mod delivery;
mod discovery;
mod reading;
mod status;
mod transformer;
mod work;

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::guest::{Plugin, StreamDescription};
use crate::http::{Cancel, Client};
use crate::ledger::{Counts, Ledger, LedgerError};
use crate::sinks::{Sink, SinkError};

pub use status::{StreamState, StreamStatus};
pub use transformer::Transformer;

use budget::Budget;
use dedup::InFlight;
use status::Board;
use work::Queue;

/// What a run needs.
pub struct Run {
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// The settings for the plugin, as JSON text.
    pub settings: String,
    /// The streams to collect.
    pub streams: Vec<StreamDescription>,
    /// The way out, shared by all instances.
    pub client: Client,
    /// The durable store.
    pub ledger: Arc<Ledger>,
    /// Where to deliver.
    pub sinks: Vec<Box<dyn Sink>>,
    /// Readers for each audience.
    pub readers: usize,
    /// Bytes of records that a reader hands on at a time.
    pub batch_bytes: u32,
    /// Bytes that may wait for the sinks.
    pub in_flight_bytes: usize,
    /// For how long on the arrival clock keys are remembered.
    pub remember: Duration,
    /// Whether to end once everything there is has been read.
    pub until_caught_up: bool,
    /// Set by a signal, or by the run itself when it ends.
    pub cancel: Cancel,
}

/// Why a run ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A sink failed for good, or for too long for a run that should end.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The operating system gave no further thread.
    #[error("No further thread could be started: {0}. Lower `limits.readers`, or raise the limit on processes.")]
    Thread(std::io::Error),
}

/// What a run did, by stream.
pub type Summary = BTreeMap<String, (Counts, StreamStatus)>;

/// What the threads share.
struct Shared {
    plugin: Arc<Plugin>,
    settings: String,
    client: Client,
    ledger: Arc<Ledger>,
    queue: Queue,
    in_flight: InFlight,
    budget: Budget,
    board: Board,
    batch_bytes: u32,
    remember: Duration,
    until_caught_up: bool,
    cancel: Cancel,
    wants_events: bool,
    wants_raw: bool,
    streams: BTreeMap<String, StreamDescription>,
    failure: Mutex<Option<RunError>>,
}

impl Shared {
    /// Ends the run with an error; the first one is told.
    fn fail(&self, error: RunError) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.is_none() {
            *failure = Some(error);
        }
        drop(failure);
        self.cancel.cancel();
    }
}

/// Milliseconds since 1970, by this machine's clock.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// Collects until it is cancelled, has caught up (if asked to), or fails. What was delivered by then is committed.
///
/// # Errors
/// If a sink or the ledger fails for good. One stream's failure is no error: it is in the summary.
pub fn run(run: Run) -> Result<Summary, RunError> {
    let names: Vec<String> = run.streams.iter().map(|stream| stream.name.clone()).collect();
    let mut sinks = run.sinks;
    for sink in &mut sinks {
        sink.resume(run.ledger.position(sink.name())?)?;
        // Where a new sink starts is committed before anything is written to it: otherwise a crash before the first
        // commit would leave a tail that nobody knows to be one.
        if let Some(start) = sink.confirm()? {
            run.ledger.commit(&[], &[(sink.name().to_owned(), start)], now_ms())?;
        }
    }
    let wants = |format| sinks.iter().any(|sink| sink.format() == format);
    let shared = Arc::new(Shared {
        plugin: run.plugin,
        settings: run.settings,
        client: run.client,
        queue: Queue::default(),
        in_flight: InFlight::default(),
        budget: Budget::new(run.in_flight_bytes),
        board: Board::new(&names),
        batch_bytes: run.batch_bytes,
        remember: run.remember,
        until_caught_up: run.until_caught_up,
        cancel: run.cancel,
        wants_events: wants(crate::config::SinkFormat::Ocsf),
        wants_raw: wants(crate::config::SinkFormat::Raw),
        streams: run.streams.iter().map(|stream| (stream.name.clone(), stream.clone())).collect(),
        ledger: run.ledger,
        failure: Mutex::new(None),
    });
    for pending in shared.ledger.pending(&names)? {
        shared.queue.add(pending);
    }

    let (deliveries, inbox) = mpsc::channel();
    let mut threads = Vec::new();
    let mut start = |name: String, work: Box<dyn FnOnce() + Send>| -> Result<(), RunError> {
        let guard = ThreadGuard(shared.clone());
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || {
                let guard = guard;
                work();
                drop(guard);
            })
            .map_err(RunError::Thread)?;
        threads.push(thread);
        Ok(())
    };
    let started = (|| {
        for stream in &names {
            let (shared, stream) = (shared.clone(), stream.clone());
            start(format!("discover {stream}"), Box::new(move || discovery::run(&shared, &stream)))?;
        }
        let mut audiences: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for stream in shared.streams.values() {
            audiences.entry(&stream.audience).or_default().push(stream.name.clone());
        }
        for streams in audiences.into_values() {
            for number in 0..run.readers.max(1) {
                let (shared, streams, deliveries) = (shared.clone(), streams.clone(), deliveries.clone());
                start(format!("read {number}"), Box::new(move || reading::run(&shared, &streams, &deliveries)))?;
            }
        }
        let shared = shared.clone();
        start("deliver".to_owned(), Box::new(move || delivery::run(&shared, sinks, &inbox)))
    })();
    drop(deliveries);
    if let Err(error) = started {
        shared.fail(error);
    }

    while !shared.cancel.is_cancelled() {
        if shared.until_caught_up && shared.board.all_settled(&shared.queue) {
            break;
        }
        // A cancelled wait ends the loop above.
        let _ = shared.cancel.wait(Duration::from_millis(10));
    }
    shared.cancel.cancel();
    // Reads that wait for bytes end at once, and so do readers that wait for work or for room.
    shared.client.shutdown();
    shared.queue.wake();
    shared.budget.wake();
    for thread in threads {
        // A panic was reported by the guard of the thread.
        let _ = thread.join();
    }
    let failure = shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
    match failure {
        Some(error) => Err(error),
        None => Ok(shared.board.summary(&shared.queue)),
    }
}

/// Ends the run when a thread panics: half a collector that looks alive is worse than none.
struct ThreadGuard(Arc<Shared>);

impl Drop for ThreadGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(RunError::Thread(std::io::Error::other("a thread of the pipeline panicked; please report it")));
            self.0.queue.wake();
            self.0.budget.wake();
        }
    }
}

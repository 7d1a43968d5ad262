//! From streams to sinks: discovery, reading, deduplication, normalising, delivery, commit.
//!
//! One thread per stream discovers; a few threads per audience read splits; one thread delivers and commits. The
//! invariant is the order of the last step: sinks confirm first, then the ledger commits, and only then are a record's
//! key and a split's progress remembered. Everything before it may happen again.

mod budget;
mod dedup;
mod delivery;
mod discovery;
mod drift;
mod failures;
mod gap_events;
mod missing;
mod outputs;
mod patience;
mod pool;
mod reading;
mod replay;
mod status;
mod transformer;
mod troubles;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::guest::{Discovery, GuestError, LoadError, Plugin, StreamDescription};
use crate::http::{Cancel, Client};
use crate::ledger::{Counts, Horizon, Ledger, LedgerError};
use crate::sinks::{Interrupter, Output, SinkError};

pub use crate::clock::now_ms;
pub use replay::{Replay, ReplaySummary};
pub use status::{StreamState, StreamStatus};
pub use transformer::Transformer;
pub use work::HeldPieces;

use budget::Budget;
use dedup::InFlight;
use failures::{Class, Failure};
use missing::Claims;
use outputs::Outputs;
use patience::Patience;
use pool::Pool;
use status::Board;
use troubles::{Report, Spot, Troubles, What};
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
    pub sinks: Vec<Output>,
    /// Loads the plugin once more, so that it can be interrupted: for splits during which it hung before.
    pub interruptible: LoadAgain,
    /// Readers for each audience.
    pub readers: usize,
    /// Bytes of records that a reader hands on at a time.
    pub batch_bytes: u32,
    /// Bytes that may wait for the sinks.
    pub in_flight_bytes: usize,
    /// For how long on the arrival clock keys are remembered.
    pub remember: Duration,
    /// The tenant's GUID, if declared gaps are to be delivered as events.
    pub gap_events: Option<String>,
    /// Whether to end once everything there is has been read.
    pub until_caught_up: bool,
    /// Set by a signal, or by the run itself when it ends.
    pub cancel: Cancel,
}

/// Loads a plugin, when it is needed.
pub type LoadAgain = Box<dyn Fn() -> Result<Arc<Plugin>, LoadError> + Send + Sync>;

/// So often in a row a token may be refused, each time a new one, before somebody is called: some seconds in sum.
const REFUSALS: u32 = 4;
/// For how long a run that is asked to end finishes what is in flight. What isn't finished by then is rolled back, which
/// the ledger makes safe.
const GRACE: Duration = Duration::from_secs(4);
/// How long after that it waits for threads that are stuck, before it leaves them behind.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Why a run ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A sink failed for good, or for too long for a run that should end.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The plugin failed on a whole batch of dead letters.
    #[error(transparent)]
    Transform(GuestError),
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
    /// About one for each core, since normalising only computes; readers mostly wait for the network, and there are more of them.
    transformers: Pool<Transformer>,
    client: Client,
    ledger: Arc<Ledger>,
    queue: Queue,
    in_flight: InFlight,
    budget: Budget,
    board: Board,
    claims: Claims,
    troubles: Troubles,
    /// Up to where each stream was listed, and for how long the service keeps what it lists.
    horizons: Mutex<BTreeMap<String, Horizon>>,
    batch_bytes: u32,
    remember: Duration,
    gap_events: Option<String>,
    until_caught_up: bool,
    cancel: Cancel,
    patience: Patience,
    /// The streams that a sink wants as events, and as raw records.
    wants_events: BTreeSet<String>,
    wants_raw: BTreeSet<String>,
    /// Splits during which the plugin hung before: stream and id.
    suspects: BTreeSet<(String, String)>,
    interruptible: LoadAgain,
    careful: OnceLock<Arc<Plugin>>,
    streams: BTreeMap<String, StreamDescription>,
    failure: Mutex<Option<RunError>>,
}

impl Shared {
    /// What time it is at the service of a stream, in milliseconds since 1970, as far as several answers agree: what the
    /// plugin goes by, so that no window reaches into the service's future, whatever this machine's clock says.
    fn service_ms(&self, stream: &str) -> u64 {
        self.client.now_ms(self.streams.get(stream).map(|described| described.audience.as_str()))
    }

    /// Whether what that service says of the time isn't believed yet, and contradicts this machine's clock.
    fn clock_in_doubt(&self, stream: &str) -> bool {
        self.client.clock_in_doubt(self.streams.get(stream).map(|described| described.audience.as_str()))
    }

    /// What a failure means for an item of a stream that failed so often before.
    fn class(&self, stream: &str, error: &Failure, failures: u32) -> Class {
        let audience = self.streams.get(stream).map(|described| described.audience.as_str());
        match error.class() {
            // Longer than most new tokens need to get around, and short for whoever has to mend something.
            Class::Blocked
                if error.may_be_the_token() && failures < REFUSALS && self.client.refusal_may_pass(audience) =>
            {
                Class::Retry { slow: None, quota: None }
            }
            class => class,
        }
    }

    /// Ends the run with an error; the first one is told.
    fn fail(&self, error: RunError) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.is_none() {
            *failure = Some(error);
        }
        drop(failure);
        self.cancel.cancel();
    }

    /// Takes up a failure, to be told with others of its cause.
    fn report(&self, stream: &str, what: What, part: Spot, error: &Failure, retry_in: Option<Duration>) {
        // What is tried again isn't for anybody to mend yet.
        let level = match what {
            What::Failing if error.class() == Class::Blocked => tracing::Level::WARN,
            _ => error.level(),
        };
        self.report_as(stream, what, part, (level, error.code(), &error.to_string()), retry_in);
    }

    /// Takes up something that somebody has to know of, by its code and its sentence.
    fn report_sentence(&self, stream: &str, what: What, part: Spot, (code, sentence): (&str, &str)) {
        self.report_as(stream, what, part, (tracing::Level::ERROR, code, sentence), None);
    }

    fn report_as(
        &self,
        stream: &str,
        what: What,
        part: Spot,
        (level, code, sentence): (tracing::Level, &str, &str),
        retry_in: Option<Duration>,
    ) {
        let described = self.streams.get(stream);
        let names = described.map_or_else(Vec::new, |described| {
            let names = [&described.name, &described.title, &described.api, &described.audience];
            names.map(String::as_str).to_vec()
        });
        let lost_from = self.lost_from(stream, &part);
        let service_now = self.service_ms(stream);
        let names = &names;
        self.troubles.report(Report {
            what,
            stream,
            part,
            level,
            code,
            sentence,
            names,
            retry_in,
            lost_from,
            service_now,
        });
    }

    /// When data of a stream are lost if nothing changes, by the services' clock, if that is known: when the first piece that
    /// waits expires, or what was never listed.
    fn lost_from(&self, stream: &str, part: &Spot) -> Option<u64> {
        let unlisted = || {
            let horizon = self.horizons().get(stream).copied()?;
            Some(horizon.listed?.saturating_add(horizon.reach?))
        };
        let unlisted = if matches!(part, Spot::Piece(_)) { None } else { unlisted() };
        self.queue.first_expiry(stream).into_iter().chain(unlisted).min()
    }

    /// Takes up what a discovery says of the stream's life.
    fn learnt(&self, stream: &str, found: &Discovery) {
        let mut horizons = self.horizons();
        let horizon = horizons.entry(stream.to_owned()).or_default();
        horizon.listed = found.coverage.iter().map(|interval| interval.end).chain(horizon.listed).max();
        let kept = |split: &crate::guest::Split| Some(split.expires?.saturating_sub(split.arrival));
        horizon.reach = found.splits.iter().filter_map(kept).min().or(horizon.reach);
    }

    fn horizons(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Horizon>> {
        self.horizons.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The dataset of a stream.
    fn dataset(&self, stream: &str) -> &str {
        self.streams.get(stream).map_or("", |described| &described.dataset)
    }

    /// The plugin as one that can be interrupted. It is slower, and loaded when it is needed for the first time.
    fn careful(&self) -> Result<Arc<Plugin>, LoadError> {
        if let Some(plugin) = self.careful.get() {
            return Ok(plugin.clone());
        }
        let plugin = (self.interruptible)()?;
        Ok(self.careful.get_or_init(|| plugin).clone())
    }
}

/// Collects until it is cancelled, has caught up (if asked to), or fails. What was delivered by then is committed. Returns what
/// it did, and whether it was cancelled.
///
/// # Errors
/// If a sink or the ledger fails for good. One stream's failure is no error: it is in the summary.
pub fn run(run: Run) -> Result<(Summary, bool), RunError> {
    let names: Vec<String> = run.streams.iter().map(|stream| stream.name.clone()).collect();
    let outputs = Outputs::resume(run.sinks, &run.ledger)?;
    let wanted = |format| -> BTreeSet<String> {
        let wanted = run.streams.iter().filter(|stream| outputs.wants(format, &stream.name, &stream.dataset));
        wanted.map(|stream| stream.name.clone()).collect()
    };
    let interrupters = outputs.interrupters();
    let hurry = Arc::new(AtomicBool::new(false));
    let note = run.ledger.suspect_note();
    run.plugin.when_stuck(Box::new(move |stream, split| {
        if let Err(error) = note.write(stream, split, now_ms()) {
            tracing::error!(stream, split, "The split can't be noted as suspect: {error}");
        }
    }));
    let suspects: BTreeSet<(String, String)> = run.ledger.suspects()?.into_iter().collect();
    for (stream, split) in &suspects {
        tracing::warn!(
            stream,
            split,
            "The plugin hung on this piece before. It is read with care, one record at a time."
        );
    }
    let horizons = run.ledger.horizons()?;
    // One more than can compute at a time, so that a stream in which the plugin hangs doesn't hold up everybody else.
    let transformers = std::thread::available_parallelism().map_or(1, usize::from) + 1;
    let shared = Arc::new(Shared {
        transformers: Pool::new((0..transformers).map(|_| Transformer::new(run.plugin.clone(), run.settings.clone()))),
        plugin: run.plugin,
        settings: run.settings,
        client: run.client,
        queue: Queue::new(run.readers.max(1)),
        in_flight: InFlight::default(),
        budget: Budget::new(run.in_flight_bytes),
        board: Board::new(&names),
        claims: Claims::new(&horizons),
        troubles: Troubles::default(),
        horizons: Mutex::new(horizons),
        batch_bytes: run.batch_bytes,
        remember: run.remember,
        gap_events: run.gap_events,
        until_caught_up: run.until_caught_up,
        patience: Patience::new(run.cancel.clone(), hurry.clone(), run.until_caught_up),
        cancel: run.cancel,
        wants_events: &wanted(crate::config::SinkFormat::Ocsf) | &wanted(crate::config::SinkFormat::Ecs),
        wants_raw: wanted(crate::config::SinkFormat::Raw),
        suspects,
        interruptible: run.interruptible,
        careful: OnceLock::new(),
        streams: run.streams.iter().map(|stream| (stream.name.clone(), stream.clone())).collect(),
        ledger: run.ledger,
        failure: Mutex::new(None),
    });
    for mut pending in shared.ledger.pending(&names)? {
        pending.not_before = crate::claims::stored_not_before(pending.not_before, now_ms(), pending.split.expires);
        if pending.claim.is_some() {
            // Whoever starts a run wants to know whether it is there now.
            pending.not_before = 0;
        }
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
            // One stream takes no more than `readers`; the one beyond is for the others.
            let spare = usize::from(streams.len() > 1);
            for number in 0..run.readers.max(1) + spare {
                let (shared, streams, deliveries) = (shared.clone(), streams.clone(), deliveries.clone());
                start(format!("read {number}"), Box::new(move || reading::run(&shared, &streams, &deliveries)))?;
            }
        }
        let told = shared.clone();
        start("tell".to_owned(), Box::new(move || told.troubles.run()))?;
        let shared = shared.clone();
        start("deliver".to_owned(), Box::new(move || delivery::run(&shared, outputs, &inbox)))
    })();
    drop(deliveries);
    if let Err(error) = started {
        shared.fail(error);
    }

    while !shared.cancel.is_cancelled() {
        if shared.until_caught_up && shared.board.all_settled(&shared.queue) {
            break;
        }
        // A cancelled wait ends the loop above. Only a run that ends by itself looks often: an idle one is to cost nothing.
        let _ = shared.cancel.wait(if shared.until_caught_up {
            Duration::from_millis(10)
        } else {
            Duration::from_secs(60)
        });
    }
    let stopped = shared.cancel.is_cancelled();
    shared.cancel.cancel();
    // Reads that wait for bytes end at once, and so do readers that wait for work or for room.
    shared.client.shutdown();
    shared.queue.wake();
    shared.budget.wake();
    shared.troubles.end();
    finish(threads, &hurry, &interrupters);
    shared.troubles.tell_the_rest();
    let failure = shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
    match failure {
        Some(error) => Err(error),
        None => Ok((shared.board.summary(&shared.queue), stopped)),
    }
}

/// Waits for the threads to end. What takes longer than the grace period is interrupted, and what can't be is left
/// behind: an end in bounded time is worth more, and the ledger makes it safe.
fn finish(threads: Vec<JoinHandle<()>>, hurry: &AtomicBool, interrupters: &[Interrupter]) {
    let asked = Instant::now();
    let ended = |by: Duration| {
        while asked.elapsed() < by {
            if threads.iter().all(JoinHandle::is_finished) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        false
    };
    if !ended(GRACE) {
        tracing::warn!("What is in flight takes too long and is rolled back. It is delivered at the next start.");
        hurry.store(true, Ordering::Relaxed);
        interrupters.iter().for_each(|interrupt| interrupt());
        if !ended(GRACE + LAST_WAIT) {
            return;
        }
    }
    for thread in threads {
        // A panic was reported by the guard of the thread.
        let _ = thread.join();
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

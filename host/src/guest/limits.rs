//! What a guest may use: memory, tables, handles, and time. How much it may say is in [`super::bounds`].
//!
//! Time is measured while the guest computes or sleeps, and not while the host works for it. Two ways enforce it. A
//! component that somebody brings along is compiled with epoch checks, and trips over its deadline: what it uses in one call
//! is summed up, however often it calls the host in between. The built-in component is compiled without them, since they
//! cost up to two fifths on scanning bytes; a watchdog thread looks at it and ends the process, which the ledger makes safe.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use wasmtime::ResourceLimiter;

/// Bounds for every instance.
#[derive(Debug, Clone, Copy)]
pub struct GuestLimits {
    /// Bytes of linear memory.
    pub memory: usize,
    /// How long a guest may compute in one call.
    pub time: Duration,
}

impl Default for GuestLimits {
    fn default() -> Self {
        Self { memory: 256 << 20, time: Duration::from_secs(60) }
    }
}

/// Why the host stopped a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stopped {
    #[error("it computed for longer than {} s in one call (limits.guest_seconds)", .0.as_secs_f32())]
    Computed(Duration),
    #[error("it slept, or waited for a timer, for longer than {} s in one call (limits.guest_seconds)", .0.as_secs_f32())]
    Waited(Duration),
    #[error("it asked for more than {} MiB of memory (limits.guest_memory_mib)", .0 >> 20)]
    Memory(usize),
    #[error("it asked for a table of more than {0} elements")]
    Table(usize),
    /// The run ends, and the guest with it.
    #[error("the run is ending")]
    Ended,
}

/// Elements of all tables together.
const TABLE_ELEMENTS: usize = 100_000;

/// What a store has used of its memory and tables, all of them together.
#[derive(Debug)]
pub(super) struct Room {
    memory: usize,
    memory_used: usize,
    table_used: usize,
}

impl Room {
    pub(super) fn new(limits: &GuestLimits) -> Self {
        Self { memory: limits.memory, memory_used: 0, table_used: 0 }
    }
}

/// Takes what is missing between `current` and `desired`, if there is room.
fn take(used: &mut usize, limit: usize, current: usize, desired: usize) -> bool {
    let sum = used.saturating_add(desired.saturating_sub(current));
    let fits = sum <= limit;
    if fits {
        *used = sum;
    }
    fits
}

impl ResourceLimiter for Room {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if take(&mut self.memory_used, self.memory, current, desired) {
            return Ok(true);
        }
        Err(Stopped::Memory(self.memory).into())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if take(&mut self.table_used, TABLE_ELEMENTS, current, desired) {
            return Ok(true);
        }
        Err(Stopped::Table(TABLE_ELEMENTS).into())
    }

    fn instances(&self) -> usize {
        32
    }

    fn tables(&self) -> usize {
        32
    }

    fn memories(&self) -> usize {
        8
    }
}

/// Since when a guest computes.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Microseconds since [`start`] plus one; 0 while the guest isn't running.
    since: AtomicU64,
    /// Microseconds that it computed in this call before the host last did something for it.
    before: AtomicU64,
    /// The stream and the split that it works on, once that is known.
    work: Mutex<Option<(String, String)>>,
}

impl Activity {
    /// What the guest works on from now on.
    pub(super) fn is_for(&self, stream: &str, split: &str) {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        if work.as_ref().is_none_or(|(known, id)| known != stream || id != split) {
            *work = Some((stream.to_owned(), split.to_owned()));
        }
    }

    /// A call begins.
    pub(super) fn begin(&self) {
        self.before.store(0, Ordering::Relaxed);
        self.enter();
    }

    /// The guest goes on after the host did something for it.
    pub(super) fn enter(&self) {
        self.since.store(now().saturating_add(1), Ordering::Relaxed);
    }

    /// The guest has returned or called the host.
    pub(super) fn leave(&self) {
        let busy = u64::try_from(self.busy().as_micros()).unwrap_or(u64::MAX);
        self.before.fetch_add(busy, Ordering::Relaxed);
        self.since.store(0, Ordering::Relaxed);
    }

    /// For how long the guest has computed in this call.
    pub(super) fn spent(&self) -> Duration {
        Duration::from_micros(self.before.load(Ordering::Relaxed)) + self.busy()
    }

    /// For how long the guest has computed since the host last did something for it.
    pub(super) fn busy(&self) -> Duration {
        match self.since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_micros(now().saturating_sub(since - 1)),
        }
    }
}

fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

fn now() -> u64 {
    u64::try_from(start().elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// The exit code of a process that the watchdog ended.
pub const WATCHDOG_EXIT_CODE: i32 = 70;

/// What is done with the stream and the split on which a guest hangs, before the process ends.
pub type WhenStuck = Box<dyn Fn(&str, &str) + Send + Sync>;

/// How often the watchdog looks, at most.
const LOOK: Duration = Duration::from_secs(1);

/// Looks after the guests that run without epoch checks.
pub(super) struct Watchdog {
    guests: Arc<Mutex<Vec<Weak<Activity>>>>,
    when_stuck: Arc<OnceLock<WhenStuck>>,
}

impl Watchdog {
    /// Starts the thread that ends the process when a guest computes for longer than `limit`.
    pub(super) fn start(limit: Duration) -> Self {
        let guests: Arc<Mutex<Vec<Weak<Activity>>>> = Arc::default();
        let when_stuck: Arc<OnceLock<WhenStuck>> = Arc::default();
        let (watched, note) = (Arc::downgrade(&guests), when_stuck.clone());
        std::thread::spawn(move || {
            while let Some(guests) = watched.upgrade() {
                let mut guests = guests.lock().unwrap_or_else(PoisonError::into_inner);
                guests.retain(|guest| guest.strong_count() > 0);
                let busy: Vec<Arc<Activity>> =
                    guests.iter().filter_map(Weak::upgrade).filter(|activity| activity.busy() > limit).collect();
                drop(guests);
                if !busy.is_empty() {
                    end(&busy, limit, note.get());
                }
                std::thread::sleep(LOOK.min(limit / 4).max(Duration::from_millis(10)));
            }
        });
        Self { guests, when_stuck }
    }

    /// Says what to do before the process is ended. The first one counts.
    pub(super) fn when_stuck(&self, note: WhenStuck) {
        let _ = self.when_stuck.set(note);
    }

    /// Adds a guest to those looked after.
    pub(super) fn watch(&self, activity: &Arc<Activity>) {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(activity));
    }
}

/// Notes what the stuck guests work on, and ends the process.
fn end(stuck: &[Arc<Activity>], limit: Duration, note: Option<&WhenStuck>) -> ! {
    for activity in stuck {
        let work = activity.work.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (stream, split) = work.unwrap_or_default();
        tracing::error!(
            stream,
            split,
            seconds = limit.as_secs_f32(),
            "The plugin computed for longer than guest_seconds without any progress. The process ends now. Start it again: \
             it goes on from its last commit, finds the record on which the plugin hangs, and puts it aside."
        );
        if let Some(note) = note
            && !split.is_empty()
        {
            note(&stream, &split);
        }
    }
    std::process::exit(WATCHDOG_EXIT_CODE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_inside_the_guest_counts() {
        let activity = Activity::default();
        assert_eq!(activity.busy(), Duration::ZERO);
        activity.begin();
        std::thread::sleep(Duration::from_millis(5));
        assert!(activity.busy() >= Duration::from_millis(4));
        activity.leave();
        assert_eq!(activity.busy(), Duration::ZERO);
        let spent = activity.spent();
        assert!(spent >= Duration::from_millis(4));
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(activity.spent(), spent, "the host's time");
        activity.enter();
        std::thread::sleep(Duration::from_millis(5));
        assert!(activity.spent() >= spent + Duration::from_millis(4), "a call's time is summed up");
        activity.begin();
        assert_eq!(activity.before.load(Ordering::Relaxed), 0, "the next call begins anew");
    }

    #[test]
    fn all_memories_share_the_room() {
        let mut room = Room::new(&GuestLimits { memory: 100, ..GuestLimits::default() });
        assert!(room.memory_growing(0, 60, None).unwrap());
        assert!(!room.memory_growing(0, 20, Some(10)).unwrap(), "beyond its own maximum");
        assert!(room.memory_growing(0, 30, None).unwrap());
        let error = room.memory_growing(60, 80, None).unwrap_err();
        assert_eq!(error.downcast_ref::<Stopped>(), Some(&Stopped::Memory(100)));
        assert!(room.memory_growing(60, 70, None).unwrap());
        assert!(room.table_growing(0, TABLE_ELEMENTS + 1, None).is_err());
    }

    /// What the next test runs in a process of its own, which it ends.
    #[test]
    #[ignore = "ends its process"]
    fn a_guest_that_hangs() {
        let watchdog = Watchdog::start(Duration::from_millis(50));
        watchdog.when_stuck(Box::new(|stream, split| println!("noted {stream} {split}")));
        let activity = Arc::new(Activity::default());
        *activity.work.lock().unwrap() = Some(("s".to_owned(), "one".to_owned()));
        watchdog.watch(&activity);
        activity.begin();
        loop {
            std::thread::park();
        }
    }

    #[test]
    fn a_guest_that_hangs_ends_the_process_with_70_once_it_is_noted() {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "guest::limits::tests::a_guest_that_hangs", "--ignored", "--nocapture"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(70), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("noted s one"), "{output:?}");
    }
}

//! What a test's own thread logs.
//!
//! Invariant: one subscriber for all tests of the process, at the lowest level and for good. With subscribers that come and go, whether an
//! event is written depends on which test saw it first: `tracing` remembers for each place in the code whether anybody listens.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Once;

use tracing::level_filters::LevelFilter;

thread_local! {
    /// What is logged, while somebody listens.
    static LOG: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

struct OfThisThread;

impl Write for OfThisThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| {
            if let Some(log) = log {
                log.extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs something, and gives what it returns and what this thread logged meanwhile, at every level.
pub(crate) fn logged<T>(run: impl FnOnce() -> T) -> (T, String) {
    static START: Once = Once::new();
    START.call_once(|| {
        let everything = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_ansi(false);
        let subscriber = everything.with_writer(|| OfThisThread).finish();
        tracing::subscriber::set_global_default(subscriber).expect("no other test sets a subscriber");
    });
    // For the places that another test came to before there was a subscriber.
    tracing::callsite::rebuild_interest_cache();
    LOG.set(Some(Vec::new()));
    let result = run();
    let log = LOG.take().unwrap_or_default();
    (result, String::from_utf8(log).expect("a log is text"))
}

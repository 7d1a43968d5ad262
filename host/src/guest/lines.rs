//! How many log lines a guest may cause, by stream, for as long as the plugin is loaded.
//!
//! The invariant: no stream of a guest's takes the lines of another, and what is dropped is counted and told.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines that may come at once …
const BURST: u32 = 100;
/// … and how many a second after that.
const PER_SECOND: u32 = 10;
/// Bytes in an hour.
const BYTES_PER_HOUR: usize = 1 << 20;
const HOUR: Duration = Duration::from_secs(3600);
/// Streams that are told apart. A plugin describes no more.
const STREAMS: usize = super::bounds::DESCRIBED + 1;

/// What one stream has left.
struct Allowance {
    lines: u32,
    filled: Instant,
    bytes: usize,
    hour: Instant,
    dropped: u64,
    /// Dropped lines that were told already.
    told: u64,
    tell_again: Instant,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self { lines: BURST, filled: now, bytes: BYTES_PER_HOUR, hour: now, dropped: 0, told: 0, tell_again: now }
    }

    /// Whether a line of so many bytes may be written now.
    fn take(&mut self, bytes: usize, now: Instant) -> bool {
        if now.duration_since(self.hour) >= HOUR {
            (self.hour, self.bytes) = (now, BYTES_PER_HOUR);
        }
        let seconds = now.duration_since(self.filled).as_secs();
        if seconds > 0 {
            let more = u32::try_from(seconds).unwrap_or(BURST).saturating_mul(PER_SECOND);
            (self.filled, self.lines) = (now, self.lines.saturating_add(more).min(BURST));
        }
        if self.lines == 0 || self.bytes < bytes {
            self.dropped += 1;
            return false;
        }
        self.lines -= 1;
        self.bytes -= bytes;
        true
    }

    /// How many lines were dropped, if that is to be told now: at the first, and then every hour if there are more.
    fn take_dropped(&mut self, now: Instant) -> Option<u64> {
        (self.dropped > self.told && now >= self.tell_again).then(|| {
            (self.told, self.tell_again) = (self.dropped, now + HOUR);
            self.dropped
        })
    }
}

/// The lines of a plugin.
pub(super) struct Lines {
    /// Whose they are, for the line about dropped ones.
    what: &'static str,
    streams: Mutex<HashMap<String, Allowance>>,
}

impl Lines {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, streams: Mutex::default() }
    }

    /// Whether a line of so many bytes about a stream may be written now. The first that may not is told.
    pub(super) fn allow(&self, stream: &str, bytes: usize) -> bool {
        let now = Instant::now();
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        // Names of streams are the host's, so there are few; what comes beyond shares one.
        let stream = if streams.len() < STREAMS || streams.contains_key(stream) { stream } else { "" };
        let allowance = match streams.get_mut(stream) {
            Some(allowance) => allowance,
            None => streams.entry(stream.to_owned()).or_insert_with(|| Allowance::new(now)),
        };
        let allowed = allowance.take(bytes, now);
        let dropped = if allowed { None } else { allowance.take_dropped(now) };
        drop(streams);
        if let Some(dropped) = dropped {
            tracing::warn!(
                stream,
                dropped,
                "{} come faster than they are taken: further ones are dropped and counted.",
                self.what
            );
        }
        allowed
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let streams = std::mem::take(self.streams.get_mut().unwrap_or_else(PoisonError::into_inner));
        for (stream, allowance) in streams.iter().filter(|(_, allowance)| allowance.dropped > allowance.told) {
            tracing::warn!(stream, dropped = allowance.dropped, "{} were dropped in this run.", self.what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_and_then_so_many_a_second() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        assert_eq!((0..1000).filter(|_| allowance.take(10, start)).count(), BURST as usize);
        assert_eq!(allowance.take_dropped(start), Some(900));
        assert_eq!(allowance.take_dropped(start), None, "told once");
        let later = start + Duration::from_secs(2);
        assert_eq!((0..1000).filter(|_| allowance.take(10, later)).count(), 2 * PER_SECOND as usize);
        assert_eq!(allowance.take_dropped(later), None);
        assert_eq!(allowance.take_dropped(later + HOUR), Some(900 + 980));
    }

    #[test]
    fn an_hour_has_so_many_bytes() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let taken = |allowance: &mut Allowance, from: Instant| {
            (0..3000_u32).filter(|second| allowance.take(4096, from + Duration::from_secs(u64::from(*second)))).count()
        };
        assert_eq!(taken(&mut allowance, start), BYTES_PER_HOUR / 4096);
        assert!(allowance.take(4096, start + HOUR));
    }

    #[test]
    fn a_stream_does_not_take_the_lines_of_another() {
        let lines = Lines::new("Lines");
        while lines.allow("loud", 100) {}
        assert!(lines.allow("quiet", 100));
    }
}

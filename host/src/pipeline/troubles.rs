//! What is wrong now, by root cause: one line for everything that it concerns, again at slowing intervals, one line when it is over.
//!
//! The invariant: what is reported is told within [`GATHER`], or counted in a line of the same cause that is told later; and
//! however much fails, a cause is told a handful of times in its first ten minutes. Each single failure is told at debug level.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::Level;

use crate::clock::{instant, now_ms, real};
use crate::times::{long, utc};

/// So long others may join a cause before it is told for the first time: an expired secret meets every stream within moments.
const GATHER: Duration = Duration::from_secs(2);
/// The second line comes after this time, each further one after twice as long …
const FIRST_INTERVAL: Duration = Duration::from_secs(2 * 60);
/// … up to this.
const LONGEST_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// With less time left than this, a warning is an error.
const CLOSE: u64 = 24 * 60 * 60 * 1000;
/// So many causes are told apart. Beyond that, those of one code are one.
const CAUSES: usize = 100;
/// So many streams are named in a line.
const NAMED: usize = 12;

/// The way of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// Something failed and is tried again.
    Failing,
    /// Pieces aren't there, and are held.
    Missing,
    /// Somebody has to mend something.
    Blocked,
    /// Pieces are lost, or parts of them.
    Lost,
}

/// What of a stream fails, and works again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spot {
    /// Its listing.
    Listing,
    /// Its reading as a whole.
    Reading,
    /// The reading of one split.
    Piece(String),
}

/// One failure.
pub(super) struct Report<'a> {
    pub(super) what: What,
    pub(super) stream: &'a str,
    pub(super) part: Spot,
    pub(super) level: Level,
    pub(super) code: &'a str,
    /// What happened and what to do.
    pub(super) sentence: &'a str,
    /// Words that the sentence owes to the stream, and that say nothing of the cause: its names.
    pub(super) names: &'a [&'a str],
    /// When it is tried again.
    pub(super) retry_in: Option<Duration>,
    /// When data are lost if it stays so, by the services' clock in milliseconds since 1970, if known.
    pub(super) lost_from: Option<u64>,
    /// The services' time now.
    pub(super) service_now: u64,
}

/// A root cause.
struct Cause {
    what: What,
    code: String,
    sentence: String,
    level: Level,
    /// When it began, in milliseconds since 1970.
    since: u64,
    /// What it concerns now, each with when data are lost.
    standing: BTreeMap<(String, Spot), Option<u64>>,
    retry_in: Option<Duration>,
    /// By how much the services' clock is ahead.
    ahead: i64,
    /// Since the last line: how often, and in which streams.
    times: u64,
    streams: BTreeSet<String>,
    /// When it is to be told.
    due: Option<Instant>,
    /// Not before then.
    quiet_until: Instant,
    interval: Duration,
    /// Whether it was told, and not yet that it is over.
    told: bool,
}

/// A line to write.
#[derive(Debug)]
struct Line {
    level: Level,
    streams: String,
    code: String,
    since: u64,
    times: u64,
    retry_in: Option<Duration>,
    left: Option<u64>,
    text: String,
}

/// All that is wrong now.
#[derive(Default)]
pub(super) struct Troubles {
    causes: Mutex<BTreeMap<String, Cause>>,
    changed: Condvar,
    /// How much stands, so that nobody has to look while all is well.
    standing: AtomicUsize,
    ended: AtomicBool,
}

impl Troubles {
    /// Takes a failure up.
    pub(super) fn report(&self, report: Report<'_>) {
        let Report { what, stream, code, sentence, level, retry_in, .. } = report;
        tracing::debug!(stream, code, part = ?report.part, retry_in_s = retry_in.map(|wait| wait.as_secs()), "{sentence}");
        let now = instant();
        let mut causes = self.lock();
        let mut key = key(&report);
        if !causes.contains_key(&key) && causes.len() >= CAUSES {
            causes.retain(|_, cause| !cause.standing.is_empty() || cause.due.is_some());
            if causes.len() >= CAUSES {
                key = format!("{what:?} {}", if causes.len() < 2 * CAUSES { code } else { "" });
            }
        }
        let wall = now_ms();
        let cause = causes.entry(key).or_insert_with(|| Cause {
            what,
            code: code.to_owned(),
            sentence: String::new(),
            level,
            since: wall,
            standing: BTreeMap::new(),
            retry_in,
            ahead: 0,
            times: 0,
            streams: BTreeSet::new(),
            due: None,
            quiet_until: now,
            interval: FIRST_INTERVAL,
            told: false,
        });
        if cause.standing.is_empty() && cause.times == 0 {
            cause.since = wall;
            if now > cause.quiet_until + LONGEST_INTERVAL {
                cause.interval = FIRST_INTERVAL;
            }
        }
        // The first sentence of several that differ in a name only is as good as any; a new telling takes the latest.
        if cause.times == 0 {
            sentence.clone_into(&mut cause.sentence);
            cause.retry_in = retry_in;
        }
        cause.level = cause.level.min(level);
        cause.times += 1;
        cause.ahead = report.service_now.saturating_sub(wall) as i64 - wall.saturating_sub(report.service_now) as i64;
        cause.streams.insert(stream.to_owned());
        if what != What::Lost {
            let known = cause.standing.insert((stream.to_owned(), report.part), report.lost_from);
            if known.is_none() {
                self.standing.fetch_add(1, Ordering::Relaxed);
            }
        }
        if cause.due.is_none() {
            cause.due = Some(cause.quiet_until.max(now + GATHER));
            self.changed.notify_all();
        }
    }

    /// Something of a stream was seen to work.
    pub(super) fn works(&self, stream: &str, part: &Spot) {
        self.over(stream, part, true);
    }

    /// Something of a stream isn't waited for any more.
    pub(super) fn forget(&self, stream: &str, part: &Spot) {
        self.over(stream, part, false);
    }

    /// That pieces of a stream aren't there is told of the stream as a whole from now on.
    pub(super) fn forget_missing(&self, stream: &str) {
        let mut causes = self.lock();
        for cause in causes.values_mut().filter(|cause| cause.what == What::Missing) {
            let before = cause.standing.len();
            cause.standing.retain(|(of, _), _| of != stream);
            self.standing.fetch_sub(before - cause.standing.len(), Ordering::Relaxed);
            if cause.standing.is_empty() && before > 0 {
                (cause.told, cause.due, cause.times) = (false, None, 0);
                cause.streams.clear();
            }
        }
    }

    fn over(&self, stream: &str, part: &Spot, works: bool) {
        if self.standing.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut lines = Vec::new();
        let entry = (stream.to_owned(), part.clone());
        let mut causes = self.lock();
        for cause in causes.values_mut() {
            if cause.standing.remove(&entry).is_none() {
                continue;
            }
            self.standing.fetch_sub(1, Ordering::Relaxed);
            if cause.standing.is_empty() && std::mem::take(&mut cause.told) {
                cause.due = None;
                if works {
                    lines.push(cause.end());
                }
                cause.times = 0;
                cause.streams.clear();
            }
        }
        drop(causes);
        lines.iter().for_each(Line::write);
    }

    /// Tells what is due, until the end.
    pub(super) fn run(&self) {
        let mut causes = self.lock();
        while !self.ended.load(Ordering::Relaxed) {
            let now = instant();
            let due = causes.values_mut().filter(|cause| cause.due.is_some_and(|due| due <= now));
            let lines: Vec<Line> = due.map(|cause| cause.line(now)).collect();
            if !lines.is_empty() {
                drop(causes);
                lines.iter().for_each(Line::write);
                causes = self.lock();
                continue;
            }
            let next = causes.values().filter_map(|cause| cause.due).min();
            let wait = next.map_or(Duration::from_secs(3600), |next| real(next.saturating_duration_since(now)));
            causes = self.changed.wait_timeout(causes, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends the telling.
    pub(super) fn end(&self) {
        let _causes = self.lock();
        self.ended.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    /// Tells what wasn't told yet, once nobody reports any more.
    pub(super) fn tell_the_rest(&self) {
        let now = instant();
        let mut causes = self.lock();
        let untold = causes.values_mut().filter(|cause| {
            cause.times > 0 && !cause.told && (cause.what == What::Lost || cause.interval == FIRST_INTERVAL)
        });
        let lines: Vec<Line> = untold.map(|cause| cause.line(now)).collect();
        drop(causes);
        lines.iter().for_each(Line::write);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Cause>> {
        self.causes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cause {
    /// The line that tells it now, and when the next one is due.
    fn line(&mut self, now: Instant) -> Line {
        let standing = !self.standing.is_empty();
        let names: BTreeSet<&str> = if standing {
            self.standing.keys().map(|(stream, _)| stream.as_str()).collect()
        } else {
            self.streams.iter().map(String::as_str).collect()
        };
        let service_now = now_ms().saturating_add_signed(self.ahead);
        let lost_from = self.standing.values().flatten().min();
        let left = lost_from.map(|lost_from| lost_from.saturating_sub(service_now));
        let parts: BTreeSet<bool> = self.standing.keys().map(|(_, part)| *part == Spot::Listing).collect();
        let doing = match (parts.contains(&true), parts.contains(&false)) {
            (true, false) => "Listing",
            (false, true) => "Reading",
            _ => "Listing or reading",
        };
        let pieces = if standing { self.standing.len() as u64 } else { self.times };
        let pieces = if pieces == 1 { "A piece".to_owned() } else { format!("{pieces} pieces") };
        let be = if pieces == "A piece" { "is" } else { "are" };
        let of = if names.len() == 1 { "this stream".to_owned() } else { format!("{} streams", names.len()) };
        let head = match self.what {
            What::Failing if standing => format!("{doing} of {of} failed and is tried again"),
            What::Failing => format!("{doing} of {of} failed and went on"),
            What::Blocked if names.len() == 1 => "This stream is blocked".to_owned(),
            What::Blocked => format!("{of} are blocked"),
            What::Missing => format!(
                "{pieces} of {of} {be} held: the service lists {} and says that {} there. {} asked for again, and {} not count as lost yet",
                if be == "is" { "it" } else { "them" },
                if be == "is" { "it isn't" } else { "they aren't" },
                if be == "is" { "It is" } else { "They are" },
                if be == "is" { "does" } else { "do" },
            ),
            What::Lost => format!("{pieces} of {of} {be} lost and counted as lost"),
        };
        let tail = if self.what == What::Lost {
            " `m365-pipe coverage` lists the gaps, `m365-pipe retry-lost` reads such pieces again."
        } else {
            ""
        };
        let line = Line {
            level: if left.is_some_and(|left| left < CLOSE) { Level::ERROR } else { self.level },
            streams: list(&names),
            code: self.code.clone(),
            since: self.since,
            times: self.times,
            retry_in: self.retry_in,
            left,
            text: format!("{head}: {}{tail}", self.sentence),
        };
        self.quiet_until = now + self.interval;
        self.interval = (self.interval * 2).min(LONGEST_INTERVAL);
        self.due = standing.then_some(self.quiet_until);
        self.told = standing;
        self.times = 0;
        if !standing {
            self.streams.clear();
        }
        line
    }

    fn end(&self) -> Line {
        let streams: BTreeSet<&str> = self.streams.iter().map(String::as_str).collect();
        let (one, it) = if streams.len() == 1 {
            (true, "This stream".to_owned())
        } else {
            (false, format!("{} streams", streams.len()))
        };
        let text = match self.what {
            What::Missing => {
                format!("The pieces of {} that weren't there could be read.", if one { "this stream" } else { &it })
            }
            What::Blocked => format!("{it} can be read again."),
            _ => format!("{it} {} on: that is over.", if one { "goes" } else { "go" }),
        };
        Line {
            level: Level::INFO,
            streams: list(&streams),
            code: self.code.clone(),
            since: self.since,
            times: 0,
            retry_in: None,
            left: None,
            text,
        }
    }
}

impl Line {
    fn write(&self) {
        let (code, text) = (self.code.as_str(), &self.text);
        let (stream, streams) = if self.streams.contains(' ') {
            (None, Some(self.streams.as_str()))
        } else {
            (Some(self.streams.as_str()), None)
        };
        let since = utc(self.since);
        let lasted = (self.level == Level::INFO).then(|| long(now_ms().saturating_sub(self.since)));
        let times = (self.times > 1).then_some(self.times);
        let retry_in_s = self.retry_in.map(|wait| wait.as_secs().max(1)).filter(|_| self.level != Level::INFO);
        let data_at_risk_in = self.left.map(|left| if left == 0 { "now".to_owned() } else { long(left) });
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(stream, streams, code, since, lasted, times, retry_in_s, data_at_risk_in, "{text}")
            };
        }
        match self.level {
            Level::ERROR => line!(error),
            Level::WARN => line!(warn),
            _ => line!(info),
        }
    }
}

/// Names in a line.
fn list(names: &BTreeSet<&str>) -> String {
    let mut text = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    if names.len() > NAMED {
        text.push_str(&format!(" and {} more", names.len() - NAMED));
    }
    text
}

/// What two failures of one cause have in common: the code, and the sentence without names, ids, times and numbers. Whatever a
/// network that is lost looks like, it is one cause.
fn key(report: &Report<'_>) -> String {
    let Report { what, code, sentence, names, .. } = report;
    if crate::http::is_of_the_network(code) {
        return format!("{what:?} network");
    }
    let mut text = (*sentence).to_owned();
    for name in names.iter().filter(|name| name.len() > 2) {
        text = text.replace(name, "");
    }
    let says = |word: &&str| {
        word.len() <= 32 && !word.bytes().any(|byte| byte.is_ascii_digit() || matches!(byte, b'/' | b':' | b'@'))
    };
    let words: Vec<&str> = text.split_whitespace().filter(says).collect();
    format!("{what:?} {code} {}", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report<'a>(stream: &'a str, code: &'a str, sentence: &'a str) -> Report<'a> {
        Report {
            what: What::Failing,
            stream,
            part: Spot::Listing,
            level: Level::WARN,
            code,
            sentence,
            names: &[],
            retry_in: Some(Duration::from_secs(1)),
            lost_from: None,
            service_now: now_ms(),
        }
    }

    /// The lines that are due after some time has passed.
    fn due(troubles: &Troubles, after: Duration) -> Vec<Line> {
        let now = instant() + after;
        let mut causes = troubles.lock();
        causes
            .values_mut()
            .filter(|cause| cause.due.is_some_and(|due| due <= now))
            .map(|cause| cause.line(now))
            .collect()
    }

    #[test]
    fn one_cause_in_twelve_streams_is_one_line_and_its_end_one() {
        let troubles = Troubles::default();
        let streams: Vec<String> = (0..12).map(|number| format!("stream.{number}")).collect();
        for (number, stream) in streams.iter().enumerate() {
            let sentence =
                format!("No token for {stream}: the secret has expired. (AADSTS7000222, trace id {number}ab)");
            let names = [stream.as_str()];
            troubles.report(Report {
                what: What::Blocked,
                level: Level::ERROR,
                names: &names,
                ..report(stream, "AADSTS7000222", &sentence)
            });
        }
        let lines = due(&troubles, GATHER + GATHER);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].text.starts_with("12 streams are blocked: No token"), "{}", lines[0].text);
        assert!(streams.iter().all(|stream| lines[0].streams.contains(stream.as_str())));
        for stream in &streams[1..] {
            troubles.works(stream, &Spot::Listing);
        }
        assert!(troubles.lock().values().all(|cause| cause.told), "one is left");
        troubles.works(&streams[0], &Spot::Listing);
        assert!(troubles.lock().values().all(|cause| !cause.told && cause.due.is_none()));
        assert_eq!(troubles.standing.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_network_that_is_lost_is_a_handful_of_lines_in_ten_minutes() {
        let troubles = Troubles::default();
        let mut lines = 0;
        for second in 0..600 {
            for (stream, code) in [("a", "dns"), ("b", "timeout-connect"), ("c", "reset")] {
                troubles.report(report(stream, code, &format!("The exchange with {stream} failed.")));
            }
            lines += due(&troubles, Duration::from_secs(second)).len();
        }
        assert!((2..=5).contains(&lines), "{lines}");
    }

    #[test]
    fn different_mends_are_different_lines() {
        let troubles = Troubles::default();
        troubles.report(report("a", "Forbidden", "Grant AuditLog.Read.All."));
        troubles.report(report("b", "Forbidden", "Grant SecurityAlert.Read.All."));
        troubles.report(report("c", "Forbidden", "Grant SecurityAlert.Read.All."));
        assert_eq!(due(&troubles, GATHER + GATHER).len(), 2);
    }

    #[test]
    fn what_is_over_at_once_is_told_once_and_not_each_time() {
        let troubles = Troubles::default();
        let mut lines = Vec::new();
        for second in 0..60 {
            troubles.report(report("a", "http-503", "It is busy."));
            troubles.works("a", &Spot::Listing);
            lines.extend(due(&troubles, Duration::from_secs(second)));
        }
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].text.contains("went on"), "{}", lines[0].text);
        lines.extend(due(&troubles, FIRST_INTERVAL * 2));
        assert_eq!(lines.len(), 2);
        assert!(lines[1].times > 50);
    }

    #[test]
    fn the_time_that_is_left_is_told_and_makes_an_error_of_a_warning() {
        let troubles = Troubles::default();
        let now = now_ms();
        for (stream, left) in [("a", 6 * CLOSE), ("b", CLOSE / 2)] {
            let lost_from = Some(now + left);
            troubles.report(Report { lost_from, ..report(stream, stream, "It is busy.") });
        }
        let lines = due(&troubles, GATHER + GATHER);
        assert_eq!(lines.iter().map(|line| line.level).collect::<Vec<_>>(), [Level::WARN, Level::ERROR]);
        assert!(lines.iter().all(|line| line.left.is_some()));
    }

    #[test]
    fn causes_are_bounded() {
        let troubles = Troubles::default();
        for number in 0..1000_u32 {
            let word: String = number.to_string().bytes().map(|digit| char::from(digit + 49)).collect();
            troubles.report(report("a", &word, &word));
        }
        assert!(troubles.lock().len() <= 2 * CAUSES + 1, "{}", troubles.lock().len());
    }
}

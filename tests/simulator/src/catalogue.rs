//! What the tenant holds: which records and blobs a stream has, when each arrived, and their bytes, all computed from a number on demand.
//!
//! Invariant: times and bytes of record or blob `i` depend on seed, options and `i` alone, and times do not fall as `i` grows; nothing is kept
//! for a record but its line when a corpus is served.

use std::io;

use crate::clock::{TICKS_PER_MS, TICKS_PER_SECOND, Ticks, ticks};
use crate::corpus::{self, Line};
use crate::generate::templates;
use crate::misbehaviour::{Arrival, Late};
use crate::options::Options;
use crate::streams::{STREAMS, Stream, split};
use crate::template::{Dialect, Filling, Variant, mix, variants};

/// Most variants of a stream's records; beyond it records differ in ids and times only.
const POOL: usize = 512;
/// Array elements that are no records, as a broken pipeline leaves them.
const BROKEN: [&[u8]; 2] = [br#""The audit record could not be serialised.""#, b"null"];
/// What follows the beginning of a record that can't be written: as Graph was seen to answer (microsoft-graph-docs#3648).
const BREAK: &[u8] = b"{\n  \"error\": {\n    \"code\": \"BadRequest\",\n    \"message\": \"The property 'category[Nullable=False]' of type 'Edm.String' has a null value, which is not allowed.\"\n  }\n}";
/// One Management API record in this many is served a second time in a later blob.
const REPEAT_EVERY: u64 = 100;
/// A later blob repeats records of at most this many blobs before it.
const REPEAT_REACH: usize = 3;

pub(crate) struct Shelf {
    pub(crate) stream: &'static Stream,
    /// Number of distinct, well-formed records.
    pub(crate) len: usize,
    /// Number of broken array elements.
    pub(crate) broken: usize,
    seed: u64,
    /// Own times of Graph records and arrival times of blobs lie in here.
    start: Ticks,
    end: Ticks,
    graph_lateness: Ticks,
    blob_records: usize,
    arrival: Arrival,
    /// The record that can't be written.
    broken_record: Option<usize>,
    source: Source,
}

enum Source {
    Generated(Vec<Variant>),
    Corpus(Vec<Line>),
}

/// Makes the shelves of all streams.
pub(crate) fn shelves(options: &Options, now: Ticks) -> io::Result<Vec<Shelf>> {
    let wanted = |name: &str| options.streams.is_empty() || options.streams.contains(name);
    if let Some(name) = options.streams.iter().find(|name| !STREAMS.iter().any(|stream| stream.name == name.as_str())) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("There is no stream {name}.")));
    }
    let counts = split(options.events, wanted);
    let mut lines: Vec<Option<Vec<Line>>> = match &options.corpus {
        Some(folder) => corpus::read(folder)?.into_iter().map(Some).collect(),
        None => STREAMS.iter().map(|_| None).collect(),
    };
    let start = now.saturating_sub(ticks(options.spread));
    let end = now.saturating_sub(ticks(options.newest_age)).saturating_add(ticks(options.ahead));
    let end = end.max(start.saturating_add(TICKS_PER_SECOND));
    let mut shelves = Vec::with_capacity(STREAMS.len());
    for (index, stream) in STREAMS.iter().enumerate() {
        let seed = mix(options.seed ^ mix(index as u64 + 1));
        let (len, source) = match lines[index].take() {
            Some(lines) => {
                let lines = if wanted(stream.name) { lines } else { Vec::new() };
                (lines.len(), Source::Corpus(lines))
            }
            None => {
                let len = usize::try_from(counts[index]).unwrap_or(usize::MAX);
                let dialect = Dialect { escapes: stream.management(), record_bytes: options.record_bytes.unwrap_or(0) };
                let pool =
                    if len == 0 { Vec::new() } else { variants(templates(stream.name), len.min(POOL), dialect, seed) };
                (len, Source::Generated(pool))
            }
        };
        let broken = stream.name == "office365.general" && options.corpus.is_none() && options.events >= 500 && len > 0;
        // One of those that are there from the start.
        let broken_record = options.misbehaviour.bodies.broken_records.contains(&stream.name) && len > 0;
        let broken_record = broken_record.then(|| len / 4 + (mix(seed) >> 8) as usize % (len / 4).max(1));
        shelves.push(Shelf {
            stream,
            len,
            broken: if broken { BROKEN.len() } else { 0 },
            seed,
            start,
            end,
            graph_lateness: ticks(options.graph_lateness).max(TICKS_PER_SECOND),
            blob_records: options.blob_records.max(1),
            arrival: options.misbehaviour.arrival.clone(),
            broken_record,
            source,
        });
    }
    Ok(shelves)
}

impl Shelf {
    fn chance(&self, index: usize, salt: u64) -> u64 {
        mix(self.seed ^ mix((index as u64).wrapping_add(salt << 40)))
    }

    /// The `index`-th of `count` times that are spread over the stream's time, in order.
    fn spread(&self, index: usize, count: usize, salt: u64) -> Ticks {
        let span = i128::from(self.end - self.start);
        let count = count.max(1) as i128;
        let (from, to) = (span * index as i128 / count, span * (index as i128 + 1) / count);
        let within = i128::from(self.chance(index, salt) >> 1) % (to - from).max(1);
        self.start + (from + within) as Ticks
    }

    /// The first of the crowd that comes at one time with the `index`-th.
    fn crowded(&self, index: usize) -> usize {
        index - index % self.arrival.crowd.unwrap_or(1).max(1)
    }

    fn lateness(&self, late: Option<Late>, index: usize, salt: u64) -> Ticks {
        let Some(late) = late else { return 0 };
        let chance = self.chance(index, salt);
        if !chance.is_multiple_of(late.one_in.max(1)) {
            return 0;
        }
        let (least, most) = (ticks(late.least), ticks(late.most));
        least + (chance >> 24) as Ticks % (most - least).max(1)
    }

    /// A Graph record's own time, or the assigned one of a corpus record.
    pub(crate) fn time(&self, index: usize) -> Ticks {
        let time = self.spread(self.crowded(index), self.len, 1);
        match self.stream.api {
            // Sign-ins are spelled in whole seconds.
            crate::streams::Api::SignIns(_) => time - time.rem_euclid(TICKS_PER_SECOND),
            _ => time,
        }
    }

    /// When a Graph record becomes visible: mostly within a few minutes, one in fifty later.
    pub(crate) fn visible_from(&self, index: usize) -> Ticks {
        let chance = self.chance(index, 2);
        let longest = if chance.is_multiple_of(50) { self.graph_lateness } else { (self.graph_lateness / 4).max(1) };
        let late = self.lateness(self.arrival.late_records, index, 12);
        self.time(index) + late + (chance >> 8) as Ticks % longest.max(1)
    }

    /// The first record whose time is not before `at`.
    pub(crate) fn first_from(&self, at: Ticks) -> usize {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.time(middle) < at { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// What a record is filtered by beside time.
    pub(crate) fn tag(&self, index: usize) -> &str {
        match &self.source {
            Source::Generated(_) => self.variant(index).map_or("", |variant| variant.tag),
            Source::Corpus(lines) => lines.get(index).map_or("", |line| &line.provider),
        }
    }

    fn variant_number(&self, index: usize, pool: usize) -> usize {
        // While the pool lasts every record has a variant of its own.
        if self.len <= pool { index } else { (self.chance(index, 3) % pool as u64) as usize }
    }

    fn variant(&self, index: usize) -> Option<&Variant> {
        match &self.source {
            Source::Generated(pool) if !pool.is_empty() => pool.get(self.variant_number(index, pool.len())),
            _ => None,
        }
    }

    /// The record whose `Id` this one bears: itself, or at times the one before it.
    fn id_owner(&self, index: usize) -> usize {
        let Source::Generated(pool) = &self.source else { return index };
        let usual = if self.stream.name == "office365.dlp" { 6 } else { 150 };
        let every = self.arrival.share_id_every.unwrap_or(usual).max(1);
        let drawn = |index: usize| index > 0 && self.chance(index, 4).is_multiple_of(every);
        let different =
            |index: usize| self.variant_number(index, pool.len()) != self.variant_number(index - 1, pool.len());
        if self.stream.management() && drawn(index) && !drawn(index - 1) && different(index) {
            index - 1
        } else {
            index
        }
    }

    /// Appends the bytes of an entry: a record, or from `len` on a broken element.
    pub(crate) fn render(&self, index: usize, out: &mut Vec<u8>) {
        if index >= self.len {
            out.extend_from_slice(BROKEN.get(index - self.len).copied().unwrap_or(b"null"));
            return;
        }
        match &self.source {
            Source::Corpus(lines) => out.extend_from_slice(&lines[index].bytes),
            Source::Generated(_) => {
                let Some(variant) = self.variant(index) else { return };
                let at = if self.stream.management() { self.event_time(index) } else { self.time(index) };
                variant
                    .render(Filling { id: self.chance(self.id_owner(index), 5), rest: self.chance(index, 6), at }, out);
            }
        }
    }

    /// Whether an answer breaks at this entry.
    pub(crate) fn cannot_be_written(&self, index: usize) -> bool {
        self.broken_record == Some(index)
    }

    /// Whether a record can't be had: the one that can't be written, what comes after it in its blob, and what may come after it
    /// in the finest window that Graph can be asked for, its second.
    pub(crate) fn out_of_reach(&self, index: usize) -> bool {
        let Some(broken) = self.broken_record else { return false };
        if !self.stream.management() {
            return self.time(index).div_euclid(TICKS_PER_SECOND) == self.time(broken).div_euclid(TICKS_PER_SECOND);
        }
        let blob = self.blob_of_record(broken);
        let entries = if self.blob_of_record(index) == blob { self.blob_entries(blob) } else { Vec::new() };
        entries.iter().skip_while(|entry| **entry != broken).any(|entry| *entry == index)
    }

    /// Appends what stands in place of the record that can't be written: its beginning, and what the service says of it.
    pub(crate) fn render_broken(&self, out: &mut Vec<u8>) {
        let Some(broken) = self.broken_record else { return };
        let mut record = Vec::new();
        self.render(broken, &mut record);
        let member = record.windows(2).position(|pair| pair == b",\"").unwrap_or(record.len() / 2);
        out.extend_from_slice(&record[..member]);
        out.extend_from_slice(BREAK);
    }

    /// The event time of a Management API record: its blob's arrival less a lateness of mostly 5 to 90 minutes, at times hours.
    fn event_time(&self, index: usize) -> Ticks {
        let arrival = self.created(index / self.blob_records);
        let chance = self.chance(index, 7);
        let (low, high) = match chance % 1_000 {
            0..5 => (7_200, 36_000),
            5..750 => (3_600, 5_400),
            _ => (300, 3_600),
        };
        let lateness = (low + (chance >> 16) as Ticks % (high - low)) * TICKS_PER_SECOND;
        let event = arrival - lateness;
        // Nothing is older than the stream's time, so early blobs hold fresher records.
        if event < self.start { self.start + (chance >> 16) as Ticks % (arrival - self.start).max(1) } else { event }
    }

    /// The blob that a record is in first.
    pub(crate) fn blob_of_record(&self, record: usize) -> usize {
        record / self.blob_records
    }

    /// Number of content blobs.
    pub(crate) fn blobs(&self) -> usize {
        self.len.div_ceil(self.blob_records)
    }

    /// `contentCreated` of a blob, in whole milliseconds.
    pub(crate) fn created(&self, blob: usize) -> Ticks {
        let time = self.spread(self.crowded(blob), self.blobs(), 8);
        time - time.rem_euclid(TICKS_PER_MS)
    }

    /// From when on a blob is listed.
    pub(crate) fn listed_from(&self, blob: usize) -> Ticks {
        self.created(blob) + self.lateness(self.arrival.late_blobs, blob, 13)
    }

    /// For how long a blob can't be read after it was first listed, if it is one of those.
    pub(crate) fn missing(&self, blob: usize) -> Option<Ticks> {
        let missing = self.lateness(self.arrival.missing_blobs, blob, 15);
        (missing > 0).then_some(missing)
    }

    /// One of so many things that can happen to a blob.
    pub(crate) fn pick(&self, blob: usize, salt: u64, of: u64) -> u64 {
        self.chance(blob, salt) % of.max(1)
    }

    /// Whether something that happens to one blob in `every` happens to this one; never if `every` is zero.
    pub(crate) fn strikes(&self, every: u64, blob: usize, salt: u64) -> bool {
        every > 0 && self.chance(blob, salt).is_multiple_of(every)
    }

    /// The first blob whose `contentCreated` is not before `at`.
    pub(crate) fn first_blob_from(&self, at: Ticks) -> usize {
        let (mut low, mut high) = (0, self.blobs());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.created(middle) < at { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The opaque id of a blob.
    pub(crate) fn content_id(&self, blob: usize) -> String {
        let content_type = match self.stream.api {
            crate::streams::Api::Management(content_type) => content_type,
            _ => "",
        };
        let stamp: String =
            crate::clock::millis_text(self.created(blob)).chars().filter(char::is_ascii_digit).collect();
        let low = content_type.to_lowercase().replace('.', "_");
        let name = content_type.replace('.', "_");
        let check = self.chance(blob, 9) % 1_000_000;
        format!("{stamp}{blob:07}{check:06}${stamp}{blob:07}{check:06}${low}${name}$emea0019")
    }

    /// The blob that has this id, if there is one.
    pub(crate) fn blob_of(&self, content_id: &str) -> Option<usize> {
        let blob = content_id.get(17..24)?.parse().ok()?;
        (blob < self.blobs() && self.content_id(blob) == content_id).then_some(blob)
    }

    /// The entries of a blob in the order in which it lists them: its own records, repeats of earlier blobs' records, broken elements.
    pub(crate) fn blob_entries(&self, blob: usize) -> Vec<usize> {
        let own = blob * self.blob_records..((blob + 1) * self.blob_records).min(self.len);
        let mut entries: Vec<usize> = own.collect();
        let every = self.arrival.repeat_every.unwrap_or(REPEAT_EVERY).max(1);
        for earlier in blob.saturating_sub(REPEAT_REACH)..blob {
            for index in earlier * self.blob_records..(earlier + 1) * self.blob_records {
                let chance = self.chance(index, 10);
                let to = (earlier + 1 + (chance >> 32) as usize % REPEAT_REACH).min(self.blobs() - 1);
                if chance.is_multiple_of(every) && to == blob {
                    entries.push(index);
                }
            }
        }
        // Records inside a blob have no order.
        let turn = (self.chance(blob, 11) % entries.len().max(1) as u64) as usize;
        entries.rotate_left(turn);
        if turn.is_multiple_of(2) {
            entries.reverse();
        }
        for nth in 0..self.broken {
            let home = if nth == 0 { 0 } else { self.blobs() - 1 };
            if home == blob {
                entries.insert(entries.len() / 2, self.len + nth);
            }
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    const NOW: Ticks = 17_700_000_000_000_000;

    fn made(options: &Options) -> Vec<Shelf> {
        shelves(options, NOW).unwrap()
    }

    fn bytes(shelf: &Shelf, index: usize) -> Vec<u8> {
        let mut out = Vec::new();
        shelf.render(index, &mut out);
        out
    }

    #[test]
    fn records_are_distinct_parse_and_come_again_with_the_same_seed() {
        let options = Options::new(3, 20_000);
        let (first, second, other) = (made(&options), made(&options), made(&Options::new(4, 20_000)));
        for (at, shelf) in first.iter().enumerate() {
            let mut distinct = HashSet::new();
            for index in 0..shelf.len {
                let record = bytes(shelf, index);
                assert_eq!(record, bytes(&second[at], index));
                assert_ne!(record, bytes(&other[at], index));
                serde_json::from_slice::<serde_json::Value>(&record).unwrap();
                assert!(distinct.insert(record), "{} {index} repeats", shelf.stream.name);
            }
        }
    }

    #[test]
    fn every_record_is_in_a_blob_and_about_one_in_a_hundred_in_two() {
        let shelf = &made(&Options::new(5, 40_000))[1];
        let mut times = vec![0_u32; shelf.len];
        for blob in 0..shelf.blobs() {
            for index in shelf.blob_entries(blob) {
                times[index] += 1;
            }
            assert_eq!(shelf.blob_of(&shelf.content_id(blob)), Some(blob));
            assert!(blob == 0 || shelf.created(blob - 1) <= shelf.created(blob));
        }
        assert!(times.iter().all(|n| *n >= 1 && *n <= 2));
        let repeated = times.iter().filter(|n| **n == 2).count();
        assert!((20..150).contains(&repeated), "{repeated} of {}", shelf.len);
    }

    #[test]
    fn some_ids_stand_for_several_records() {
        for stream in [1, 3] {
            let shelf = &made(&Options::new(5, 40_000))[stream];
            let mut ids: HashMap<String, u32> = HashMap::new();
            for index in 0..shelf.len {
                let value: serde_json::Value = serde_json::from_slice(&bytes(shelf, index)).unwrap();
                *ids.entry(value["Id"].as_str().unwrap().to_owned()).or_default() += 1;
            }
            let shared = ids.values().filter(|n| **n > 1).count();
            assert!(shared > 0 && shared < shelf.len / 4, "{shared}");
        }
    }

    #[test]
    fn times_lie_within_the_spread_and_in_order() {
        let options = Options::new(6, 10_000);
        for shelf in made(&options) {
            for index in 0..shelf.len {
                let time = if shelf.stream.management() { shelf.event_time(index) } else { shelf.time(index) };
                assert!(
                    time >= NOW - ticks(options.spread) - TICKS_PER_SECOND && time < NOW - ticks(options.newest_age)
                );
                if !shelf.stream.management() {
                    assert!(index == 0 || shelf.time(index - 1) <= time);
                    assert!(shelf.visible_from(index) >= time && shelf.visible_from(index) <= NOW);
                }
            }
            let middle = shelf.len / 2;
            assert!(shelf.len == 0 || shelf.first_from(shelf.time(middle)) <= middle);
            assert_eq!(shelf.first_from(NOW), shelf.len);
        }
    }
}

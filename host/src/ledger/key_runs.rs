//! The delivered keys on disk and in memory: sorted runs that are written once, each with a filter in memory.
//!
//! A commit writes its keys as one run for each day of the arrival clock; runs of like size are merged, and all of a day
//! when the next one has begun, since a lookup asks the filter of each run. Keys are hashes, and a tree that takes them one
//! by one rewrites a page for nearly each of them as soon as it is large; a run is written front to back. A new key, the
//! usual case, is told by the filters without any look at the disk; 2 bytes a key are held in memory. A day is forgotten as
//! a whole.
//!
//! The invariant: what the index in memory names is on disk. A run is published after its commit; where a merge takes runs
//! away, commit and publication happen while no lookup is under way.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Rows, Statement, Transaction, params};

use super::keys::Key;

pub(super) const TABLES: &str = "
-- Keys of records that were delivered or put aside, as sorted runs: a filter and the first key of each page …
CREATE TABLE IF NOT EXISTS key_runs (
  run INTEGER PRIMARY KEY, day INTEGER NOT NULL, keys INTEGER NOT NULL, filter BLOB NOT NULL, fences BLOB NOT NULL
);
-- … and the pages, each the size of a page of the file; `id` is the run and the page's place in it.
CREATE TABLE IF NOT EXISTS key_pages (id INTEGER PRIMARY KEY, keys BLOB NOT NULL);
";

/// A day, in milliseconds.
const DAY: u64 = 24 * 60 * 60 * 1000;
/// Keys of a page: as many as fit into a page of the file with its row's head.
const PAGE: usize = 252;
/// Pages of a run are numbered below this.
const PAGES: i64 = 1 << 20;
/// So many runs of one size are merged into one.
const FAN: usize = 8;
/// Runs below this many keys are of one size; then each size is `FAN` times the one before.
const SMALL: usize = 4096;
/// A merge doesn't make a run larger than this: it is one transaction.
const LARGEST: usize = 4 << 20;
/// The runs of a day that has passed are merged into one as soon as those beside the largest have this part of its keys;
/// with less, every late record would have a whole day written again.
const LATE: usize = 4;
/// Bytes of filter for a key: about one new key in 2,000 is looked for on disk in vain, for each run.
const FILTER_BYTES: usize = 2;

/// All runs. Shared by the threads that look keys up and the one that commits.
#[derive(Debug)]
pub(super) struct KeyIndex {
    runs: RwLock<Vec<Arc<Run>>>,
    next: AtomicI64,
}

/// One run, as it is held in memory.
#[derive(Debug)]
struct Run {
    id: i64,
    day: i64,
    keys: usize,
    filter: Filter,
    /// The first key of each page.
    fences: Vec<Key>,
}

/// What a transaction changed, to be published with its commit.
#[derive(Debug, Default)]
pub(super) struct Change {
    added: Vec<Arc<Run>>,
    removed: Vec<i64>,
}

impl KeyIndex {
    /// Loads the index of a ledger.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare("SELECT run, day, keys, filter, fences FROM key_runs")?;
        let runs = statement
            .query_map([], |row| {
                let fences: Vec<u8> = row.get(4)?;
                Ok(Arc::new(Run {
                    id: row.get(0)?,
                    day: row.get(1)?,
                    keys: row.get::<_, i64>(2)?.unsigned_abs() as usize,
                    filter: Filter::read(row.get_ref(3)?.as_blob()?),
                    fences: keys_of(&fences).collect(),
                }))
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let next = runs.iter().map(|run| run.id + 1).max().unwrap_or(1);
        Ok(Self { runs: RwLock::new(runs), next: AtomicI64::new(next) })
    }

    /// Which of the keys are committed, in their order.
    pub(super) fn known(&self, connection: &Connection, keys: &[Key]) -> rusqlite::Result<Vec<bool>> {
        let runs = self.runs.read().unwrap_or_else(PoisonError::into_inner);
        // One read transaction for all of them is several times as fast as one for each.
        let transaction = connection.unchecked_transaction()?;
        let mut page = transaction.prepare_cached("SELECT keys FROM key_pages WHERE id = ?1")?;
        let mut known = Vec::with_capacity(keys.len());
        for key in keys {
            let hash = Hash::of(key);
            let mut found = false;
            for run in runs.iter().filter(|run| run.filter.may_hold(hash)) {
                if run.holds(key, &mut page)? {
                    found = true;
                    break;
                }
            }
            known.push(found);
        }
        Ok(known)
    }

    /// Writes keys, each with its place on the arrival clock in milliseconds, and merges runs where there are many.
    pub(super) fn insert(
        &self,
        transaction: &Transaction<'_>,
        keys: impl IntoIterator<Item = (Key, u64)>,
    ) -> rusqlite::Result<Change> {
        let mut days: BTreeMap<i64, Vec<Key>> = BTreeMap::new();
        for (key, arrival) in keys {
            days.entry(day_of(arrival)).or_default().push(key);
        }
        let mut change = Change::default();
        for (day, keys) in days {
            change.added.push(self.write(transaction, day, keys)?);
            while let Some(runs) = self.by_day(&change).remove(&day).and_then(many_of_one_size) {
                self.merge(transaction, day, &runs, &mut change)?;
            }
        }
        // One day with a commit, so that none takes long.
        let mut passed = self.by_day(&change);
        passed.pop_last();
        if let Some((day, runs)) = passed.into_iter().find_map(|(day, runs)| Some((day, worth_one(runs)?))) {
            self.merge(transaction, day, &runs, &mut change)?;
        }
        Ok(change)
    }

    /// Commits and publishes a change.
    pub(super) fn commit(&self, transaction: Transaction<'_>, change: Change) -> rusqlite::Result<()> {
        let write = || self.runs.write().unwrap_or_else(PoisonError::into_inner);
        // Between the commit and its publication, a lookup may miss what was added, since its keys are still in flight;
        // but it must not look for what was taken away.
        let early = (!change.removed.is_empty()).then(write);
        transaction.commit()?;
        if early.is_none() && change.added.is_empty() {
            return Ok(());
        }
        let mut runs = early.unwrap_or_else(write);
        runs.retain(|run| !change.removed.contains(&run.id));
        runs.extend(change.added);
        Ok(())
    }

    /// Takes every day away that ended before a point of the arrival clock, in milliseconds.
    pub(super) fn forget_before(&self, transaction: &Transaction<'_>, arrival: u64) -> rusqlite::Result<Change> {
        let mut change = Change::default();
        let first = day_of(arrival);
        let old: Vec<Arc<Run>> = self.snapshot().into_iter().filter(|run| run.day < first).collect();
        for run in old {
            run.delete(transaction)?;
            change.removed.push(run.id);
        }
        Ok(change)
    }

    /// Brings the keys of a ledger of the first format along, which kept them in one table.
    pub(super) fn take_over(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let old = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'keys'";
        if connection.query_row(old, [], |_| Ok(())).optional()?.is_none() {
            return Ok(());
        }
        let transaction = connection.transaction()?;
        let mut change = Change::default();
        {
            let mut rows = transaction.prepare("SELECT arrival, key FROM keys ORDER BY arrival")?;
            let mut rows = rows.query([])?;
            let mut batch: (i64, Vec<Key>) = (0, Vec::new());
            while let Some(row) = rows.next()? {
                let day = day_of(row.get::<_, i64>(0)?.unsigned_abs());
                if day != batch.0 || batch.1.len() >= LARGEST {
                    self.write_old(&transaction, &mut batch, &mut change)?;
                    batch.0 = day;
                }
                batch.1.push(Key::from_bytes(row.get(1)?));
            }
            self.write_old(&transaction, &mut batch, &mut change)?;
        }
        transaction.execute_batch("DROP TABLE keys")?;
        self.commit(transaction, change)
    }

    fn write_old(
        &self,
        transaction: &Transaction<'_>,
        (day, keys): &mut (i64, Vec<Key>),
        change: &mut Change,
    ) -> rusqlite::Result<()> {
        if !keys.is_empty() {
            change.added.push(self.write(transaction, *day, std::mem::take(keys))?);
        }
        Ok(())
    }

    fn snapshot(&self) -> Vec<Arc<Run>> {
        self.runs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self, transaction: &Transaction<'_>, day: i64, mut keys: Vec<Key>) -> rusqlite::Result<Arc<Run>> {
        keys.sort_unstable();
        let mut run = self.begin(transaction, day, keys.len())?;
        keys.into_iter().try_for_each(|key| run.push(key))?;
        run.finish()
    }

    fn begin<'a>(&self, transaction: &'a Transaction<'_>, day: i64, keys: usize) -> rusqlite::Result<NewRun<'a>> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let run = Run { id, day, keys: 0, filter: Filter::for_keys(keys), fences: Vec::new() };
        let insert = transaction.prepare_cached("INSERT INTO key_pages (id, keys) VALUES (?1, ?2)")?;
        Ok(NewRun { transaction, insert, run, page: Vec::with_capacity(PAGE) })
    }

    /// Merges runs of a day into one, page by page.
    fn merge(
        &self,
        transaction: &Transaction<'_>,
        day: i64,
        runs: &[Arc<Run>],
        change: &mut Change,
    ) -> rusqlite::Result<()> {
        let mut merged = self.begin(transaction, day, runs.iter().map(|run| run.keys).sum())?;
        {
            let pages = "SELECT keys FROM key_pages WHERE id >= ?1 AND id < ?2 ORDER BY id";
            let mut pages = runs.iter().map(|_| transaction.prepare(pages)).collect::<rusqlite::Result<Vec<_>>>()?;
            let mut readers = Vec::with_capacity(runs.len());
            let mut heads = BinaryHeap::with_capacity(runs.len());
            for (run, pages) in runs.iter().zip(&mut pages) {
                let mut reader = run.read(pages)?;
                heads.extend(reader.next()?.map(|key| Reverse((key, readers.len()))));
                readers.push(reader);
            }
            while let Some(mut head) = heads.peek_mut() {
                let Reverse((key, reader)) = *head;
                merged.push(key)?;
                match readers[reader].next()? {
                    Some(key) => *head = Reverse((key, reader)),
                    None => drop(PeekMut::pop(head)),
                }
            }
        }
        for run in runs {
            run.delete(transaction)?;
            match change.added.iter().position(|added| added.id == run.id) {
                Some(place) => drop(change.added.swap_remove(place)),
                None => change.removed.push(run.id),
            }
        }
        change.added.push(merged.finish()?);
        Ok(())
    }

    /// The runs of each day, with a change, the smallest first.
    fn by_day(&self, change: &Change) -> BTreeMap<i64, Vec<Arc<Run>>> {
        let mut days: BTreeMap<i64, Vec<Arc<Run>>> = BTreeMap::new();
        let published = self.snapshot();
        for run in published.iter().filter(|run| !change.removed.contains(&run.id)).chain(&change.added) {
            days.entry(run.day).or_default().push(run.clone());
        }
        days.values_mut().for_each(|runs| runs.sort_by_key(|run| run.keys));
        days
    }
}

/// Of a day's runs, the smallest first, those to merge since there are many of one size.
fn many_of_one_size(runs: Vec<Arc<Run>>) -> Option<Vec<Arc<Run>>> {
    let mut sizes = runs.chunk_by(|one, other| one.size() == other.size());
    Some(sizes.find(|runs| runs.len() >= FAN && keys_in(runs) <= LARGEST)?.to_vec())
}

/// Of a passed day's runs, the smallest first, those to merge into one, if it is worth it.
fn worth_one(mut runs: Vec<Arc<Run>>) -> Option<Vec<Arc<Run>>> {
    let mut keys = 0;
    runs.retain(|run| {
        keys += run.keys;
        keys <= LARGEST
    });
    let (largest, rest) = runs.split_last()?;
    (!rest.is_empty() && keys_in(rest) * LATE >= largest.keys).then_some(runs)
}

fn keys_in(runs: &[Arc<Run>]) -> usize {
    runs.iter().map(|run| run.keys).sum()
}

impl Run {
    /// Runs of one size are merged with each other.
    fn size(&self) -> u32 {
        (self.keys / SMALL).checked_ilog(FAN).map_or(0, |size| size + 1)
    }

    fn holds(&self, key: &Key, page: &mut CachedStatement<'_>) -> rusqlite::Result<bool> {
        let Some(place) = self.fences.partition_point(|first| first <= key).checked_sub(1) else { return Ok(false) };
        page.query_row([self.id * PAGES + place as i64], |row| {
            let (keys, _) = row.get_ref(0)?.as_blob()?.as_chunks::<16>();
            Ok(keys.binary_search(key.bytes()).is_ok())
        })
    }

    /// Reads its keys in their order, by a statement for the pages between two numbers.
    fn read<'a>(&self, pages: &'a mut Statement<'_>) -> rusqlite::Result<Reader<'a>> {
        Ok(Reader { pages: pages.query([self.id * PAGES, (self.id + 1) * PAGES])?, page: Vec::new().into_iter() })
    }

    fn delete(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached("DELETE FROM key_pages WHERE id >= ?1 AND id < ?2")?
            .execute([self.id * PAGES, (self.id + 1) * PAGES])?;
        connection.prepare_cached("DELETE FROM key_runs WHERE run = ?1")?.execute([self.id])?;
        Ok(())
    }
}

/// A run that is being read, page by page.
struct Reader<'a> {
    pages: Rows<'a>,
    page: std::vec::IntoIter<Key>,
}

impl Reader<'_> {
    fn next(&mut self) -> rusqlite::Result<Option<Key>> {
        while self.page.as_slice().is_empty() {
            let Some(page) = self.pages.next()? else { return Ok(None) };
            self.page = keys_of(page.get_ref(0)?.as_blob()?).collect::<Vec<_>>().into_iter();
        }
        Ok(self.page.next())
    }
}

/// A run that is being written: it takes its keys in their order.
struct NewRun<'a> {
    transaction: &'a Transaction<'a>,
    insert: CachedStatement<'a>,
    run: Run,
    page: Vec<Key>,
}

impl NewRun<'_> {
    fn push(&mut self, key: Key) -> rusqlite::Result<()> {
        if self.page.last() == Some(&key) {
            return Ok(());
        }
        if self.page.len() == PAGE {
            self.write_page()?;
        }
        if self.page.is_empty() {
            self.run.fences.push(key);
        }
        self.page.push(key);
        self.run.filter.add(&key);
        self.run.keys += 1;
        Ok(())
    }

    fn write_page(&mut self) -> rusqlite::Result<()> {
        let place = self.run.fences.len() as i64 - 1;
        self.insert.execute(params![self.run.id * PAGES + place, bytes_of(&self.page)])?;
        self.page.clear();
        Ok(())
    }

    fn finish(mut self) -> rusqlite::Result<Arc<Run>> {
        if !self.page.is_empty() {
            self.write_page()?;
        }
        let Run { id, day, keys, filter, fences } = &self.run;
        self.transaction
            .prepare_cached("INSERT INTO key_runs (run, day, keys, filter, fences) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![id, day, *keys as i64, filter.bytes(), bytes_of(fences)])?;
        Ok(Arc::new(self.run))
    }
}

fn day_of(arrival: u64) -> i64 {
    (arrival / DAY).cast_signed()
}

fn bytes_of(keys: &[Key]) -> Vec<u8> {
    keys.iter().map(|key| *key.bytes()).collect::<Vec<_>>().into_flattened()
}

fn keys_of(bytes: &[u8]) -> impl Iterator<Item = Key> {
    bytes.as_chunks::<16>().0.iter().map(|key| Key::from_bytes(*key))
}

/// Where a key is in any filter: its two halves, since it is a hash already.
#[derive(Debug, Clone, Copy)]
struct Hash {
    block: u64,
    /// A bit of each of a block's words.
    bits: [u32; 8],
}

impl Hash {
    fn of(key: &Key) -> Self {
        let number = u128::from_le_bytes(*key.bytes());
        let bits = SALT.map(|salt| 1 << ((number as u32).wrapping_mul(salt) >> 27));
        Self { block: (number >> 64) as u64, bits }
    }
}

/// A split block Bloom filter (Apache Parquet, BloomFilter.md): eight bits of one block for each key, so that a look costs
/// one line of the processor's cache.
#[derive(Debug)]
struct Filter(Vec<[u32; 8]>);

const SALT: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

impl Filter {
    /// An empty one for so many keys.
    fn for_keys(keys: usize) -> Self {
        Self(vec![[0; 8]; (keys * FILTER_BYTES).div_ceil(32).max(1)])
    }

    fn add(&mut self, key: &Key) {
        let hash = Hash::of(key);
        let place = self.place(hash);
        for (word, bit) in self.0[place].iter_mut().zip(hash.bits) {
            *word |= bit;
        }
    }

    fn place(&self, hash: Hash) -> usize {
        ((u128::from(hash.block) * self.0.len() as u128) >> 64) as usize
    }

    /// False if the key is certainly not among those that the filter was made of.
    fn may_hold(&self, hash: Hash) -> bool {
        let block = &self.0[self.place(hash)];
        // All eight words, without a branch between them.
        block.iter().zip(hash.bits).fold(0, |missing, (word, bit)| missing | (!word & bit)) == 0
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.iter().flatten().map(|word| word.to_le_bytes()).collect::<Vec<_>>().into_flattened()
    }

    fn read(bytes: &[u8]) -> Self {
        let words: Vec<u32> = bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
        let mut blocks = words.as_chunks::<8>().0.to_vec();
        if blocks.is_empty() {
            // A filter that isn't there holds nothing back.
            blocks.push([u32::MAX; 8]);
        }
        Self(blocks)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::keys::KeyHash;
    use super::*;

    fn key(number: u64) -> Key {
        KeyHash::Unkeyed.key("s", &number.to_le_bytes())
    }

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(TABLES).unwrap();
        connection
    }

    fn add(index: &KeyIndex, connection: &mut Connection, numbers: impl IntoIterator<Item = u64>, arrival: u64) {
        let transaction = connection.transaction().unwrap();
        let change = index.insert(&transaction, numbers.into_iter().map(|number| (key(number), arrival))).unwrap();
        index.commit(transaction, change).unwrap();
    }

    fn count(connection: &Connection, table: &str) -> u64 {
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap() as u64
    }

    #[test]
    fn every_key_is_found_through_merges_and_a_restart() {
        let mut connection = database();
        let index = KeyIndex::load(&connection).unwrap();
        for commit in 0..300_u64 {
            add(&index, &mut connection, commit * 100..commit * 100 + 100, DAY * 3);
        }
        let runs = index.snapshot().len();
        assert!(runs <= 3 * FAN, "{runs} runs");
        assert_eq!(runs as u64, count(&connection, "key_runs"));
        let all: Vec<Key> = (0..30_000).map(key).collect();
        let other: Vec<Key> = (30_000..60_000).map(key).collect();
        for index in [index, KeyIndex::load(&connection).unwrap()] {
            assert!(index.known(&connection, &all).unwrap().into_iter().all(|known| known));
            assert!(!index.known(&connection, &other).unwrap().into_iter().any(|known| known));
        }
    }

    #[test]
    fn a_key_that_comes_twice_is_kept_once_after_a_merge() {
        let mut connection = database();
        let index = KeyIndex::load(&connection).unwrap();
        for _ in 0..FAN {
            add(&index, &mut connection, [1, 2, 2], 0);
        }
        let runs = index.snapshot();
        assert_eq!((runs.len(), runs[0].keys), (1, 2));
    }

    #[test]
    fn a_passed_day_becomes_one_run_and_is_written_again_only_for_many_late_keys() {
        let mut connection = database();
        let index = KeyIndex::load(&connection).unwrap();
        let of_day = |index: &KeyIndex, day: i64| -> Vec<(i64, usize)> {
            index.snapshot().iter().filter(|run| run.day == day).map(|run| (run.id, run.keys)).collect()
        };
        for commit in 0..20_u64 {
            add(&index, &mut connection, commit * 1000..commit * 1000 + 1000, 0);
        }
        assert!(of_day(&index, 0).len() > 1, "the day is not over");
        add(&index, &mut connection, [1_000_000], DAY);
        let one = of_day(&index, 0);
        assert_eq!(one.iter().map(|(_, keys)| *keys).collect::<Vec<_>>(), [20_000]);
        // A fifth is late: left apart.
        add(&index, &mut connection, 20_000..24_000, 0);
        assert!(of_day(&index, 0).contains(&one[0]));
        // A quarter is not.
        add(&index, &mut connection, 24_000..25_000, 0);
        assert_eq!(of_day(&index, 0).iter().map(|(_, keys)| *keys).collect::<Vec<_>>(), [25_000]);
        assert_eq!(count(&connection, "key_pages"), 25_000_u64.div_ceil(PAGE as u64) + 1);
    }

    proptest! {
        /// Whatever days the keys come in, through merges, forgotten days and restarts.
        #[test]
        fn the_index_knows_what_a_set_knows(
            commits in vec((0..4_u64, vec(0..3000_u64, 1..300), 0..12_u8), 1..60),
        ) {
            let mut connection = database();
            let mut index = KeyIndex::load(&connection).unwrap();
            let mut set = BTreeSet::new();
            for (day, numbers, then) in commits {
                set.extend(numbers.iter().map(|number| (day, *number)));
                add(&index, &mut connection, numbers, day * DAY);
                if then == 0 {
                    index = KeyIndex::load(&connection).unwrap();
                } else if then == 1 {
                    let transaction = connection.transaction().unwrap();
                    let change = index.forget_before(&transaction, DAY * 2).unwrap();
                    index.commit(transaction, change).unwrap();
                    set.retain(|(day, _)| *day >= 2);
                }
            }
            let held: BTreeSet<u64> = set.iter().map(|(_, number)| *number).collect();
            let all: Vec<Key> = (0..3000).map(key).collect();
            let known = index.known(&connection, &all).unwrap();
            prop_assert!((0..3000).zip(known).all(|(number, known)| known == held.contains(&number)));
            // No day has a run too many, and nothing is left of the runs that were merged.
            let runs = index.snapshot();
            prop_assert_eq!(runs.len() as u64, count(&connection, "key_runs"));
            let pages: usize = runs.iter().map(|run| run.keys.div_ceil(PAGE)).sum();
            prop_assert_eq!(pages as u64, count(&connection, "key_pages"));
            for day in 0..4 {
                prop_assert!(runs.iter().filter(|run| run.day == day).count() < 3 * FAN);
            }
        }
    }

    #[test]
    fn a_day_is_forgotten_as_a_whole() {
        let mut connection = database();
        let index = KeyIndex::load(&connection).unwrap();
        for day in 1..=4 {
            add(&index, &mut connection, day * 1000..day * 1000 + 500, day * DAY + 5);
        }
        let transaction = connection.transaction().unwrap();
        let change = index.forget_before(&transaction, 3 * DAY + 9).unwrap();
        index.commit(transaction, change).unwrap();
        let keys: Vec<Key> = (1..=4).map(|day| key(day * 1000)).collect();
        assert_eq!(index.known(&connection, &keys).unwrap(), [false, false, true, true]);
        assert_eq!((count(&connection, "key_runs"), count(&connection, "key_pages")), (2, 4));
    }

    #[test]
    fn a_transaction_that_fails_leaves_the_index_as_it_was() {
        let mut connection = database();
        let index = KeyIndex::load(&connection).unwrap();
        for number in 0..FAN as u64 - 1 {
            add(&index, &mut connection, [number], 0);
        }
        let transaction = connection.transaction().unwrap();
        index.insert(&transaction, [(key(99), 0)]).unwrap();
        drop(transaction);
        assert_eq!(index.known(&connection, &[key(0), key(99)]).unwrap(), [true, false]);
        add(&index, &mut connection, [99], 0);
        assert_eq!(index.known(&connection, &[key(0), key(99)]).unwrap(), [true, true]);
    }

    #[test]
    fn lookups_run_beside_commits_that_merge() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.sqlite");
        let open = || {
            let connection = Connection::open(&path).unwrap();
            connection.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
            connection.pragma_update(None, "journal_mode", "WAL").unwrap();
            connection
        };
        let mut writer = open();
        writer.execute_batch(TABLES).unwrap();
        let index = KeyIndex::load(&writer).unwrap();
        add(&index, &mut writer, 0..1000, 0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let connection = open();
                    let keys: Vec<Key> = (0..1000).map(key).collect();
                    for _ in 0..30 {
                        assert!(index.known(&connection, &keys).unwrap().into_iter().all(|known| known));
                    }
                });
            }
            for commit in 10..200_u64 {
                add(&index, &mut writer, commit * 100..commit * 100 + 100, 0);
            }
        });
    }

    #[test]
    fn keys_of_the_first_format_are_taken_over() {
        let mut connection = database();
        connection
            .execute_batch("CREATE TABLE keys (key BLOB PRIMARY KEY, arrival INTEGER NOT NULL) WITHOUT ROWID")
            .unwrap();
        for number in 0..1000 {
            connection
                .execute("INSERT INTO keys VALUES (?1, ?2)", params![key(number).bytes(), (number * 1_000_000) as i64])
                .unwrap();
        }
        let index = KeyIndex::load(&connection).unwrap();
        index.take_over(&mut connection).unwrap();
        index.take_over(&mut connection).unwrap();
        let keys: Vec<Key> = (0..1000).map(key).collect();
        assert!(index.known(&connection, &keys).unwrap().into_iter().all(|known| known));
        assert!(index.snapshot().len() > 10, "by day");
    }

    #[test]
    fn the_filter_lets_few_strangers_through() {
        let keys: Vec<Key> = (0..100_000).map(key).collect();
        let mut filter = Filter::for_keys(keys.len());
        keys.iter().for_each(|key| filter.add(key));
        let filter = Filter::read(&filter.bytes());
        assert!(keys.iter().all(|key| filter.may_hold(Hash::of(key))));
        let strangers = (100_000..200_000).filter(|number| filter.may_hold(Hash::of(&key(*number)))).count();
        assert!(strangers < 200, "{strangers} of 100,000");
    }
}

//! The names of full files: `events.ndjson` becomes `events-20260504T030201Z-000007.ndjson`. Names sort by number.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Names beside one file.
pub(super) struct Names {
    folder: PathBuf,
    /// The file's name up to its first dot, and the rest.
    stem: String,
    ending: String,
}

/// A full file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rotated {
    pub(super) sequence: u64,
    /// When it was put aside, in milliseconds since 1970.
    pub(super) at_ms: u64,
    pub(super) path: PathBuf,
}

impl Names {
    pub(super) fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // A dot at the beginning hides the file and begins no ending.
        let dot = name.char_indices().skip(1).find(|(_, c)| *c == '.').map_or(name.len(), |(at, _)| at);
        Self {
            folder: path.parent().unwrap_or(Path::new("")).to_owned(),
            stem: name[..dot].to_owned(),
            ending: name[dot..].to_owned(),
        }
    }

    /// The name of a file that is put aside now.
    pub(super) fn name(&self, now_ms: u64, sequence: u64) -> PathBuf {
        self.folder.join(format!("{}-{}-{sequence:06}{}", self.stem, stamp(now_ms), self.ending))
    }

    /// The full files that are there, by number. A folder that can't be read has none.
    pub(super) fn rotated(&self) -> Vec<Rotated> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut files: Vec<Rotated> = entries.filter_map(|entry| self.parse(&entry.path())).collect();
        files.sort();
        files
    }

    /// The highest number that is there.
    pub(super) fn last_sequence(&self) -> u64 {
        self.rotated().last().map_or(0, |file| file.sequence)
    }

    fn parse(&self, path: &Path) -> Option<Rotated> {
        let name = path.file_name()?.to_str()?;
        let middle = name.strip_prefix(&self.stem)?.strip_suffix(&self.ending)?.strip_prefix('-')?;
        let (time, sequence) = middle.split_once('-')?;
        if sequence.len() < 6 || !sequence.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(Rotated { sequence: sequence.parse().ok()?, at_ms: parse_stamp(time)?, path: path.to_owned() })
    }
}

/// A time as in `20260504T030201Z`.
fn stamp(now_ms: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(now_ms.min(253_402_300_799_000));
    // As in `Mon, 04 May 2026 03:02:01 GMT`.
    let text = httpdate::fmt_http_date(time);
    let words: Vec<&str> = text.split([' ', ':']).collect();
    let month = MONTHS.iter().position(|month| *month == words[2]).unwrap_or(0) + 1;
    format!("{}{month:02}{}T{}{}{}Z", words[3], words[1], words[4], words[5], words[6])
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn parse_stamp(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('Z')?;
    if digits.len() != 15 || !digits.is_ascii() || digits.as_bytes()[8] != b'T' {
        return None;
    }
    let number = |range: std::ops::Range<usize>| digits.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    let (hour, minute, second) = (number(9..11)?, number(11..13)?, number(13..15)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 59
    {
        return None;
    }
    // Days since 1970, with years that begin in March, so that a leap day is the last of its year.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * years + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + day - 1 - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_time_and_number_before_the_ending() {
        let folder = tempfile::tempdir().unwrap();
        for (file, expected) in [
            ("events.ndjson.gz", "events-20260504T030201Z-000007.ndjson.gz"),
            ("events", "events-20260504T030201Z-000007"),
            (".hidden", ".hidden-20260504T030201Z-000007"),
        ] {
            let names = Names::of(&folder.path().join(file));
            let path = names.name(1_777_863_721_000, 7);
            assert_eq!(path.file_name().unwrap(), expected);
            assert_eq!(
                names.parse(&path),
                Some(Rotated { sequence: 7, at_ms: 1_777_863_721_000, path: path.clone() }),
                "{file}"
            );
        }
    }

    #[test]
    fn times_of_every_day_are_read_back() {
        for day in (0..40_000).step_by(13).chain([0, 58, 59, 60, 789, 11_016, 20_577, 47_540]) {
            let at = (day * 86_400 + 86_399) * 1000;
            assert_eq!(parse_stamp(&stamp(at)), Some(at), "{}", stamp(at));
        }
        for no_time in
            ["20261301T000000Z", "20260100T000000Z", "19691231T235959Z", "20260101T240000Z", "+2260101T000000Z"]
        {
            assert_eq!(parse_stamp(no_time), None, "{no_time}");
        }
    }

    #[test]
    fn only_names_of_ours_are_taken_for_full_files() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "events.ndjson",
            "events-20260504T030201Z-000002.ndjson",
            "events-20260504T030201Z-1000001.ndjson",
            "events-old-000009.ndjson",
            "events-20260504T030201Z-9.ndjson",
            "other-20260504T030201Z-000009.ndjson",
            "events-20260504T030201Z-000009.ndjson.gz",
        ] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let names = Names::of(&folder.path().join("events.ndjson"));
        let sequences: Vec<u64> = names.rotated().iter().map(|file| file.sequence).collect();
        assert_eq!(sequences, [2, 1_000_001]);
    }
}

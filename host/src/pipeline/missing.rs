//! Pieces of which the service says that they aren't there, or that always break: asked for again, and only then lost.
//!
//! The invariant: one answer is a claim, and "lost" is a verdict. It needs the same kind of answer over a day, while other
//! pieces of the stream could be read; or an answer after the piece's time has run out. This machine's clock alone never loses
//! anything. If no piece of a stream is there, it is the tenant, the cloud or the service, and nothing is lost.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::ledger::{Claim, ClaimKind, Horizon};

/// How long to wait after the first such answer, the second, and so on; the last one repeats.
const PAUSES: [Duration; 6] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(60 * 60),
];
/// After so many such answers in a row, half a minute after the first, a piece counts as held: a run that should end doesn't
/// wait for it.
pub(super) const HELD_AFTER: u32 = 3;
/// A piece is lost after so many such answers at the earliest …
const LOST_AFTER: u32 = 6;
/// … and this time after the first of them, in milliseconds.
const LOST_AFTER_MS: u64 = 24 * 60 * 60 * 1000;
/// A piece whose time has run out is lost this time after the first answer, in milliseconds.
const EXPIRED_AFTER_MS: u64 = 60 * 60 * 1000;
/// So many different pieces that aren't there, and no other, say that it isn't the pieces …
const SEVERAL: usize = 3;
/// … and so many do whether or not there are others that weren't asked for yet.
const MANY: usize = 50;

/// What an answer means for its piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Hold it, and ask again after this time.
    Held(Duration),
    /// It is lost, for this reason.
    Lost(&'static str),
}

/// Of one stream: what speaks for the pieces, and what against them.
#[derive(Default)]
struct Evidence {
    /// When a piece could be read last, in milliseconds since 1970.
    read_at: u64,
    /// The pieces that are held and weren't claimed to be missing before that.
    missing: HashSet<String>,
}

/// An answer that says that a piece isn't there, or that can't be read.
pub(super) struct Answer<'a> {
    pub(super) stream: &'a str,
    pub(super) id: &'a str,
    /// With this answer counted.
    pub(super) claim: &'a Claim,
    /// Whether the service says that the piece was there, and its time has run out.
    pub(super) gone: bool,
    /// When the piece's time runs out, by the services' clock in milliseconds since 1970.
    pub(super) expires: Option<u64>,
}

/// What is known of all streams.
#[derive(Default)]
pub(super) struct Claims(Mutex<HashMap<String, Evidence>>);

impl Claims {
    /// Begins with what earlier runs left.
    pub(super) fn new(horizons: &BTreeMap<String, Horizon>) -> Self {
        let evidence = |horizon: &Horizon| Evidence { read_at: horizon.read_at.unwrap_or(0), ..Evidence::default() };
        Self(Mutex::new(horizons.iter().map(|(stream, horizon)| (stream.clone(), evidence(horizon))).collect()))
    }

    /// A piece of the stream could be read.
    pub(super) fn read(&self, stream: &str, now: u64) {
        let mut streams = self.lock();
        match streams.get_mut(stream) {
            Some(evidence) => {
                evidence.read_at = now;
                evidence.missing.clear();
            }
            None => {
                streams.insert(stream.to_owned(), Evidence { read_at: now, ..Evidence::default() });
            }
        }
    }

    /// Weighs an answer. `now` is by the service's clock; while that is in doubt, nothing is lost.
    pub(super) fn weigh(&self, answer: &Answer<'_>, now: u64, in_doubt: bool) -> Verdict {
        let Answer { stream, id, claim, .. } = answer;
        let mut streams = self.lock();
        let evidence = streams.entry((*stream).to_owned()).or_default();
        let expired = answer.expires.is_some_and(|expires| expires <= now);
        let since = now.saturating_sub(claim.first);
        // An expiry is a claim as well: but for the service's word that it is over, it shortens the day to an hour.
        let stays = claim.answers >= HELD_AFTER && since >= EXPIRED_AFTER_MS;
        if !in_doubt && expired && (answer.gone || stays) {
            evidence.missing.remove(*id);
            return Verdict::Lost(match claim.kind {
                ClaimKind::Missing => "its time at the service has run out, and the service says so",
                ClaimKind::Unreadable => "its time at the service has run out, and it breaks each time",
            });
        }
        let others_are_there = evidence.read_at > claim.first;
        if !in_doubt && others_are_there && claim.answers >= LOST_AFTER && since >= LOST_AFTER_MS {
            return Verdict::Lost(match claim.kind {
                ClaimKind::Missing => {
                    "the service has said so for a day, while other pieces of the stream could be read"
                }
                ClaimKind::Unreadable => "it has broken for a day, while other pieces of the stream could be read",
            });
        }
        if claim.kind == ClaimKind::Missing && !others_are_there && claim.answers >= HELD_AFTER {
            evidence.missing.insert((*id).to_owned());
        }
        let pause = PAUSES[(claim.answers.max(1) as usize - 1).min(PAUSES.len() - 1)];
        // Pieces that failed together don't come back together.
        Verdict::Held(pause.mul_f64(0.85 + 0.3 * f64::from(now as u32 % 1000) / 1000.0))
    }

    /// How many pieces aren't there, if that says that it isn't the pieces. `all`: no piece of the stream is left of which the
    /// service hasn't said so.
    pub(super) fn speak_against_the_stream(&self, stream: &str, all: bool) -> Option<usize> {
        let missing = self.lock().get(stream).map_or(0, |evidence| evidence.missing.len());
        (missing >= MANY || (all && missing >= SEVERAL)).then_some(missing)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Evidence>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn claim(answers: u32, first: u64) -> Claim {
        Claim { kind: ClaimKind::Missing, answers, first, code: "404".to_owned(), reason: "It isn't there.".to_owned() }
    }

    fn answer<'a>(id: &'a str, claim: &'a Claim) -> Answer<'a> {
        Answer { stream: "s", id, claim, gone: false, expires: Some(200 * HOUR) }
    }

    fn lost(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Lost(_))
    }

    #[test]
    fn a_piece_is_lost_after_a_day_if_others_could_be_read_meanwhile() {
        let claims = Claims::default();
        let verdict = |answers, hours: u64| claims.weigh(&answer("a", &claim(answers, HOUR)), hours * HOUR, false);
        assert!(!lost(&verdict(1, 1)) && !lost(&verdict(99, 100)), "nothing else could be read");
        claims.read("s", 2 * HOUR);
        assert!(!lost(&verdict(LOST_AFTER, 24)), "not yet a day");
        assert!(!lost(&verdict(LOST_AFTER - 1, 99)), "not often enough");
        assert!(lost(&verdict(LOST_AFTER, 25)));
    }

    #[test]
    fn after_its_time_the_answer_decides_and_never_the_clock_alone() {
        let claims = Claims::default();
        let (once, held) = (claim(1, 201 * HOUR), claim(HELD_AFTER, 201 * HOUR));
        let weigh = |answer: Answer<'_>| lost(&claims.weigh(&answer, 202 * HOUR, false));
        assert!(weigh(Answer { gone: true, ..answer("a", &once) }), "it says that the time is over");
        assert!(!weigh(answer("a", &once)), "it says that it isn't there, once");
        assert!(weigh(answer("a", &held)));
        assert!(!weigh(Answer { gone: true, expires: None, ..answer("a", &once) }));
        let early = claims.weigh(&Answer { gone: true, ..answer("a", &once) }, 199 * HOUR, false);
        assert!(!lost(&early), "by the services' clock it is still there");
        let doubted = claims.weigh(&Answer { gone: true, ..answer("a", &once) }, 202 * HOUR, true);
        assert!(!lost(&doubted), "nobody knows what time it is");
        let young = claim(HELD_AFTER, 202 * HOUR - 1);
        assert!(!weigh(answer("a", &young)), "an expiry that was wrong loses nothing in a moment");
    }

    #[test]
    fn a_piece_that_breaks_is_weighed_alike_and_says_nothing_of_the_stream() {
        let claims = Claims::default();
        let broken = |answers| Claim { kind: ClaimKind::Unreadable, ..claim(answers, HOUR) };
        for id in ["a", "b", "c"] {
            claims.weigh(&answer(id, &broken(LOST_AFTER)), 30 * HOUR, false);
        }
        assert_eq!(claims.speak_against_the_stream("s", true), None);
        assert!(!lost(&claims.weigh(&answer("a", &broken(99)), 99 * HOUR, false)), "nothing else could be read");
        claims.read("s", 2 * HOUR);
        assert!(lost(&claims.weigh(&answer("a", &broken(LOST_AFTER)), 25 * HOUR, false)));
    }

    #[test]
    fn several_pieces_and_no_other_speak_against_the_stream() {
        let claims = Claims::default();
        for id in ["a", "b", "c"] {
            assert_eq!(claims.speak_against_the_stream("s", true), None);
            claims.weigh(&answer(id, &claim(HELD_AFTER - 1, HOUR)), HOUR, false);
            claims.weigh(&answer(id, &claim(HELD_AFTER, HOUR)), HOUR, false);
        }
        assert_eq!(claims.speak_against_the_stream("s", true), Some(3));
        assert_eq!(claims.speak_against_the_stream("s", false), None, "others weren't asked for yet");
        assert_eq!(claims.speak_against_the_stream("other", true), None);
        claims.read("s", 2 * HOUR);
        for id in ["a", "b", "c"] {
            claims.weigh(&answer(id, &claim(HELD_AFTER + 1, HOUR)), 3 * HOUR, false);
        }
        assert_eq!(claims.speak_against_the_stream("s", true), None, "another was there after they weren't");
    }

    #[test]
    fn pauses_grow_from_seconds_to_an_hour() {
        let claims = Claims::default();
        let pause = |answers| match claims.weigh(&answer("a", &claim(answers, 0)), 500, false) {
            Verdict::Held(pause) => pause,
            Verdict::Lost(why) => panic!("{why}"),
        };
        assert!(pause(1) < Duration::from_secs(6));
        assert!(pause(50) > Duration::from_secs(3000) && pause(50) < Duration::from_secs(4200));
        assert!((1..9).map(pause).collect::<Vec<_>>().is_sorted());
    }
}

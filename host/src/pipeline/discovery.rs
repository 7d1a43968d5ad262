//! One stream's discovery: list what is new, store it, wait, again.

use std::time::Duration;

use super::failures::{Class, Failure};
use super::patience::Halt;
use super::reading::pause;
use super::status::Doing;
use super::troubles::{Spot, What};
use super::work::HELD_MS;
use super::{Shared, now_ms};
use crate::claims;
use crate::guest::Discovery;
use crate::ledger::PendingSplit;
use crate::times::utc;

const BLOCKED_PAUSE: Duration = Duration::from_millis(HELD_MS);

/// How often to look whether a stream that can't be read is read again.
const HELD_PAUSE: Duration = Duration::from_secs(5);

/// After so many listings without a pause …
const IN_A_ROW: u32 = 300;
/// … each further one waits at least this long. Nobody who asks a service for what he lists is that fast.
const LEAST_PAUSE: Duration = Duration::from_millis(50);

/// Runs until the run ends.
pub(super) fn run(shared: &Shared, stream: &str) {
    let mut failures = 0;
    let mut in_a_row = 0;
    let mut full = false;
    while !shared.cancel.is_cancelled() {
        // What can't be read now is listed when it can: then as few wide windows instead of many narrow ones.
        if shared.queue.is_blocked(stream) && shared.queue.open(stream) > 0 {
            if shared.cancel.wait(HELD_PAUSE).is_err() {
                return;
            }
            continue;
        }
        if shared.queue.is_full(stream) {
            if !full {
                full = true;
                tracing::warn!(
                    stream,
                    "So many pieces of this stream wait to be read that no more are listed for now."
                );
            }
            if shared.cancel.wait(HELD_PAUSE).is_err() {
                return;
            }
            continue;
        }
        let wait = match discover(shared, stream) {
            Ok(discovery) => {
                failures = 0;
                in_a_row = if discovery.more && discovery.next_ms == 0 { in_a_row + 1 } else { 0 };
                match take_up(shared, stream, &discovery) {
                    Ok(()) if in_a_row > IN_A_ROW => {
                        if in_a_row == IN_A_ROW + 1 {
                            tracing::info!(
                                stream,
                                listings = IN_A_ROW,
                                "The plugin goes on listing, and is asked for more at most twenty times a second."
                            );
                        }
                        LEAST_PAUSE
                    }
                    Ok(()) if discovery.more => Duration::from_millis(discovery.next_ms),
                    Ok(()) => Duration::from_millis(discovery.next_ms).max(Duration::from_secs(1)),
                    Err(Halt::Stopped) => return,
                    Err(Halt::Failed(error)) => return shared.fail(error),
                }
            }
            Err(Failure::Halt(Halt::Failed(error))) => return shared.fail(error),
            Err(error) if error.is_held_back() => match error.class() {
                Class::Retry { slow, .. } => pause(1).max(slow.unwrap_or_default()),
                _ => pause(1),
            },
            Err(error) => {
                failures += 1;
                failed(shared, stream, &error, failures)
            }
        };
        if !wait.is_zero() && shared.cancel.wait(wait).is_err() {
            return;
        }
    }
}

fn discover(shared: &Shared, stream: &str) -> Result<Discovery, Failure> {
    let state = shared.patience.attempt(&listing_of(stream), || shared.ledger.state(stream))?;
    // A new instance each time costs microseconds, and idle streams hold no memory.
    let mut instance = shared.plugin.source(&shared.settings, stream, shared.client.clone(), shared.cancel.clone())?;
    let found = instance.discover(stream, state.as_deref(), shared.service_ms(stream))?;
    Ok(claims::discovery(stream, found, shared.service_ms(stream)))
}

fn listing_of(stream: &str) -> String {
    format!("The listing of {stream}")
}

fn take_up(shared: &Shared, stream: &str, discovery: &Discovery) -> Result<(), Halt> {
    let new = shared.patience.attempt(&listing_of(stream), || shared.ledger.discovered(stream, discovery, now_ms()))?;
    // After the commit: a gap is told once, with the state that knows it.
    for (interval, reason) in &discovery.lost {
        if !shared.plugin.may_tell(stream, reason) {
            continue;
        }
        tracing::error!(
            stream,
            from = %utc(interval.start),
            to = %utc(interval.end),
            "A stretch of this stream is declared a gap: {reason} `m365-pipe coverage` lists all gaps."
        );
    }
    shared.board.gaps(stream, discovery.lost.len());
    tracing::debug!(
        stream,
        pass = discovery.pass,
        new = new.len(),
        listed = discovery.splits.len(),
        more = discovery.more,
        "Listed."
    );
    for split in new {
        shared.queue.add(PendingSplit::new(split));
    }
    shared.learnt(stream, discovery);
    // Only now: a stream that has caught up must not look finished before its splits are in the queue.
    shared.board.listed(stream, discovery.more);
    shared.troubles.works(stream, &Spot::Listing);
    Ok(())
}

fn failed(shared: &Shared, stream: &str, error: &Failure, failures: u32) -> Duration {
    let mut closed = Duration::ZERO;
    let wait = match shared.class(stream, error, failures.saturating_sub(1)) {
        Class::Stop => return Duration::ZERO,
        Class::Blocked | Class::Elsewhere | Class::Missing => {
            shared.board.blocked(stream, Doing::Listing, &error.to_string());
            shared.report(stream, What::Blocked, Spot::Listing, error, None);
            return BLOCKED_PAUSE;
        }
        Class::Retry { slow, quota } => {
            closed = quota.map_or(Duration::ZERO, |quota| shared.client.penalize(&quota, slow));
            pause(failures).max(slow.unwrap_or_default())
        }
        Class::Unreadable { slow } => pause(failures).max(slow.unwrap_or_default()),
        Class::Restart => pause(failures),
    };
    shared.board.failed(stream, &error.to_string());
    shared.report(stream, What::Failing, Spot::Listing, error, Some(wait.max(closed)));
    wait
}

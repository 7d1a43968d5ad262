//! The state of a Management Activity stream between two polls.
//!
//! Invariant: `watermark` only moves over time that has been listed completely. It runs on the arrival clock
//! (`contentCreated`). Members that a later version adds are ignored by this one; those that an earlier one didn't write have
//! defaults.

use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::pages::Trail;
use crate::passes::Passes;

/// The version that this plugin writes.
pub const VERSION: u32 = 1;

/// The state.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct State {
    /// The version of this form.
    pub v: u32,
    /// Everything before it has been listed, once at least. Milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<u64>,
    /// When the subscription was last seen enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled_at: Option<u64>,
    /// The last start of the subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// A window whose pages haven't all been listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<OpenWindow>,
    /// What to add to this machine's clock to get the service's, in milliseconds; left out below a minute.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skew_ms: i64,
    /// The difference that the last answer told, in milliseconds; left out below a minute. Two have to agree.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub told_ms: i64,
    /// When the live lane last had everything, by this machine's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_at: Option<u64>,
    /// Since when, on the arrival clock, the subscription was found stopped or disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_since: Option<u64>,
    /// How far the later passes have come.
    #[serde(default, skip_serializing_if = "Passes::is_empty")]
    pub passes: Passes,
    /// A pass in the middle of its pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass_window: Option<PassWindow>,
    /// Why the passes are waiting, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass_pause: Option<PassPause>,
    /// A window that is listed again since its pages led in a circle: its start, and how often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<(u64, u32)>,
    /// The hashes of what was told and stays so, such as content that can't be understood: it isn't told at each listing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<u64>,
}

/// So much is remembered as told.
const TOLD: usize = 64;

/// A pass in the middle of its pages.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PassWindow {
    /// The pass, by its age in milliseconds.
    pub age: u64,
    /// The window.
    #[serde(flatten)]
    pub window: OpenWindow,
}

/// A pause of the passes after failures that concern them alone.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PassPause {
    /// Failures in a row.
    pub failures: u32,
    /// When to go on, by this machine's clock.
    pub until: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the form that serde asks for
fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// A start of the subscription. The service takes one in 15 minutes, so a start and what became of it are remembered.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Start {
    /// When it was asked for.
    pub at: u64,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Error>,
    /// Until when no other one is asked for, if the service said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

/// A window in the middle of its pages.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct OpenWindow {
    /// The bounds that were asked for.
    pub start: u64,
    /// The bounds that were asked for.
    pub end: u64,
    /// Up to where its first page can have known everything: never beyond the service's clock at that answer.
    pub known_until: u64,
    /// The next page.
    pub next: String,
    /// When the page was handed out, by this machine's clock.
    pub at: u64,
    /// The pages before it.
    #[serde(default, skip_serializing_if = "Trail::is_empty")]
    pub trail: Trail,
}

impl State {
    /// The state of a stream that was never read.
    pub fn new() -> Self {
        Self {
            v: VERSION,
            watermark: None,
            enabled_at: None,
            start: None,
            window: None,
            skew_ms: 0,
            told_ms: 0,
            live_at: None,
            stopped_since: None,
            passes: Passes::default(),
            pass_window: None,
            pass_pause: None,
            again: None,
            told: Vec::new(),
        }
    }

    /// Whether this is told for the first time, as far as is remembered.
    pub fn tells(&mut self, what: &str) -> bool {
        let hash = xxhash_rust::xxh3::xxh3_64(what.as_bytes());
        let new = !self.told.contains(&hash);
        if new {
            self.told.push(hash);
            if self.told.len() > TOLD {
                self.told.remove(0);
            }
        }
        new
    }

    /// Reads what `discover` wrote.
    ///
    /// # Errors
    /// `bad-data` if it isn't a state of this plugin.
    pub fn read(text: Option<&str>) -> Result<Self, Error> {
        let Some(text) = text else { return Ok(Self::new()) };
        let state: Self = serde_json::from_str(text).map_err(|error| Error::unreadable("stream state", &error))?;
        if state.v != VERSION {
            return Err(Error::new(
                ErrorKind::BadData,
                "newer-position",
                format!(
                    "The stream's state has version {}, and this plugin reads version {VERSION}; install a newer plugin.",
                    state.v
                ),
            ));
        }
        Ok(state)
    }

    /// Takes back what can't have happened yet: a clock was wrong, or was put back. What is done again loses nothing.
    pub fn bound(&mut self, now: u64) {
        let latest = now.saturating_add(clock::SLACK);
        let past = |at: &u64| *at <= latest;
        self.watermark = self.watermark.map(|at| at.min(latest));
        self.enabled_at = self.enabled_at.filter(past);
        self.start = self.start.take().filter(|start| past(&start.at));
        self.live_at = self.live_at.filter(past);
        self.stopped_since = self.stopped_since.map(|at| at.min(latest));
        self.passes.bound(latest);
        for window in self.window.iter_mut().chain(self.pass_window.as_mut().map(|pass| &mut pass.window)) {
            window.known_until = window.known_until.min(latest);
        }
    }

    /// Writes the state.
    pub fn write(&self) -> String {
        // Numbers and strings with string keys: serialising them into memory can't fail.
        serde_json::to_string(self).expect("a state is plain data")
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

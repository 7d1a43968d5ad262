//! What is odd about tokens and clocks.

/// What is odd about tokens and clocks.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// After every so many requests, tokens older than a minute are no longer good, whatever `expires_in` had said.
    pub revoke_every: Option<u64>,
    /// Every second token of an API is refused while it is younger than so many seconds at most: 401 with an AF code, with a text,
    /// or with an empty body.
    pub refuse_fresh: Option<u64>,
    /// The collector's clock is so many milliseconds ahead of the service's, or behind it.
    pub collector_ahead_ms: i64,
}

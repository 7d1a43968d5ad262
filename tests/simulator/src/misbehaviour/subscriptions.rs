//! What is odd about subscriptions.

use std::time::Duration;

/// What is odd about subscriptions. The default is nothing.
#[derive(Clone, Debug, Default)]
pub struct Subscriptions {
    /// Two of the five content types, by the seed, can't be started for a time between these two after the first attempt: 403
    /// with the code `429`, or 429 with `AF429`, and the time that is left in the message alone.
    pub throttled_starts: Option<(Duration, Duration)>,
}

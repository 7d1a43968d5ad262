//! Answers with a good status whose body isn't what was asked for.

/// What is wrong with bodies. Zero and an empty list are the healthy values.
#[derive(Clone, Debug, Default)]
pub struct Bodies {
    /// One page of Graph in so many holds half of its records and ends with an `error` member, and with no next page: what a
    /// service writes that fails while it writes.
    pub error_member_every: u64,
    /// In each of these streams one record can't be written: the JSON of every answer that comes to it breaks there, and ends.
    /// What comes after it in the same blob, and in the same second of a Graph collection, can't be had for it.
    pub broken_records: &'static [&'static str],
}

//! When and how often records and blobs come: late, twice, in crowds.

use std::time::Duration;

/// When and how often records and blobs come.
#[derive(Clone, Debug, Default)]
pub struct Arrival {
    /// Some blobs are listed long after their `contentCreated`.
    pub late_blobs: Option<Late>,
    /// Some blobs can't be read for so long after they were first listed: 404, AF20050 or AF20052, always the same of a blob.
    pub missing_blobs: Option<Late>,
    /// Some Graph records appear long after their own time.
    pub late_records: Option<Late>,
    /// One Management API record in so many is in a later blob, too. The default is one in a hundred.
    pub repeat_every: Option<u64>,
    /// One Management API record in so many bears the `Id` of the record before it. The default is one in 150, for DLP one in
    /// six.
    pub share_id_every: Option<u64>,
    /// So many Graph records have one timestamp, and so many blobs one `contentCreated`.
    pub crowd: Option<usize>,
}

/// Lateness of one in so many, evenly between two times.
#[derive(Clone, Copy, Debug)]
pub struct Late {
    /// One in so many is late.
    pub one_in: u64,
    /// By this much at least.
    pub least: Duration,
    /// By this much at most.
    pub most: Duration,
}

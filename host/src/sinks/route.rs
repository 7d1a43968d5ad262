//! Which streams go to which sink.

use crate::config::{SinkConfig, stream_matches};

/// What a sink takes. Both conditions have to hold.
#[derive(Debug, Clone, Default)]
pub struct Route {
    /// Patterns of streams; none stands for all.
    streams: Option<Vec<String>>,
    /// Datasets; none stands for all.
    datasets: Option<Vec<String>>,
}

impl Route {
    /// The route of a configured sink.
    pub fn new(config: &SinkConfig) -> Self {
        Self { streams: config.streams.clone(), datasets: config.datasets.clone() }
    }

    /// Whether records of this stream, which belong to this dataset, go to the sink.
    pub fn takes(&self, stream: &str, dataset: &str) -> bool {
        self.streams.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| stream_matches(pattern, stream)))
            && self.datasets.as_ref().is_none_or(|datasets| datasets.iter().any(|own| own == dataset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SinkKind;

    #[test]
    fn both_conditions_have_to_hold() {
        let mut config = SinkConfig::new(SinkKind::Stdout);
        assert!(Route::new(&config).takes("a.b", "d"));
        config.streams = Some(vec!["a.*".to_owned(), "c".to_owned()]);
        assert!(Route::new(&config).takes("a.b", "d"));
        assert!(Route::new(&config).takes("c", "d"));
        assert!(!Route::new(&config).takes("ab", "d"));
        assert!(!Route::new(&config).takes("c.d", "d"));
        config.datasets = Some(vec!["d".to_owned()]);
        assert!(Route::new(&config).takes("a.b", "d"));
        assert!(!Route::new(&config).takes("a.b", "e"));
    }
}

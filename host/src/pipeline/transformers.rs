//! The transformers that readers share: as many as there are cores, since normalising only computes. Readers mostly wait
//! for the network, and there are more of them; a transformer each would cost memory and gain nothing.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::Transformer;
use crate::guest::Plugin;

/// Transformers with the same settings.
pub(super) struct Transformers {
    idle: Mutex<Vec<Transformer>>,
    returned: Condvar,
}

impl Transformers {
    pub(super) fn new(plugin: &Arc<Plugin>, settings: &str) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let transformers = (0..cores).map(|_| Transformer::new(plugin.clone(), settings.to_owned())).collect();
        Self { idle: Mutex::new(transformers), returned: Condvar::new() }
    }

    /// Works with a transformer, once one is free.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Transformer) -> T) -> T {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // The one used last is the one whose memory is still in the processor's caches; others may never be needed.
        let mut transformer = loop {
            match idle.pop() {
                Some(transformer) => break transformer,
                None => idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(idle);
        let result = work(&mut transformer);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(transformer);
        self.returned.notify_one();
        result
    }
}

//! Standard output. It can't confirm more than that the operating system took the bytes.

use std::io;

use super::{GivenUp, Receipt, Sink, SinkError, Trouble};
use crate::config::SinkConfig;

/// Writes to standard output.
pub(super) struct StdoutSink {
    name: String,
    /// How many bytes of a failed delivery have gone out. They can't be taken back, so they aren't repeated.
    gone: usize,
}

impl StdoutSink {
    pub(super) fn new(config: &SinkConfig) -> Self {
        Self { name: config.name.clone().unwrap_or_else(|| "stdout".to_owned()), gone: 0 }
    }
}

fn sink_error(error: &io::Error) -> SinkError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => SinkError::new(
            Trouble::Final,
            "Standard output was closed by whoever reads it. What was not delivered will be at the next start.",
        ),
        io::ErrorKind::StorageFull => SinkError::passing(
            "The disk that standard output goes to is full. Nothing is lost: free some space; delivery then goes on.",
        ),
        _ => SinkError::passing(format!("Standard output can't be written to: {error}.")),
    }
}

impl Sink for StdoutSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn resume(&mut self, _position: Option<&str>) -> Result<Option<String>, SinkError> {
        Ok(None)
    }

    fn deliver(&mut self, blocks: &[&[u8]]) -> Result<Receipt, SinkError> {
        // Not through the standard library's buffer, which can't tell how much of it went out.
        let out = io::stdout().lock();
        let mut skip = self.gone;
        for block in blocks {
            let mut rest = block.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(block.len());
            while !rest.is_empty() {
                match rustix::io::write(&out, rest) {
                    Ok(0) => return Err(sink_error(&io::ErrorKind::WriteZero.into())),
                    Ok(written) => {
                        self.gone += written;
                        rest = &rest[written..];
                    }
                    Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(sink_error(&error.into())),
                }
            }
        }
        self.gone = 0;
        Ok(Receipt::default())
    }

    fn give_up(&mut self) -> GivenUp {
        self.gone = 0;
        GivenUp::default()
    }
}

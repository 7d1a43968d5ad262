//! Standard output. It can't confirm more than that the operating system took the bytes.

use std::io::{self, Write as _};

use super::{Sink, SinkError};
use crate::config::SinkFormat;

/// Writes to standard output.
pub(super) struct StdoutSink {
    format: SinkFormat,
}

impl StdoutSink {
    pub(super) fn new(format: SinkFormat) -> Self {
        Self { format }
    }
}

fn sink_error(error: io::Error) -> SinkError {
    let fatal = error.kind() == io::ErrorKind::BrokenPipe;
    let message = if fatal {
        "Standard output was closed by whoever reads it. What was not delivered will be at the next start.".to_owned()
    } else {
        format!("Standard output can't be written to: {error}.")
    };
    SinkError { message, fatal }
}

impl Sink for StdoutSink {
    fn name(&self) -> &str {
        "stdout"
    }

    fn format(&self) -> SinkFormat {
        self.format
    }

    fn resume(&mut self, _position: Option<u64>) -> Result<(), SinkError> {
        Ok(())
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), SinkError> {
        io::stdout().lock().write_all(lines).map_err(sink_error)
    }

    fn confirm(&mut self) -> Result<Option<u64>, SinkError> {
        io::stdout().lock().flush().map_err(sink_error)?;
        Ok(None)
    }

    fn roll_back(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

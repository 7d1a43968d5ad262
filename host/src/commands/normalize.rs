//! `m365-pipe normalize`: raw records in, OCSF events or ECS documents out, through the plugin's transform.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Failure, Global, exit_codes};
use crate::guest::{Batch, GuestLimits, Output};
use crate::pipeline::{Transformer, now_ms};

/// Records go to the plugin in batches of about this size.
const BATCH_BYTES: usize = 512 << 10;

/// Turn raw records into OCSF events, or into documents of the Elastic Common Schema. Both are newline-delimited JSON, one object a line;
/// blank lines are passed over.
#[derive(Debug, Args)]
pub(super) struct Normalize {
    /// The stream that the records are of, such as office365.exchange; `m365-pipe streams` lists them.
    #[arg(long, value_name = "NAME")]
    stream: String,
    /// What comes out.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    format: Format,
    /// Where rejected records go, as NDJSON of line, reason and raw. Default: standard error.
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// The tenant's GUID, for records that don't name their tenant themselves.
    #[arg(long, value_name = "GUID")]
    tenant: Option<String>,
    /// Files of records. Default: standard input.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What records become.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// OCSF 1.8.0 events
    #[default]
    Ocsf,
    /// The same events as documents of the Elastic Common Schema 9.4.0; what has no field there is under `m365`
    Ecs,
}

impl Format {
    /// How the plugin's settings call it.
    fn setting(self) -> &'static str {
        match self {
            Self::Ocsf => "ocsf",
            Self::Ecs => "ecs",
        }
    }
}

impl Normalize {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        let plugin = Arc::new(super::plugin::load(global, GuestLimits::default())?);
        let known = &plugin.description().streams;
        if !known.iter().any(|stream| stream.name == self.stream) {
            let names: Vec<&str> = known.iter().map(|stream| stream.name.as_str()).collect();
            return Err(Failure::new(
                exit_codes::CONFIGURATION,
                format!("There is no stream {:?}. The streams are: {}.", self.stream, names.join(", ")),
            ));
        }
        let mut settings = json!({"format": self.format.setting()});
        if let Some(tenant) = &self.tenant {
            settings["tenant"] = json!(tenant);
        }
        let rejects: Box<dyn Write> = match &self.rejects {
            Some(path) => {
                Box::new(BufWriter::new(File::create(path).map_err(|error| Failure::file("written to", path, &error))?))
            }
            None => Box::new(io::stderr()),
        };
        let mut job = Job {
            transformer: Transformer::new(plugin, settings.to_string()),
            stream: &self.stream,
            out: BufWriter::with_capacity(1 << 20, io::stdout().lock()),
            rejects,
            rejected: 0,
            several_files: self.files.len() > 1,
        };
        if self.files.is_empty() {
            job.read(Path::new("standard input"), io::stdin().lock())?;
        }
        for path in &self.files {
            let file = File::open(path).map_err(|error| Failure::file("read", path, &error))?;
            job.read(path, BufReader::with_capacity(1 << 18, file))?;
        }
        job.out.flush().map_err(|error| Failure::stdout(&error))?;
        job.rejects.flush().map_err(|error| Failure::file("written to", &job_rejects(&self.rejects), &error))?;
        Ok(if job.rejected == 0 { ExitCode::SUCCESS } else { ExitCode::from(exit_codes::REJECTS) })
    }
}

fn job_rejects(path: &Option<PathBuf>) -> PathBuf {
    path.clone().unwrap_or_else(|| PathBuf::from("standard error"))
}

struct Job<'a, W: Write> {
    transformer: Transformer,
    stream: &'a str,
    out: W,
    rejects: Box<dyn Write>,
    rejected: u64,
    several_files: bool,
}

impl<W: Write> Job<'_, W> {
    fn read(&mut self, name: &Path, mut input: impl BufRead) -> Result<(), Failure> {
        let mut data = Vec::with_capacity(BATCH_BYTES * 2);
        // The line number in the file of each line of the batch.
        let mut numbers = Vec::new();
        let mut number = 0u64;
        loop {
            let start = data.len();
            let read = input.read_until(b'\n', &mut data).map_err(|error| Failure::file("read", name, &error))?;
            if read > 0 {
                number += 1;
                while data.len() > start && data.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                    data.pop();
                }
                if data[start..].iter().all(u8::is_ascii_whitespace) {
                    data.truncate(start);
                } else {
                    data.push(b'\n');
                    numbers.push(number);
                }
            }
            if data.len() >= BATCH_BYTES || (read == 0 && !numbers.is_empty()) {
                let count = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
                let batch = Batch { count, data: std::mem::take(&mut data) };
                let output = self.transformer.process(self.stream, "", &batch, now_ms())?;
                self.write(name, &numbers, &batch, &output)?;
                numbers.clear();
                data = batch.data;
                data.clear();
            }
            if read == 0 {
                return Ok(());
            }
        }
    }

    fn write(&mut self, name: &Path, numbers: &[u64], batch: &Batch, output: &Output) -> Result<(), Failure> {
        self.out.write_all(&output.batch.data).map_err(|error| Failure::stdout(&error))?;
        if output.rejects.is_empty() {
            return Ok(());
        }
        let lines: Vec<&[u8]> = batch.data.split(|byte| *byte == b'\n').collect();
        for reject in &output.rejects {
            self.rejected += 1;
            let index = reject.index as usize;
            let raw = lines.get(index).copied().unwrap_or_default();
            let mut line = json!({
                "line": numbers.get(index),
                "reason": format!("{}: {}", reject.code, reject.message),
            });
            if self.several_files {
                line["file"] = json!(name.display().to_string());
            }
            match std::str::from_utf8(raw) {
                Ok(text) => line["raw"] = json!(text),
                // Bytes that are no text are kept as numbers: nothing is lost.
                Err(_) => line["raw"] = json!(raw),
            }
            writeln!(self.rejects, "{line}")
                .map_err(|error| Failure::file("written to", Path::new("the rejects"), &error))?;
        }
        Ok(())
    }
}

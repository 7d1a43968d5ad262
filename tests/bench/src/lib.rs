//! What the benchmarks share: records to work on, the plain round trip that everything is compared with, and what machine it is.

use std::io::{BufRead, Write};

use m365_sim::{Options, Simulator};

/// Records of all twelve streams of a simulated tenant, of about 1.5 kB each, as NDJSON by stream.
///
/// # Errors
/// If the simulator can't be started.
pub fn records(events: u64) -> std::io::Result<Vec<(String, u32, Vec<u8>)>> {
    let tenant = Simulator::start(Options { record_bytes: Some(1500), ..Options::new(1, events) })?;
    let mut streams = Vec::new();
    for stream in tenant.holds().into_keys() {
        let mut count = 0;
        let mut data = Vec::new();
        for record in tenant.records(&stream) {
            data.extend_from_slice(&record);
            data.push(b'\n');
            count += 1;
        }
        streams.push((stream, count, data));
    }
    tenant.stop();
    Ok(streams)
}

/// Parses each line to a `serde_json::Value` and writes it again: no mapping, no validation.
///
/// # Errors
/// If a line is no JSON, or reading or writing fails.
pub fn plain_round_trip(mut input: impl BufRead, mut output: impl Write) -> std::io::Result<u64> {
    let mut line = Vec::new();
    let mut count = 0;
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(count);
        }
        let value: serde_json::Value = serde_json::from_slice(&line)?;
        serde_json::to_writer(&mut output, &value)?;
        output.write_all(b"\n")?;
        count += 1;
    }
}

/// The machine: processor, cores, and what else it does at the moment, as far as the system tells.
#[must_use]
pub fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let (cpus, load) = (read("/proc/cpuinfo"), read("/proc/loadavg"));
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    format!(
        "{}, {} cores; load average before the measurement: {}",
        model.unwrap_or("unknown processor"),
        std::thread::available_parallelism().map_or(1, usize::from),
        load.split_whitespace().next().unwrap_or("unknown")
    )
}

//! What a process used: time and peak memory by the kernel's account, and what it wrote to files.
//!
//! Invariant: of a process that ended, everything is read between its end and the moment it is forgotten.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use wait4::Wait4;

use crate::Outcome;

/// What one process used, or several one after the other.
#[derive(Clone, Default)]
pub(crate) struct Used {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    pub(crate) peak_bytes: u64,
    /// Bytes given to `write`: files and pipes, but no sockets.
    pub(crate) written_bytes: u64,
}

impl Used {
    pub(crate) fn add(&mut self, other: &Self) {
        self.cpu += other.cpu;
        self.wall += other.wall;
        self.peak_bytes = self.peak_bytes.max(other.peak_bytes);
        self.written_bytes += other.written_bytes;
    }
}

/// Starts a process whose input is empty, and whose output nobody wants.
pub(crate) fn spawn(command: &mut Command) -> Outcome<Child> {
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

/// Runs a process to its end.
pub(crate) fn run(command: &mut Command) -> Outcome<Used> {
    let start = Instant::now();
    let child = spawn(command)?;
    wait(child, start).map_err(|error| format!("{command:?}: {error}").into())
}

/// Waits for the end of a process.
pub(crate) fn wait(child: Child, start: Instant) -> Outcome<Used> {
    // Ended, but not yet forgotten: its account of input and output is still there.
    waitid(WaitId::Pid(Pid::from_child(&child)), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
    let wall = start.elapsed();
    let written_bytes = line(child.id(), "io", "wchar:")?;
    let used = child.wait4()?;
    // 3: some records were rejected, which the generated ones hold on purpose.
    if used.status.code() != Some(0) && used.status.code() != Some(3) {
        return Err(format!("it ended with {:?}", used.status).into());
    }
    let cpu = used.rusage.utime + used.rusage.stime;
    Ok(Used { cpu, wall, peak_bytes: used.rusage.maxrss, written_bytes })
}

/// Asks a process to end.
pub(crate) fn terminate(child: &Child) -> Outcome<()> {
    Ok(kill_process(Pid::from_child(child), Signal::TERM)?)
}

/// The CPU time of a process that runs, in steps of a hundredth of a second.
pub(crate) fn cpu(child: &Child) -> Outcome<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
    // The name, in brackets, may hold anything; utime and stime are the 14th and 15th field.
    let fields: Vec<&str> = stat.rsplit_once(')').ok_or("no name")?.1.split_whitespace().collect();
    let ticks = |at: usize| -> Outcome<u64> { Ok(fields.get(at).ok_or("too few fields")?.parse()?) };
    let ticks_per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs(ticks(11)? + ticks(12)?) / u32::try_from(ticks_per_second)?)
}

/// Bytes of memory of a process that runs, now and at its peak.
pub(crate) fn memory(child: &Child) -> Outcome<(u64, u64)> {
    Ok((line(child.id(), "status", "VmRSS:")? << 10, line(child.id(), "status", "VmHWM:")? << 10))
}

/// The number in a line of a file below /proc.
fn line(process: u32, file: &str, name: &str) -> Outcome<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/{file}"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
    Ok(value.split_whitespace().next().ok_or("no number")?.parse()?)
}

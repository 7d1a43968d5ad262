//! Results as Markdown, with the machine that they are of.

use crate::Outcome;

/// The machine: processor, cores, and what else it does at the moment.
pub(crate) fn machine() -> Outcome<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let load = std::fs::read_to_string("/proc/loadavg")?;
    Ok(format!(
        "{}, {} cores; load average before the measurement: {}",
        model.unwrap_or("unknown processor"),
        std::thread::available_parallelism()?,
        load.split_whitespace().next().unwrap_or_default()
    ))
}

/// Prints a table; the first column is text, the others are numbers.
pub(crate) fn print(title: &str, header: &[&str], rows: &[Vec<String>]) {
    println!("\n{title}\n");
    println!("| {} |", header.join(" | "));
    println!("|---|{}", "---:|".repeat(header.len() - 1));
    for row in rows {
        println!("| {} |", row.join(" | "));
    }
}

/// Bytes in MiB.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1_048_576.0)
}

/// The middle one of some values.
pub(crate) fn median<T: Ord + Copy>(values: &mut [T]) -> Option<T> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

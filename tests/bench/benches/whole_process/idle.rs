//! A collector that has caught up and goes on polling, with default settings: how little it takes.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::process::{cpu, memory, run, spawn, terminate, wait};
use crate::table::{mib, print};
use crate::tenant::{Plan, Sink, Tenant};
use crate::{Bench, Outcome};

/// For how long the collector settles after its start.
const SETTLE: Duration = Duration::from_secs(20);

pub(crate) fn measure(bench: &Bench) -> Outcome<()> {
    // A few records: it is about what comes after them.
    let plan = Plan { events: 2_400, blob_records: 20, real_quotas: true, ..Plan::of(bench) };
    let tenant = Tenant::start(bench, &plan)?;
    let config = tenant.configure(bench, Sink::File, "data")?;
    run(bench.collector().args(["--quiet", "run", "--until-caught-up", "-c"]).arg(&config))?;
    let start = Instant::now();
    let child = spawn(bench.collector().args(["--quiet", "run", "-c"]).arg(&config))?;
    sleep(SETTLE);
    let (before, since) = (cpu(&child)?, Instant::now());
    sleep(Duration::from_secs(bench.arguments.idle_seconds));
    let (used, passed) = (cpu(&child)? - before, since.elapsed());
    let (resident, peak) = memory(&child)?;
    terminate(&child)?;
    wait(child, start)?;
    let row = vec![
        format!("{:.0}", passed.as_secs_f64()),
        format!("{:.2}", used.as_secs_f64()),
        format!("{:.3}", 100.0 * used.as_secs_f64() / passed.as_secs_f64()),
        mib(resident),
        mib(peak),
    ];
    print(
        "Twelve streams that have caught up; bars: 0.1 % of a core, 40 MB resident",
        &["seconds", "CPU s", "% of a core", "resident MiB", "peak MiB"],
        &[row],
    );
    Ok(())
}

//! A simulated day with records that arrive all along: whether memory at its end is as at its start.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::process::{memory, spawn, terminate, wait};
use crate::table::{mib, print};
use crate::tenant::{Plan, Sink, Tenant};
use crate::{Bench, Outcome};

/// The hours that are shown; the first of them is the one that the last is compared with.
const SHOWN: [u64; 5] = [2, 6, 12, 18, 24];
/// Looks at the memory in each of them.
const LOOKS: u32 = 30;

pub(crate) fn measure(bench: &Bench) -> Outcome<()> {
    let speed = bench.arguments.day_speed.max(1);
    let hour = Duration::from_secs(3_600) / speed;
    let mut plan = Plan { events: bench.arguments.day_events, real_quotas: true, ..Plan::of(bench) };
    // A little longer than the day, so that the last hour is as the others.
    for (name, value) in [("--speed", speed.to_string()), ("--arriving-minutes", (26 * 60).to_string())] {
        plan.more.extend([name.to_owned(), value]);
    }
    plan.more.extend(["--spread-hours".to_owned(), "1".to_owned()]);
    let tenant = Tenant::start(bench, &plan)?;
    let config = tenant.configure(bench, Sink::File, "data")?;
    let mut command = bench.collector();
    command.args(["--quiet", "run", "-c"]).arg(&config).env("M365_PIPE_TEST_CLOCK", tenant.get("clock"));
    let start = Instant::now();
    let child = spawn(&mut command)?;
    let (mut rows, mut first) = (Vec::new(), None);
    for shown in SHOWN {
        sleep((hour * u32::try_from(shown - 1)?).saturating_sub(start.elapsed()));
        let (mut sum, mut peak) = (0, 0);
        for _ in 0..LOOKS {
            sleep(hour / LOOKS);
            let (resident, most) = memory(&child)?;
            sum += resident;
            peak = most;
        }
        let mean = sum / u64::from(LOOKS);
        let base = *first.get_or_insert(mean);
        rows.push(vec![
            shown.to_string(),
            tenant.delivered()?.to_string(),
            mib(mean),
            format!("{:.2}", mean as f64 / base as f64),
            mib(peak),
        ]);
    }
    terminate(&child)?;
    wait(child, start)?;
    print(
        &format!("A simulated day, {speed} times as fast; bar: resident memory as at the start, within 10 %"),
        &["hour", "delivered", "resident MiB, mean of the hour", "ratio", "peak MiB so far"],
        &rows,
    );
    Ok(())
}

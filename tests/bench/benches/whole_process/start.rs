//! Warm starts: from the start of the process to its first event, and to the end of `--help`.

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::process::run;
use crate::table::{median, print};
use crate::tenant::{Plan, Sink, Tenant};
use crate::{Bench, Outcome};

const TIMES: usize = 20;

pub(crate) fn measure(bench: &Bench) -> Outcome<()> {
    // What collectors before this one have done: subscriptions, and the compiled component.
    let plan =
        Plan { events: bench.arguments.events.min(20_000), more: vec!["--subscribed".to_owned()], ..Plan::of(bench) };
    let tenant = Tenant::start(bench, &plan)?;
    first_event(bench, &tenant, "data")?;
    let mut events = (0..TIMES)
        .map(|number| first_event(bench, &tenant, &format!("data-{number}")))
        .collect::<Outcome<Vec<Duration>>>()?;
    let mut helps =
        (0..TIMES).map(|_| Ok(run(bench.collector().arg("--help"))?.wall)).collect::<Outcome<Vec<Duration>>>()?;
    let row = |name: &str, times: &mut [Duration], bar: &str| {
        let ms = |time: Option<Duration>| format!("{:.1}", time.unwrap_or_default().as_secs_f64() * 1_000.0);
        let middle = median(times);
        vec![name.to_owned(), ms(middle), ms(times.first().copied()), ms(times.last().copied()), bar.to_owned()]
    };
    let rows =
        [row("start to first event", &mut events, "100"), row("`m365-pipe --help`, to its end", &mut helps, "10")];
    print(
        &format!("Warm starts, {TIMES} of each, a new ledger each time"),
        &["what", "median ms", "least ms", "most ms", "bar ms"],
        &rows,
    );
    Ok(())
}

/// Starts a collector with a new ledger, and ends it when the first byte of an event is there.
fn first_event(bench: &Bench, tenant: &Tenant, ledger: &str) -> Outcome<Duration> {
    let config = tenant.configure(bench, Sink::Stdout, ledger)?;
    let mut command = bench.collector();
    command
        .args(["--quiet", "run", "-c"])
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn()?;
    let read = child.stdout.take().ok_or("no output")?.read_exact(&mut [0]);
    let passed = start.elapsed();
    child.kill()?;
    child.wait()?;
    read?;
    Ok(passed)
}

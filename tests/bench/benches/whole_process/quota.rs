//! A backlog of many small blobs under the real quota: whether the quota alone says how long it takes.

use crate::process::run;
use crate::table::print;
use crate::tenant::{Plan, Sink, Tenant};
use crate::{Bench, Outcome};

/// Requests that the Management Activity API allows each tenant in a window (Microsoft: Management Activity API reference).
const REQUESTS: u64 = 2_000;
/// The window's seconds.
const WINDOW: u64 = 60;
/// Records in a blob: so few that the requests are what takes time.
const BLOB_RECORDS: u64 = 10;

/// The seconds that so many requests take at the rate that the quota allows. A backlog can do a little better: the requests of
/// the last window may all leave at its beginning.
fn bound(requests: u64) -> f64 {
    (requests * WINDOW) as f64 / REQUESTS as f64
}

pub(crate) fn measure(bench: &Bench) -> Outcome<()> {
    let latency = bench.arguments.latency.unwrap_or(50);
    let streams = ["azure-ad", "exchange", "sharepoint", "dlp", "general"];
    let mut rows = Vec::new();
    for requests in &bench.arguments.quota_requests {
        let plan = Plan {
            events: requests * BLOB_RECORDS,
            blob_records: BLOB_RECORDS,
            latency,
            streams: streams.iter().map(|stream| format!("office365.{stream}")).collect(),
            real_quotas: true,
            ..Plan::of(bench)
        };
        let tenant = Tenant::start(bench, &plan)?;
        let config = tenant.configure(bench, Sink::File, "data")?;
        let used = run(bench.collector().args(["--quiet", "run", "--until-caught-up", "-c"]).arg(&config))?;
        let (records, tally) = (tenant.delivered()?, tenant.end()?);
        let (wall, bound) = (used.wall.as_secs_f64(), bound(tally.management_requests));
        rows.push(vec![
            tally.management_requests.to_string(),
            records.to_string(),
            format!("{bound:.1}"),
            format!("{wall:.1}"),
            format!("{:.2}", wall / bound),
            format!("{:.2}", used.cpu.as_secs_f64() / wall),
            if tally.passed { "none" } else { "SOME" }.to_owned(),
        ]);
    }
    let header = ["requests", "records", "bound s", "wall s", "ratio", "cores busy", "not fetched, or against a rule"];
    let readers = bench.arguments.readers.map_or_else(|| "its own number of".to_owned(), |count| count.to_string());
    let title = format!(
        "Quota of {REQUESTS} requests in {WINDOW} s, {latency} ms before each answer, {readers} readers; bar: ratio 1.10"
    );
    print(&title, &header, &rows);
    Ok(())
}

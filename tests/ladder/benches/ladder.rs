//! Normalising step by step, in one process and one thread, on the same records: copying them, parsing them, parsing and
//! writing them, a mapping in Vector's remap language, and ours, compiled natively and in the component.
//!
//! Rounds go through all the steps in turn, so that a busy moment of the machine meets each of them. CPU time is the
//! thread's; the median of all rounds counts, for the ratios that of the ratio in each round. The fastest round of each step
//! shows what it does when nobody else uses the machine's caches and cores.
//!
//! `cargo bench --manifest-path tests/ladder/Cargo.toml [-- ROUNDS]`

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use cpu_time::ThreadTime;
use m365_bench::{machine, plain_round_trip, records};
use m365_pipe::guest::{Batch, GuestLimits, Plugin, PluginFile};
use m365_plugin::normalize::Normalizer;
use vrl::compiler::state::RuntimeState;
use vrl::compiler::{Context, Program, TargetValue, TimeZone, compile};
use vrl::value::{KeyString, ObjectMap, Secrets, Value};

const EVENTS: u64 = 3_000;
const SETTINGS: &str = r#"{"tenant":"2f7c9d10-4a3b-4c5d-8e6f-7a8b9c0d1e2f"}"#;
const NOW: u64 = 1_780_000_000_000;

/// How many bytes of records a batch holds, as the collector makes them (`limits.batch_kib`).
const BATCH_BYTES: usize = 128 << 10;

/// A batch of records of a stream.
struct Input {
    stream: String,
    count: u32,
    data: Vec<u8>,
}

impl Input {
    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
    }
}

/// A step: does the work for all records, and says how many bytes it made.
struct Step<'a> {
    name: &'static str,
    work: Box<dyn FnMut() -> usize + 'a>,
}

fn main() {
    let machine = machine();
    let rounds: usize = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(31);
    let input: Vec<Input> = records(EVENTS)
        .expect("the simulator starts")
        .into_iter()
        .flat_map(|(stream, _, data)| batches(&stream, &data))
        .collect();
    let count: u64 = input.iter().map(|input| u64::from(input.count)).sum();
    let bytes: usize = input.iter().map(|input| input.data.len()).sum();

    let mut steps = [
        Step { name: "copy the bytes", work: Box::new(|| copy(&input)) },
        Step { name: "parse to serde_json::Value", work: Box::new(|| parse(&input)) },
        Step { name: "parse and write, no mapping", work: Box::new(|| round_trip(&input)) },
        Step { name: "VRL, 30 fields, no validation", work: vrl_mapping(&input) },
        Step { name: "ours, compiled natively", work: native(&input) },
        Step { name: "ours, in the component", work: component(&input) },
    ];
    let mut made = vec![0; steps.len()];
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); steps.len()];
    // The first round warms up and isn't counted.
    for round in 0..=rounds {
        for (index, step) in steps.iter_mut().enumerate() {
            let start = ThreadTime::now();
            made[index] = (step.work)();
            if round > 0 {
                times[index].push(start.elapsed());
            }
        }
    }
    let rate = |step: usize| median(times[step].iter().map(|time| count as f64 / time.as_secs_f64()));
    let fastest = |step: usize| {
        let least = times[step].iter().min().copied().unwrap_or_default();
        count as f64 / least.as_secs_f64()
    };
    // Within a round the machine is as fast for one step as for the other.
    let ratio = |step: usize, base: usize| {
        median(times[step].iter().zip(&times[base]).map(|(time, base)| base.as_secs_f64() / time.as_secs_f64()))
    };
    println!("{machine}\n\n{count} records of {} bytes, medians of {rounds} rounds", bytes as u64 / count);
    println!();
    println!(
        "| step | records per CPU second | of parse and write | of VRL | in the fastest round | bytes made per record |"
    );
    println!("|---|---:|---:|---:|---:|---:|");
    for (index, step) in steps.iter().enumerate() {
        println!(
            "| {} | {:.0} | {:.2} | {:.2} | {:.0} | {} |",
            step.name,
            rate(index),
            ratio(index, 2),
            ratio(index, 3),
            fastest(index),
            made[index] as u64 / count
        );
    }
    println!();
    println!(
        "The component does {:.0} % of what the same code does natively, {:.0} % in the fastest round of each.",
        100.0 * ratio(5, 4),
        100.0 * fastest(5) / fastest(4)
    );
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The records in batches of the size that the collector makes.
fn batches(stream: &str, data: &[u8]) -> Vec<Input> {
    let mut batches: Vec<Input> = Vec::new();
    for line in data.split_inclusive(|byte| *byte == b'\n') {
        match batches.last_mut() {
            Some(batch) if batch.data.len() + line.len() <= BATCH_BYTES => {
                batch.count += 1;
                batch.data.extend_from_slice(line);
            }
            _ => batches.push(Input { stream: stream.to_owned(), count: 1, data: line.to_vec() }),
        }
    }
    batches
}

fn copy(input: &[Input]) -> usize {
    input.iter().map(|input| black_box(input.data.clone()).len()).sum()
}

fn parse(input: &[Input]) -> usize {
    for line in input.iter().flat_map(Input::lines) {
        black_box(serde_json::from_slice::<serde_json::Value>(line).expect("the records are JSON"));
    }
    0
}

fn round_trip(input: &[Input]) -> usize {
    let mut made = 0;
    for input in input {
        let mut out = Vec::with_capacity(input.data.len() * 2);
        plain_round_trip(input.data.as_slice(), &mut out).expect("the records are JSON");
        made += black_box(out).len();
    }
    made
}

/// As in Vector: the line is the event's `message`, a program makes the event of it, a JSON encoder writes it.
fn vrl_mapping(input: &[Input]) -> Box<dyn FnMut() -> usize + '_> {
    let functions = vrl::stdlib::all();
    let program = |source: &str| -> Program {
        compile(source, &functions).unwrap_or_else(|errors| panic!("a VRL program: {errors:?}")).program
    };
    let programs = BTreeMap::from([
        ("office365", program(include_str!("../vrl/office365.vrl"))),
        ("signins", program(include_str!("../vrl/signins.vrl"))),
        ("audits", program(include_str!("../vrl/audits.vrl"))),
        ("alerts", program(include_str!("../vrl/alerts.vrl"))),
    ]);
    let work: Vec<(&'static str, &Input)> = input
        .iter()
        .map(|input| {
            let program = match input.stream.split('.').nth(1) {
                _ if input.stream.starts_with("office365.") => "office365",
                Some("signins") => "signins",
                Some(name) if name.starts_with("alerts") => "alerts",
                _ => "audits",
            };
            (program, input)
        })
        .collect();
    Box::new(move || {
        let mut state = RuntimeState::default();
        let timezone = TimeZone::default();
        let mut made = 0;
        for (name, input) in &work {
            let program = &programs[name];
            let mut out = Vec::with_capacity(input.data.len() * 2);
            for line in input.lines() {
                let mut event = ObjectMap::new();
                event.insert(KeyString::from("message"), Value::from(line));
                let mut target = TargetValue {
                    value: Value::Object(event),
                    metadata: Value::Object(ObjectMap::new()),
                    secrets: Secrets::new(),
                };
                let mut context = Context::new(&mut target, &mut state, &timezone);
                program.resolve(&mut context).unwrap_or_else(|error| panic!("{}: {error}", input.stream));
                state.clear();
                serde_json::to_writer(&mut out, &target.value).expect("memory takes it");
                out.push(b'\n');
            }
            made += black_box(out).len();
        }
        made
    })
}

fn native(input: &[Input]) -> Box<dyn FnMut() -> usize + '_> {
    let normalizer = Normalizer::new(SETTINGS).expect("the settings are good");
    Box::new(move || {
        let mut made = 0;
        for input in input {
            let output = normalizer.process(&input.stream, &input.data, NOW).expect("a known stream");
            made += black_box(output).data.len();
        }
        made
    })
}

fn component(input: &[Input]) -> Box<dyn FnMut() -> usize + '_> {
    let batches: Vec<(String, Batch)> = input
        .iter()
        .map(|input| (input.stream.clone(), Batch { count: input.count, data: input.data.clone() }))
        .collect();
    // As in every start but the first: the compiled component is mapped from a file.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ladder");
    let load = || Plugin::load(&PluginFile::BuiltIn, Some(&cache), GuestLimits::default());
    drop(load());
    let plugin = load().expect("the built-in plugin loads");
    let mut transform = plugin.transform(SETTINGS).expect("the settings are good");
    Box::new(move || {
        let mut made = 0;
        for (stream, batch) in &batches {
            let output = transform.process(stream, batch, NOW).expect("a known stream");
            made += black_box(output).batch.data.len();
        }
        made
    })
}

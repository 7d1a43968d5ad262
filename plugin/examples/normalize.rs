//! Normalises records from standard input: `cargo run -p m365-plugin --example normalize -- --stream office365.exchange < records.ndjson`.
//!
//! With `--bench N` it normalises the input N times instead, and compares the time of a record with a plain round trip through
//! `serde_json::Value`. `--settings JSON` gives the settings.

use std::{
    error::Error,
    io::{Read, Write},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use m365_plugin::normalize::Normalizer;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut stream, mut settings, mut rounds) = (String::new(), "{}".to_owned(), 0_u32);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{argument} wants a value"))?;
        match argument.as_str() {
            "--stream" => stream = value,
            "--settings" => settings = value,
            "--bench" => rounds = value.parse()?,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input)?;
    let normalizer = Normalizer::new(&settings)?;
    let now_ms = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    if rounds > 0 {
        return bench(&normalizer, &stream, &input, rounds);
    }
    let output = normalizer.process(&stream, &input, now_ms)?;
    std::io::stdout().write_all(&output.data)?;
    for reject in &output.rejects {
        eprintln!("line {}: {}: {}", reject.index + 1, reject.code, reject.message);
    }
    eprintln!("{} events, {} rejects", output.events, output.rejects.len());
    Ok(())
}

fn bench(normalizer: &Normalizer, stream: &str, input: &[u8], rounds: u32) -> Result<(), Box<dyn Error>> {
    let lines: Vec<&[u8]> = input.split(|b| *b == b'\n').filter(|l| !l.is_empty()).collect();
    let records = lines.len() as f64 * f64::from(rounds);
    let start = Instant::now();
    for _ in 0..rounds {
        std::hint::black_box(normalizer.process(stream, input, 0)?);
    }
    let ours = start.elapsed().as_secs_f64() * 1e6 / records;
    let start = Instant::now();
    for _ in 0..rounds {
        let mut out = Vec::with_capacity(input.len());
        for line in &lines {
            let value: serde_json::Value = serde_json::from_slice(line)?;
            serde_json::to_writer(&mut out, &value)?;
            out.push(b'\n');
        }
        std::hint::black_box(out);
    }
    let plain = start.elapsed().as_secs_f64() * 1e6 / records;
    println!("{ours:.2} us a record normalised, {plain:.2} us parsed and written, ratio {:.2}", ours / plain);
    Ok(())
}

//! Normalising in process: the component, the same code natively, and the plain round trip, on the same records.
//!
//! `cargo bench -p m365-bench --bench normalize`

use std::sync::OnceLock;

use divan::Bencher;
use divan::counter::ItemsCount;
use m365_bench::{plain_round_trip, records};
use m365_pipe::guest::{Batch, GuestLimits, Plugin, PluginFile};
use m365_plugin::normalize::Normalizer;

const EVENTS: u64 = 2_000;
const SETTINGS: &str = r#"{"tenant":"2f7c9d10-4a3b-4c5d-8e6f-7a8b9c0d1e2f"}"#;
const NOW: u64 = 1_780_000_000_000;

fn main() {
    divan::main();
}

fn input() -> &'static [(String, u32, Vec<u8>)] {
    static INPUT: OnceLock<Vec<(String, u32, Vec<u8>)>> = OnceLock::new();
    INPUT.get_or_init(|| records(EVENTS).expect("the simulator starts"))
}

#[divan::bench]
fn plain_parse_and_write(bencher: Bencher<'_, '_>) {
    let input = input();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for (_, _, data) in input {
            let mut out = Vec::with_capacity(data.len() * 2);
            plain_round_trip(data.as_slice(), &mut out).expect("the records are JSON");
            divan::black_box(out);
        }
    });
}

#[divan::bench]
fn native(bencher: Bencher<'_, '_>) {
    let input = input();
    let normalizer = Normalizer::new(SETTINGS).expect("the settings are good");
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for (stream, _, data) in input {
            divan::black_box(normalizer.process(stream, data, NOW).expect("a known stream"));
        }
    });
}

#[divan::bench]
fn component(bencher: Bencher<'_, '_>) {
    let input: Vec<(String, Batch)> = input()
        .iter()
        .map(|(stream, count, data)| (stream.clone(), Batch { count: *count, data: data.clone() }))
        .collect();
    let plugin = Plugin::load(&PluginFile::BuiltIn, None, GuestLimits::default()).expect("the built-in plugin loads");
    let mut transform = plugin.transform(SETTINGS).expect("the settings are good");
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for (stream, batch) in &input {
            divan::black_box(transform.process(stream, batch, NOW).expect("a known stream"));
        }
    });
}

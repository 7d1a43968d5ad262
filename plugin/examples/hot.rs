//! temp
use m365_plugin::normalize::Normalizer;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let normalizer = Normalizer::new(r#"{"tenant":"3f1c7a52-6d3e-4a53-9f0e-5b0f4b1d2c11"}"#).unwrap();
    let data = std::fs::read(&args[2]).unwrap();
    let n: u32 = args[3].parse().unwrap();
    let lines: Vec<&[u8]> = data.split_inclusive(|b| *b == b'\n').collect();
    let t = std::time::Instant::now();
    let mut made = 0;
    for _ in 0..n {
        for chunk in lines.chunks(170) {
            let batch = chunk.concat();
            made += std::hint::black_box(normalizer.process(&args[1], &batch, 1_764_061_441_000).unwrap()).data.len();
        }
    }
    let records = lines.len() as f64 * n as f64;
    eprintln!(
        "{} {:.2} us/record, {} bytes in, {} bytes out",
        args[1],
        t.elapsed().as_secs_f64() * 1e6 / records,
        data.len() / lines.len(),
        made as f64 / records
    );
}

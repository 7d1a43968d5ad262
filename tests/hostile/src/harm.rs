//! What a component can do at any place: use up time, memory, the log, or end itself.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::component::bindings::log_pipeline::plugin::{http, log, types};

/// Does what a mode's last words say, if they name harm that any export can do. True if it did, and came back.
pub fn harm(how: &str) -> bool {
    match how {
        "hang" => loop {
            black_box(0);
        },
        "clock" => loop {
            black_box(Instant::now());
        },
        "sleep" => std::thread::sleep(Duration::from_secs(3600)),
        "sleep-forever" => std::thread::sleep(Duration::MAX),
        "naps" => loop {
            std::thread::sleep(Duration::from_millis(2));
        },
        "trap" => panic!("on purpose"),
        "exit" => std::process::exit(0),
        "recursion" => {
            black_box(deeper(black_box(1)));
        }
        "memory" => {
            let mut all = Vec::new();
            loop {
                all.push(black_box(vec![1_u8; 1 << 20]));
            }
        }
        "log-flood" => (0..20_000).for_each(|line| warn(&format!("flood {line}"), &[])),
        "log-for-ever" => loop {
            warn("again", &[]);
        },
        "log-long" => warn(&"long ".repeat(1 << 20), &[("name".to_owned(), "value ".repeat(1 << 20))]),
        "log-fields" => warn("fields", &vec![("f".to_owned(), "v".to_owned()); 100_000]),
        "log-forged" => warn(
            "harmless\n2026-01-01T00:00:00Z ERROR FORGED\r\u{1b}[2J\u{2028}FORGED\u{202e}",
            &[("stream".to_owned(), "honest".to_owned()), ("a\nFORGED".to_owned(), "b\nFORGED".to_owned())],
        ),
        "stdout" => (0..20_000).for_each(|line| println!("{line} {}", "x".repeat(1000))),
        _ => return false,
    }
    true
}

fn deeper(depth: u64) -> u64 {
    let room = black_box([depth; 64]);
    if room[0] == 0 { 0 } else { black_box(deeper(depth + 1)) + room[1] }
}

fn warn(message: &str, fields: &[(String, String)]) {
    log::write(log::Level::Warn, message, fields);
}

/// A request that an audience of the plugin allows.
pub fn request(root: &str) -> http::Request {
    http::Request {
        method: http::Method::Get,
        url: format!("{root}/"),
        headers: Vec::new(),
        body: None,
        audience: Some("office365-management".to_owned()),
        quota: "office365".to_owned(),
        timeout_ms: 1000,
    }
}

/// Sends what no plugin should.
pub fn send(how: &str, root: &str) -> Result<(), types::Error> {
    let good = request(root);
    let header = |count: usize, bytes: usize| vec![("x-hostile".to_owned(), "v".repeat(bytes)); count];
    let request = match how {
        "headers" => http::Request { headers: header(40_000, 1), ..good },
        "header-bytes" => http::Request { headers: header(20, 1 << 20), ..good },
        "reserved-header" => http::Request { headers: vec![("authorization".to_owned(), "x".to_owned())], ..good },
        "split-header" => http::Request { headers: vec![("x".to_owned(), "a\r\nb: c".to_owned())], ..good },
        "url" => http::Request { url: format!("{root}/{}", "u".repeat(20 << 20)), ..good },
        "body" => http::Request { method: http::Method::Post, body: Some(vec![0; 5 << 20]), ..good },
        "get-with-body" => http::Request { body: Some(vec![0; 10]), ..good },
        "audience" => http::Request { audience: Some("a".repeat(20 << 20)), ..good },
        "quota" => http::Request { quota: "q".repeat(20 << 20), ..good },
        "unknown-quota" => http::Request { quota: "another\nFORGED".to_owned(), ..good },
        "foreign-host" => http::Request { url: "https://example.com/".to_owned(), ..good },
        "no-audience" => http::Request { audience: None, ..good },
        "refused-for-ever" => loop {
            let _ = http::send(&http::Request { url: "https://example.com/".to_owned(), ..request(root) });
        },
        "hoard" => {
            let mut all = Vec::new();
            loop {
                all.push(http::send(&request(root)));
            }
        }
        "read-for-ever" => {
            let response = http::send(&good)?;
            loop {
                let _ = black_box(response.read(1));
            }
        }
        "response-headers" => {
            let response = http::send(&good)?;
            loop {
                black_box(response.headers());
            }
        }
        "timeout-max" => http::Request { timeout_ms: u32::MAX, ..good },
        _ => good,
    };
    http::send(&request).map(drop)
}

//! Bodies that come whole, slowly, cut, malformed, or too large.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Instant;

use super::*;
use crate::http::stand_in::{MINUTE, StandIn, answer, config, failure, fetch, get, reply};
use crate::http::{Client, Request};

fn client(server: &StandIn) -> Client {
    Client::new(config(server)).unwrap()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn bodies_come_in_pieces_and_end_once() {
    let server = StandIn::start(|_, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")
            .is_ok()
    });
    let client = client(&server);
    let mut response = client.send(get(&server, None), &Cancel::new()).unwrap();
    let mut whole = Vec::new();
    loop {
        let piece = response.read(2).unwrap();
        assert!(piece.len() <= 2);
        if piece.is_empty() {
            break;
        }
        whole.extend(piece);
    }
    assert_eq!(whole, b"abcdefg");
    assert_eq!(response.read(0), Ok(Vec::new()));
    assert_eq!(client.stats().bytes_received, 7);
}

#[test]
fn gzip_is_decoded() {
    let body = gzip(b"[{\"a\":1}]");
    let server = StandIn::start(move |_, stream| reply(stream, 200, &["content-encoding: gzip"], &body));
    assert_eq!(fetch(&client(&server), get(&server, None)).unwrap().1, b"[{\"a\":1}]");
}

#[test]
fn a_gzip_bomb_stops_at_the_limit() {
    let bomb = gzip(&vec![b' '; 20 << 20]);
    assert!(bomb.len() < 64 << 10);
    let server = StandIn::start(move |_, stream| reply(stream, 200, &["content-encoding: gzip"], &bomb));
    let mut config = config(&server);
    config.transport.max_body_bytes = 1 << 20;
    let client = Client::new(config).unwrap();
    let mut response = client.send(get(&server, None), &Cancel::new()).unwrap();
    let error = loop {
        match response.read(0) {
            Ok(piece) => assert!(!piece.is_empty(), "the limit comes before the end"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind, ErrorKind::TooLarge);
    assert!(client.stats().bytes_received < 2 << 20);
    assert_eq!(response.read(0), Err(error), "and stays so");
    assert_eq!(client.stats().failures, BTreeMap::from([(ErrorKind::TooLarge, 1)]));
}

#[test]
fn a_cut_body_is_an_error_and_not_an_end() {
    for bytes in [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n[1,2".to_vec(),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n[1,2".to_vec(),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n[1,2\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-len".to_vec(),
        answer(200, &["content-encoding: gzip"], &gzip(b"[1,2,3,4,5,6,7,8]")[..20]),
        [&b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 100\r\n\r\n"[..], &gzip(b"[1,2]")[..12]]
            .concat(),
    ] {
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let error = failure(bytes);
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Protocol, "cut"), "{shown}");
    }
}

#[test]
fn malformed_answers_are_protocol_errors() {
    let mut crc = gzip(b"[1,2,3]");
    let end = crc.len() - 8;
    crc[end] ^= 1;
    for (bytes, code) in [
        (answer(200, &["content-encoding: gzip"], b"this is not gzip at all"), "gzip"),
        (answer(200, &["content-encoding: gzip"], &crc), "gzip"),
        (answer(200, &["content-encoding: br"], b"abc"), "content-encoding"),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec(), "http"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(), "http"),
    ] {
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let error = failure(bytes);
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Protocol, code), "{shown}: {error}");
    }
}

#[test]
fn too_many_headers_are_too_large() {
    let error = failure(answer(200, &[&format!("x: {}", "y".repeat(80 << 10))], b""));
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::TooLarge, "headers-too-large"));
}

#[test]
fn silence_and_slowness_run_into_their_limits() {
    let silent = StandIn::start(|_, _| {
        std::thread::sleep(MINUTE);
        false
    });
    let stuck = StandIn::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n[");
        std::thread::sleep(MINUTE);
        false
    });
    let dripping = StandIn::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
        while stream.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    });
    // In each case one limit is short and the others are never reached, however busy the machine is.
    let short = Duration::from_secs(1);
    for (server, code, [headers, idle, whole]) in [
        (&silent, "timeout-headers", [short, MINUTE, MINUTE]),
        (&stuck, "timeout-idle", [MINUTE, short, MINUTE]),
        (&dripping, "timeout", [MINUTE, MINUTE, 3 * short]),
    ] {
        let mut config = config(server);
        config.transport.timeouts.headers = headers;
        config.transport.timeouts.idle = idle;
        let client = Client::new(config).unwrap();
        let start = Instant::now();
        let error = fetch(&client, Request { timeout: whole, ..get(server, None) }).unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Timeout, code));
        assert!(start.elapsed() < MINUTE / 2);
    }
}

#[test]
fn stopping_ends_a_read_that_waits() {
    let server = StandIn::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n[");
        std::thread::sleep(MINUTE);
        false
    });
    let client = client(&server);
    let cancel = Cancel::new();
    let mut response = client.send(get(&server, None), &cancel).unwrap();
    assert_eq!(response.read(0).unwrap(), b"[");
    let start = Instant::now();
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || response.read(0));
        std::thread::sleep(Duration::from_millis(50));
        cancel.cancel();
        client.shutdown();
        assert_eq!(reader.join().unwrap().unwrap_err().kind, ErrorKind::Cancelled);
    });
    assert!(start.elapsed() < MINUTE / 2);
    assert_eq!(client.send(get(&server, None), &cancel).unwrap_err().kind, ErrorKind::Cancelled);
}

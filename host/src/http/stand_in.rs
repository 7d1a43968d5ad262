//! What tests stand in for: a small HTTP server on the loopback interface that can misbehave, and a log that is kept.
//!
//! Invariant: the server writes exactly what its handler wrote, and remembers what it received.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Allow, Cancel, Client, Config, Error, QuotaRule, Request, Transport};

/// A request as it was received.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub method: String,
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Counts connections from 0.
    pub connection: usize,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The server. It runs until the test process ends.
pub(crate) struct StandIn {
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl StandIn {
    /// Starts a server. The handler writes the answer and says whether the connection stays open.
    pub(crate) fn start(handler: impl Fn(&Received, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let (handler, all) = (Arc::new(handler), Arc::clone(&received));
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (handler, all) = (Arc::clone(&handler), Arc::clone(&all));
                std::thread::spawn(move || {
                    let Ok(mut stream) = stream else { return };
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    while let Some(request) = receive(&mut reader, connection) {
                        all.lock().unwrap().push(request.clone());
                        if !handler(&request, &mut stream) {
                            return;
                        }
                    }
                });
            }
        });
        Self { url, received }
    }

    /// Starts a server that answers everything with the same bytes and then closes the connection.
    pub(crate) fn fixed(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |_, stream| {
            let _ = stream.write_all(&answer);
            false
        })
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

fn receive(reader: &mut BufReader<TcpStream>, connection: usize) -> Option<Received> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length =
        headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Received { method, target, headers, body, connection })
}

/// A whole answer with its length; `headers` are lines without line ends.
pub(crate) fn answer(status: u16, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n", body.len()).into_bytes();
    for header in headers {
        bytes.extend_from_slice(format!("{header}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// Writes an answer and keeps the connection.
pub(crate) fn reply(stream: &mut TcpStream, status: u16, headers: &[&str], body: &[u8]) -> bool {
    stream.write_all(&answer(status, headers, body)).is_ok()
}

/// A generous bound on how long anything takes.
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// A configuration that allows the server for the audiences `api` and `other` and without one, by the quota `q`.
pub(crate) fn config(server: &StandIn) -> Config {
    let mut transport = Transport::default();
    transport.timeouts.whole = Duration::from_secs(10);
    let mut config = Config::new(transport);
    config.allow = ["api", "other"]
        .map(|audience| Allow { audience: Some(audience.to_owned()), root: server.url.parse().unwrap() })
        .into();
    config.allow.push(Allow { audience: None, root: server.url.parse().unwrap() });
    config.quotas = vec![QuotaRule { name: "q".to_owned(), requests: 1000, per: MINUTE }];
    config
}

/// A request to the server.
pub(crate) fn get(server: &StandIn, audience: Option<&str>) -> Request {
    Request::get(format!("{}/a?b=c", server.url), audience, "q")
}

/// Status and body of an answer, or what failed.
pub(crate) fn fetch(client: &Client, request: Request) -> Result<(u16, Vec<u8>), Error> {
    let mut response = client.send(request, &Cancel::new())?;
    Ok((response.status, response.read_all(1 << 20)?))
}

/// The error of a request whose answer is exactly these bytes.
pub(crate) fn failure(bytes: impl Into<Vec<u8>>) -> Error {
    let server = StandIn::fixed(bytes);
    fetch(&Client::new(config(&server)).unwrap(), get(&server, None)).unwrap_err()
}

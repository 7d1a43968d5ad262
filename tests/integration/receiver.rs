//! A service that takes batches by POST, as an `http` sink's other end, and can misbehave.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request: its headers with names in lower case, and its body.
pub struct Request {
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What it says to a request, and whether it keeps the lines of the request.
pub struct Receiver {
    pub url: String,
    kept: Arc<Mutex<Vec<u8>>>,
}

impl Receiver {
    /// Starts one. The handler gives the status and the text of the answer; a status of 0 cuts the connection. What it
    /// answers with 2xx is kept.
    pub fn start(handler: impl Fn(&Request) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/in", listener.local_addr().unwrap());
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (handler, store) = (Arc::new(handler), kept.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), handler, store) = (stream, handler.clone(), store.clone()) else { return };
                std::thread::spawn(move || serve(&stream, &*handler, &store));
            }
        });
        Self { url, kept }
    }

    /// Everything that was confirmed.
    pub fn kept(&self) -> Vec<u8> {
        self.kept.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, handler: &dyn Fn(&Request) -> (u16, String), kept: &Mutex<Vec<u8>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut out = stream;
    loop {
        let mut line = String::new();
        let mut headers = Vec::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut request = Request { headers, body: Vec::new() };
        let length: usize = request.header("content-length").unwrap_or("0").parse().ok()?;
        request.body.resize(length, 0);
        reader.read_exact(&mut request.body).ok()?;
        let (status, text) = handler(&request);
        if status == 0 {
            return None;
        }
        if status < 300 {
            kept.lock().unwrap().extend_from_slice(&request.body);
        }
        let length = text.len();
        write!(out, "HTTP/1.1 {status} Status\r\ncontent-length: {length}\r\n\r\n{text}").ok()?;
    }
}

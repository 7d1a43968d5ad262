//! A small HTTP receiver that fails now and then, as a sink's other end: what it confirmed, it holds.
//!
//! It takes POSTs with `Content-Length` or chunked bodies, plain or gzip. Which requests fail, and how, is decided by their
//! number and a seed. A batch counts as taken when its 2xx is sent, or, for the nastiest failure, when it is not.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// How a request can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// Not at all.
    No,
    /// The connection is closed without an answer, and nothing is kept.
    Silence,
    /// This status, and nothing is kept.
    Status(u16),
    /// Everything is kept, and the answer never comes.
    KeptSilence,
}

struct Shared {
    lines: Mutex<Vec<Vec<u8>>>,
    requests: AtomicU64,
    failed: AtomicU64,
    down: AtomicBool,
    choose: Box<dyn Fn(u64) -> Failing + Send + Sync>,
}

/// A receiver that listens on a loopback address until the test ends.
pub struct Receiver {
    shared: Arc<Shared>,
    url: String,
}

impl Receiver {
    /// `choose` says of the nth request how it fails.
    pub fn new(choose: impl Fn(u64) -> Failing + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/ingest", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            lines: Mutex::default(),
            requests: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            down: AtomicBool::new(false),
            choose: Box::new(choose),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let serving = Arc::clone(&serving);
                std::thread::spawn(move || drop(serving.connection(socket)));
            }
        });
        Self { shared, url }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// While it is down, every request is answered with 503.
    pub fn set_down(&self, down: bool) {
        self.shared.down.store(down, SeqCst);
    }

    /// The lines of all batches that were kept, in order.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        self.shared.lines.lock().unwrap().clone()
    }

    /// How many requests came, and how many of them failed.
    pub fn requests(&self) -> (u64, u64) {
        (self.shared.requests.load(SeqCst), self.shared.failed.load(SeqCst))
    }
}

impl Shared {
    fn connection(&self, socket: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(socket.try_clone()?);
        let mut socket = socket;
        while let Some(body) = request(&mut reader)? {
            let number = self.requests.fetch_add(1, SeqCst);
            let failing = if self.down.load(SeqCst) { Failing::Status(503) } else { (self.choose)(number) };
            if failing != Failing::No {
                self.failed.fetch_add(1, SeqCst);
            }
            if matches!(failing, Failing::No | Failing::KeptSilence) {
                let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec);
                self.lines.lock().unwrap().extend(lines);
            }
            let status = match failing {
                Failing::No => 200,
                Failing::Status(status) => status,
                Failing::Silence | Failing::KeptSilence => return Ok(()),
            };
            write!(socket, "HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n")?;
        }
        Ok(())
    }
}

/// The body of the next request, unpacked; none at the end of the connection.
fn request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let (mut length, mut chunked, mut gzip) = (0, false, false);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').unwrap_or((&header, ""));
        match (name, value.trim()) {
            ("content-length", value) => length = value.parse().unwrap_or(0),
            ("transfer-encoding", "chunked") => chunked = true,
            ("content-encoding", "gzip") => gzip = true,
            _ => {}
        }
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let size = u64::from_str_radix(line.trim_end(), 16).unwrap_or(0);
            reader.by_ref().take(size).read_to_end(&mut body)?;
            line.clear();
            reader.read_line(&mut line)?;
            if size == 0 {
                break;
            }
        }
    } else {
        reader.by_ref().take(length).read_to_end(&mut body)?;
    }
    if gzip {
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(body.as_slice()).read_to_end(&mut plain)?;
        body = plain;
    }
    Ok(Some(body))
}

//! What a failure of the HTTP library means in the terms of [`Error`].
//!
//! Invariant: no bytes of an HTTP answer get into a message; a peer could echo a token.

use std::io;

use super::addresses::AddressDenied;
use super::config::ProxyUrl;
use super::error::{Error, ErrorKind};

/// The address check refused to connect: the one transport failure that is a denial.
pub(super) fn address_denied(error: &ureq::Error) -> Option<&AddressDenied> {
    match error {
        ureq::Error::Other(inner) => inner.downcast_ref(),
        ureq::Error::Io(inner) => inner.get_ref()?.downcast_ref(),
        _ => None,
    }
}

/// Whether a code says that the way to a service failed, and nothing of the service.
pub fn is_of_the_network(code: &str) -> bool {
    const CODES: [&str; 5] = ["dns", "connect", "reset", "refused", "network"];
    CODES.contains(&code) || code == "timeout" || code.starts_with("timeout-")
}

/// The failure of an exchange with `origin`, before or within the body of its answer; `proxy` is the one on the way, if there
/// is one.
pub(crate) fn translate(error: ureq::Error, origin: &str, proxy: Option<&ProxyUrl>) -> Error {
    use ErrorKind::{DeniedByHost, Internal, Protocol, Timeout, TooLarge, Unavailable};
    if let Some(denied) = address_denied(&error) {
        return Error::new(DeniedByHost, "address-denied", format!("Nothing was sent to {origin}: {denied}."));
    }
    let (kind, code, what) = match error {
        ureq::Error::Timeout(limit) => {
            let (code, what) = match limit {
                ureq::Timeout::Resolve => ("timeout-dns", "its name was not resolved in time"),
                ureq::Timeout::Connect => ("timeout-connect", "no connection came about in time"),
                ureq::Timeout::RecvResponse => ("timeout-headers", "no answer began in time"),
                ureq::Timeout::PerRead => ("timeout-idle", "no further byte of the answer came in time"),
                ureq::Timeout::PerWrite | ureq::Timeout::SendRequest | ureq::Timeout::SendBody => {
                    ("timeout-send", "it did not take the request in time")
                }
                _ => ("timeout", "the exchange did not end within its time limit"),
            };
            (Timeout, code, what.to_owned())
        }
        ureq::Error::HostNotFound => (Unavailable, "dns", "its name can't be resolved; check the DNS".to_owned()),
        ureq::Error::ConnectionFailed => (Unavailable, "connect", "no connection came about".to_owned()),
        ureq::Error::ConnectProxyFailed(words) => (Unavailable, "proxy", refused_by_proxy(&words, proxy)),
        ureq::Error::Rustls(inner) => (Unavailable, "tls", tls_failed(&inner.to_string())),
        ureq::Error::Tls(inner) => (Unavailable, "tls", format!("the TLS connection failed ({inner})")),
        ureq::Error::LargeResponseHeader(_, limit) => {
            (TooLarge, "headers-too-large", format!("the headers of the answer exceed {limit} bytes"))
        }
        // A cut below the decompression arrives as a failure of it.
        ureq::Error::Decompress(_, inner) if inner.kind() != io::ErrorKind::InvalidInput => {
            return translate_io(&inner, origin);
        }
        ureq::Error::Decompress(..) => (Protocol, "gzip", "the body is not valid gzip".to_owned()),
        ureq::Error::Protocol(_) => (Protocol, "http", "the answer is not valid HTTP".to_owned()),
        ureq::Error::Io(inner) => return translate_io(&inner, origin),
        // The remaining cases can't follow from a request that passed the gate; their texts may
        // quote the request, so only their occurrence is told.
        _ => (Internal, "http-client", "the HTTP client refused the request".to_owned()),
    };
    Error::new(kind, code, format!("The exchange with {origin} failed: {what}."))
}

/// What a proxy's refusal means. Of its words only the status is shown.
fn refused_by_proxy(words: &str, proxy: Option<&ProxyUrl>) -> String {
    let name = proxy.map(|proxy| format!(" {proxy}")).unwrap_or_default();
    let status: Option<u16> = words.rsplit(['/', ' ']).find_map(|word| word.parse().ok());
    match status {
        Some(407) => format!(
            "the proxy{name} wants other credentials (status 407); give a user and password that it takes by Basic authentication"
        ),
        Some(status @ 400..500) => format!(
            "the proxy{name} refused to connect to it (status {status}); have the proxy's rules admit this host and port"
        ),
        Some(status) => {
            format!("the proxy{name} couldn't connect to it (status {status}); look at the proxy and its DNS")
        }
        None => format!("the proxy{name} didn't answer as a proxy does; check its address"),
    }
}

/// What a failure of TLS means.
fn tls_failed(words: &str) -> String {
    let mend = if words.contains("UnknownIssuer") || words.contains("CaUsedAsEndEntity") {
        "; the certificate is from nobody who is trusted: if a proxy or a firewall inspects TLS on the way, set `http.ca_file` to a PEM file with its root certificate"
    } else if words.contains("Expired") || words.contains("NotValidYet") {
        "; check this machine's clock, and who answers in the service's place"
    } else {
        "; check who answers in the service's place, and `http.ca_file` if a proxy inspects TLS"
    };
    format!("the TLS connection failed ({words}){mend}")
}

fn translate_io(error: &io::Error, origin: &str) -> Error {
    // A TLS failure within the stream arrives wrapped in an I/O error.
    let (kind, code, what) = match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            (ErrorKind::Protocol, "cut", "the connection ended before the answer did".to_owned())
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            (ErrorKind::Unavailable, "reset", "the connection was reset".to_owned())
        }
        io::ErrorKind::ConnectionRefused => {
            (ErrorKind::Unavailable, "refused", "the connection was refused".to_owned())
        }
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            (ErrorKind::Timeout, "timeout", "the network did not answer in time".to_owned())
        }
        io::ErrorKind::InvalidData => (ErrorKind::Unavailable, "tls", tls_failed(&error.to_string())),
        kind => (ErrorKind::Unavailable, "network", format!("the network failed ({kind})")),
    };
    Error::new(kind, code, format!("The exchange with {origin} failed: {what}."))
}

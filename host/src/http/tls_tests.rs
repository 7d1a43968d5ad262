//! TLS with certificates of our own making: who is trusted, and who isn't.

use std::io::Read;
use std::net::TcpListener;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::*;
use crate::http::stand_in::{StandIn, answer, config, fetch};
use crate::http::{Allow, Request};

/// A server for one connection with a self-signed certificate for `name`. Gives its port and its certificate in PEM.
fn server(name: &str) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(Arc::new(tls)).unwrap(), tcp);
        // The request fits into one record. A client that does not trust the certificate sends none.
        if stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
            let _ = std::io::Write::write_all(&mut stream, &answer(200, &[], b"[]"));
        }
    });
    (port, made.cert.pem())
}

/// The answer of `https://localhost:port` to a client that trusts `pem`, or the built-in roots.
fn ask(port: u16, pem: Option<&str>) -> Result<(u16, Vec<u8>), Error> {
    let url = format!("https://localhost:{port}");
    let mut config = config(&StandIn::fixed(""));
    config.allow = vec![Allow { audience: None, root: url.parse().unwrap() }];
    let file = std::env::temp_dir().join(format!("m365-pipe-tls-{}-{port}.pem", std::process::id()));
    if let Some(pem) = pem {
        std::fs::write(&file, pem).unwrap();
        config.transport.ca_file = Some(file.clone());
    }
    let client = Client::new(config).unwrap();
    let _ = std::fs::remove_file(file);
    fetch(&client, Request::get(url, None, "q"))
}

#[test]
fn the_configured_certificate_is_trusted() {
    let (port, pem) = server("localhost");
    assert_eq!(ask(port, Some(&pem)), Ok((200, b"[]".to_vec())));
}

#[test]
fn nobody_else_is() {
    let (unknown, _) = server("localhost");
    let (misnamed, its_pem) = server("elsewhere.example.com");
    let (other, _) = server("localhost");
    let (_, another_pem) = server("localhost");
    for (port, pem) in [(unknown, None), (misnamed, Some(its_pem)), (other, Some(another_pem))] {
        let error = ask(port, pem.as_deref()).unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unavailable, "tls"), "{error}");
        assert!(error.message.contains("certificate") && error.message.contains("`http.ca_file`"), "{error}");
    }
}

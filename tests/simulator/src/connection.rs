//! One connection of a client: HTTP/1.1 on its socket, over TLS if the tenant has it.
//!
//! Invariant: a connection that is to be reset is reset, and not closed.

use std::sync::Arc;

use axum::Router;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::tally::Tally;
use crate::tls::Tls;
use crate::wire::Wire;

/// What all connections have in common.
#[derive(Clone)]
pub(crate) struct Manner {
    pub(crate) title_case: bool,
    pub(crate) tls: Option<Tls>,
    pub(crate) tally: Arc<Tally>,
}

/// Serves one connection, until its client closes it or an answer asks for its reset.
pub(crate) async fn connection(
    socket: TcpStream,
    service: TowerToHyperService<Router>,
    manner: Manner,
    reset: Arc<Notify>,
) {
    // A second handle of the socket, for what is set on it when it is to be reset.
    let handle = socket.into_std().and_then(|socket| Ok((socket.try_clone()?, TcpStream::from_std(socket)?)));
    let Ok((handle, socket)) = handle else { return };
    let wire = Wire::new(socket, manner.tally);
    let serving = async {
        match manner.tls {
            None => http(wire, service, manner.title_case).await,
            // Who doesn't trust the certificate goes away.
            Some(tls) => {
                if let Ok(stream) = tls.accept(wire).await {
                    http(stream, service, manner.title_case).await;
                }
            }
        }
    };
    tokio::select! {
        () = serving => {}
        () = reset.notified() => {
            // Closing a socket that doesn't linger resets its connection.
            let _ = TcpStream::from_std(handle).and_then(|handle| handle.set_zero_linger());
        }
    }
}

async fn http(stream: impl AsyncRead + AsyncWrite + Unpin, service: TowerToHyperService<Router>, title_case: bool) {
    let mut http = hyper::server::conn::http1::Builder::new();
    // Clients come and go as they please, and cut bodies end connections on purpose.
    let _ = http.title_case_headers(title_case).serve_connection(TokioIo::new(stream), service).await;
}

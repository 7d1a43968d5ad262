//! TLS in front of the tenant, with a certificate made at the start: nobody trusts it who isn't told of it.
//!
//! Invariant: without the feature `tls` there is no value of [`Tls`], and everything goes over plain HTTP.

#[cfg(feature = "tls")]
pub(crate) use with::Tls;
#[cfg(not(feature = "tls"))]
pub(crate) use without::Tls;

#[cfg(feature = "tls")]
mod with {
    use std::io;
    use std::net::IpAddr;
    use std::sync::Arc;

    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio_rustls::{TlsAcceptor, server::TlsStream};

    use crate::options::Options;
    use crate::wire::Wire;

    /// The tenant's side of TLS.
    #[derive(Clone)]
    pub(crate) struct Tls {
        acceptor: TlsAcceptor,
        ca_pem: String,
    }

    impl Tls {
        /// A key and a certificate for this machine, if TLS is asked for.
        pub(crate) fn of(options: &Options) -> io::Result<Option<Self>> {
            options.tls.then(|| Self::new(options.listen.ip()).map_err(io::Error::other)).transpose()
        }

        fn new(address: IpAddr) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
            let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), address.to_string()];
            names.dedup();
            let made = rcgen::generate_simple_self_signed(names)?;
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
            let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key)?;
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), ca_pem: made.cert.pem() })
        }

        /// The certificate that a client has to trust, in PEM.
        pub(crate) fn ca_pem(&self) -> &str {
            &self.ca_pem
        }

        /// The server's part of the handshake.
        pub(crate) async fn accept(&self, wire: Wire) -> io::Result<TlsStream<Wire>> {
            self.acceptor.accept(wire).await
        }
    }
}

#[cfg(not(feature = "tls"))]
mod without {
    use std::io;

    use crate::options::Options;
    use crate::wire::Wire;

    /// TLS that isn't there.
    #[derive(Clone)]
    pub(crate) enum Tls {}

    impl Tls {
        pub(crate) fn of(_: &Options) -> io::Result<Option<Self>> {
            Ok(None)
        }

        pub(crate) fn ca_pem(&self) -> &str {
            match *self {}
        }

        #[allow(clippy::unused_async, reason = "as with the feature")]
        pub(crate) async fn accept(&self, _: Wire) -> io::Result<Wire> {
            match *self {}
        }
    }
}

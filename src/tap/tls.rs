//! TLS to the server. The tap trusts the certificates that the redis crate trusts.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_native_certs::load_native_certs;

use crate::report;

/// A server's name, and the certificates that are trusted.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Trust {
    /// `is_insecure` is `#insecure` in a URL: any certificate is trusted.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no crypto provider, the certificates can't be read, or the host is not a valid TLS
    /// server name.
    pub(super) fn new(host: &str, is_insecure: bool) -> Result<Self, Box<dyn Error + Send + Sync>> {
        // The provider of the redis crate, which has already connected. One of our own could make the choice of rustls
        // ambiguous.
        let provider = CryptoProvider::get_default().ok_or(report::tap::NO_CRYPTO_PROVIDER)?;
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let config = if is_insecure {
            let verifier = AnyServer(provider.signature_verification_algorithms);
            let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
            let mut config = builder.with_no_client_auth();
            config.enable_sni = false;
            config
        } else {
            let mut found = load_native_certs();
            if let Some(error) = found.errors.pop() {
                return Err(error.into());
            }
            let mut roots = RootCertStore::empty();
            found.certs.into_iter().try_for_each(|certificate| roots.add(certificate))?;
            builder.with_root_certificates(roots).with_no_client_auth()
        };
        Ok(Self { config: Arc::new(config), name: ServerName::try_from(host.to_owned())? })
    }

    /// Prepares the handshake on a socket that may still be connecting.
    pub(super) fn stream(&self, socket: TcpStream) -> io::Result<TlsStream> {
        let session = ClientConnection::new(self.config.clone(), self.name.clone()).map_err(io::Error::other)?;
        Ok(TlsStream { socket, session })
    }
}

/// A non-blocking stream. It keeps at most 64 KiB that the socket has not accepted, and one record that was not read.
pub(super) struct TlsStream {
    pub(super) socket: TcpStream,
    session: ClientConnection,
}

impl TlsStream {
    /// Sends bytes that the socket had not accepted, and continues the handshake. Returns true if it is complete.
    pub(super) fn proceed(&mut self) -> io::Result<bool> {
        let mut step = || -> io::Result<()> {
            self.flush()?;
            while self.session.is_handshaking() {
                if self.receive()? == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                self.flush()?;
            }
            Ok(())
        };
        match step() {
            Ok(()) => Ok(true),
            // On some platforms, a socket that is still connecting is not connected.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                Ok(!self.session.is_handshaking())
            }
            Err(error) => Err(error),
        }
    }

    /// Reads from the socket once. Returns the number of encrypted bytes.
    fn receive(&mut self) -> io::Result<usize> {
        let length = self.session.read_tls(&mut self.socket)?;
        if let Err(error) = self.session.process_new_packets() {
            report::print(&report::warning(&report::tap::tls_failed(&error)));
            // Tell the server why.
            let _ = self.flush();
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
        Ok(length)
    }

    /// Tells the server that no more bytes follow. Call it again if the socket did not accept all of them yet.
    pub(super) fn shutdown(&mut self, how: Shutdown) -> io::Result<()> {
        self.session.send_close_notify();
        self.flush()?;
        self.socket.shutdown(how)
    }
}

impl Read for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The server was killed. A client notices an incomplete reply by its length.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                result => return result,
            }
            self.receive()?;
        }
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Bounds the memory: bytes are accepted only if none are kept.
        self.flush()?;
        let length = self.session.writer().write(bytes)?;
        match self.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(length),
        }
    }

    /// Sends the bytes that the socket has not accepted yet.
    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            if self.session.write_tls(&mut self.socket)? == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}

/// Trusts any server, as the redis crate does.
#[derive(Debug)]
struct AnyServer(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

//! TLS of the hub's listeners: certificate and key, and who signs the proxies' certificates. Read again at
//! SIGHUP.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Files, all PEM.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate, and those between it and its root.
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Certificate authority of the proxies' certificates.
    pub client_ca: Option<PathBuf>,
}

/// What is wrong, with the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Bad(pub String);

fn bad(path: &Path, why: impl std::fmt::Display) -> Bad {
    Bad(format!("{}: {why}", path.display()))
}

/// TLS settings of a listener. A connection keeps the settings of its beginning.
pub struct Tls {
    files: Files,
    now: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// A file that cannot be read or holds nothing of its kind; a certificate that is not valid now, or does
    /// not fit the key.
    pub fn new(files: Files) -> Result<Tls, Bad> {
        let now = RwLock::new(load(&files)?);
        Ok(Tls { files, now })
    }

    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files again. If they are bad the former settings stay.
    ///
    /// # Errors
    /// See `new`.
    pub fn reload(&self) -> Result<(), Bad> {
        let fresh = load(&self.files)?;
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

fn load(files: &Files) -> Result<Arc<ServerConfig>, Bad> {
    let chain = certificates(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|e| bad(&files.key, format_args!("no private key can be read: {e}")))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| bad(&files.cert, e))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for cert in certificates(path)? {
                roots.add(cert).map_err(|e| bad(path, e))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|e| bad(path, e))?)
        }
    };
    let of_key = |e: rustls::Error| match e {
        rustls::Error::InconsistentKeys(_) => {
            bad(&files.cert, format_args!("is not the certificate of {}", files.key.display()))
        }
        e => bad(&files.cert, e),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(of_key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The certificates in a file. The first must be valid now.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Bad> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(|e| bad(path, e))?.collect();
    let all = all.map_err(|e| bad(path, e))?;
    let first = all.first().ok_or_else(|| bad(path, "holds no certificate"))?;
    let (_, cert) = X509Certificate::from_der(first).map_err(|e| bad(path, e))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let held = cert.validity();
    if held.not_after.timestamp() < now {
        return Err(bad(path, format_args!("expired: it was valid until {}", held.not_after)));
    }
    if held.not_before.timestamp() > now {
        return Err(bad(path, format_args!("does not hold yet: it is valid from {}", held.not_before)));
    }
    Ok(all)
}

//! The options of a URL, and the connections with them.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::failed;
use crate::store::StoreError;
use crate::store::address::Address;

pub(super) struct Config {
    pub server: tokio_postgres::Config,
    pub tls: MakeRustlsConnect,
    pub timeout: Duration,
    pub schema: Option<String>,
    pub prefix: String,
    /// The prefix of the names of the tables.
    names: String,
    /// The notification channel of messages.
    pub channel: String,
    connections: usize,
}

impl Config {
    pub(super) fn parse(url: &str) -> Result<Config, StoreError> {
        let mut address = Address::parse(url);
        let timeout = address.take_timeout()?;
        let prefix = address.take_word("prefix", "trunnion_")?;
        let schema = Some(address.take_word("schema", "")?).filter(|schema| !schema.is_empty());
        let connections = usize::try_from(address.take_number("pool")?.unwrap_or(8)).unwrap_or(usize::MAX);
        let mode = address.take("sslmode").unwrap_or_else(|| "prefer".to_owned());
        let roots = address.take("sslrootcert");
        let (mode, verify) = match mode.as_str() {
            "disable" => (SslMode::Disable, false),
            "prefer" => (SslMode::Prefer, false),
            // As in libpq: `require` with certificates verifies them.
            "require" => (SslMode::Require, roots.is_some()),
            "verify-ca" | "verify-full" => (SslMode::Require, true),
            _ => {
                return Err(StoreError::new(
                    "sslmode must be disable, prefer, require, verify-ca or verify-full",
                ));
            }
        };
        let mut server: tokio_postgres::Config = address.url().parse().map_err(failed)?;
        server.ssl_mode(mode).connect_timeout(timeout).tcp_user_timeout(timeout);
        server.keepalives_idle(Duration::from_secs(30));
        if server.get_application_name().is_none() {
            server.application_name("trunnion");
        }
        let names = match &schema {
            Some(schema) => format!("\"{schema}\".{prefix}"),
            None => prefix.clone(),
        };
        let channel = format!("{}.{prefix}bus", schema.as_deref().unwrap_or_default());
        let tls = MakeRustlsConnect::new(tls(verify, roots.as_deref())?);
        Ok(Config { server, tls, timeout, schema, prefix, names, channel, connections })
    }

    /// Returns SQL with the names of the tables in it.
    pub(super) fn named(&self, sql: &str) -> String {
        sql.replace('@', &self.names)
    }

    /// Returns a connection pool on the store's runtime. Connects to nothing yet.
    pub(super) fn pool(&self) -> Result<Pool, StoreError> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(self.server.clone(), self.tls.clone(), recycling);
        // The database cancels a statement when the store's time limit for it has passed.
        let limit = format!("SET statement_timeout = {}", self.timeout.as_millis());
        let limit = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
            let limit = limit.clone();
            Box::pin(async move { client.batch_execute(&limit).await.map_err(HookError::Backend) })
        });
        let pool =
            Pool::builder(manager).max_size(self.connections).runtime(Runtime::Tokio1).post_create(limit);
        pool.build().map_err(failed)
    }
}

fn tls(verify: bool, roots: Option<&str>) -> Result<ClientConfig, StoreError> {
    // Not the provider of the process: no other part of the program is to choose the cryptography that
    // protects a database.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone());
    let config = config.with_safe_default_protocol_versions().map_err(failed)?;
    let Some(path) = roots.filter(|_| verify) else {
        let verifier: Arc<dyn ServerCertVerifier> = if verify {
            Arc::new(rustls_platform_verifier::Verifier::new(provider).map_err(failed)?)
        } else {
            Arc::new(Anyone(provider))
        };
        return Ok(config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth());
    };
    let wrong = |error: &dyn std::fmt::Display| StoreError::new(format!("sslrootcert {path}: {error}"));
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
        store.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
    }
    if store.is_empty() {
        return Err(wrong(&"it holds no certificate"));
    }
    Ok(config.with_root_certificates(store).with_no_client_auth())
}

/// A verifier that accepts any certificate, as `sslmode=prefer` and `require` specify: it protects against
/// eavesdroppers, not against a man in the middle.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

//! Services behind TLS, with certificates good and bad.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring::default_provider,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

/// Authorities made so far by this process.
static AUTHORITIES: AtomicU64 = AtomicU64::new(0);

/// A certificate authority that is not publicly trusted. Its certificate is in a file of its own.
pub struct TestAuthority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
    file: PathBuf,
}

/// A certificate with its key.
pub struct Certificate {
    der: CertificateDer<'static>,
    key: KeyPair,
}

impl Default for TestAuthority {
    fn default() -> Self {
        Self::new()
    }
}

impl TestAuthority {
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = params(&[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate can be made");
        let number = AUTHORITIES.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("pointsman-ca-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder can be made for the test");
        let file = folder.join("ca.pem");
        std::fs::write(&file, certificate.pem()).expect("the folder is writable");
        Self {
            issuer: Issuer::new(params, key),
            folder,
            file,
        }
    }

    /// The PEM file with its certificate.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A certificate for these names and addresses.
    pub fn issue(&self, names: &[&str]) -> Certificate {
        self.sign(params(names))
    }

    /// Issues an expired certificate.
    pub fn issue_expired(&self, names: &[&str]) -> Certificate {
        let mut params = params(names);
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Certificate {
        let key = KeyPair::generate().expect("a key can be made");
        let signed = params
            .signed_by(&key, &self.issuer)
            .expect("a certificate can be made");
        Certificate {
            der: signed.der().clone(),
            key,
        }
    }
}

impl Drop for TestAuthority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Certificate {
    pub fn signed_by_itself(names: &[&str]) -> Self {
        let key = KeyPair::generate().expect("a key can be made");
        let signed = params(names)
            .self_signed(&key)
            .expect("a certificate can be made");
        Self {
            der: signed.der().clone(),
            key,
        }
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).expect("the names are valid")
}

/// Takes every delivery over TLS. It stops when dropped.
pub struct TlsService {
    address: SocketAddr,
    counts: Arc<Counts>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    requests: AtomicU64,
}

impl TlsService {
    /// Listens on a free port of the address.
    pub async fn start(certificate: Certificate, address: impl Into<IpAddr>) -> Self {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certificate.key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der], key)
            .expect("key and certificate belong together");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(SocketAddr::new(address.into(), 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let counts = Arc::<Counts>::default();
        let accepting = tokio::spawn(accept(listener, acceptor, Arc::clone(&counts)));
        Self {
            address,
            counts,
            accepting,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Handshakes that have ended well.
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Acquire)
    }

    /// Requests that were read whole.
    pub fn requests(&self) -> u64 {
        self.counts.requests.load(Ordering::Acquire)
    }
}

impl Drop for TlsService {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, counts: Arc<Counts>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, counts) = (acceptor.clone(), Arc::clone(&counts));
        // An error is the other side's way to end a connection.
        connections.spawn(async move { serve(stream, acceptor, &counts).await.ok() });
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, counts: &Counts) -> io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    counts.connections.fetch_add(1, Ordering::AcqRel);
    let mut buffer = Vec::new();
    while stream.read_buf(&mut buffer).await? > 0 {
        if request_length(&buffer).is_some_and(|length| buffer.len() >= length) {
            buffer.clear();
            counts.requests.fetch_add(1, Ordering::AcqRel);
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await?;
            stream.flush().await?;
        }
    }
    Ok(())
}

fn request_length(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let body = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))?;
    Some(head + body.trim().parse::<usize>().ok()?)
}

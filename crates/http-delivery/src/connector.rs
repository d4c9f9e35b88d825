//! Connections that go only where they may.
//!
//! `awc` resolves IP literals without asking a custom resolver. The check is therefore made where the socket is opened:
//! nothing behind this service resolves a name or opens a connection.

use std::{
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix_tls::connect::{ConnectError, ConnectInfo, Connection, Host, rustls_0_23::TlsConnector};
use actix_web::dev::{Service, always_ready};
use awc::http::Uri;
use futures_util::future::LocalBoxFuture;
use tokio::{net::TcpStream, time::timeout};

use super::{
    budget::ConnectionBudget,
    dial_error::DialError,
    resolver::BoundedResolver,
    stream::{DeliveryStream, Io, PoolUsage, Wire},
};
use pointsman_domain::address_policy::AddressPolicy;

/// Addresses of one host that are tried, one after the other.
const MAX_ADDRESSES: usize = 8;

/// Resolves, checks every address, connects to the allowed ones, and speaks TLS where that is wanted.
///
/// TLS is not left to `awc`, which takes the brackets of an IPv6 address for a part of the server's name.
#[derive(Clone, Debug)]
pub(super) struct CheckedConnector {
    pub(super) policy: AddressPolicy,
    pub(super) resolver: Arc<BoundedResolver>,
    pub(super) budget: ConnectionBudget,
    /// None for plain HTTP.
    pub(super) tls: Option<Arc<rustls::ClientConfig>>,
    /// For all addresses of a host together, so that a dead first one leaves time for the next.
    pub(super) connect_timeout: Duration,
    pub(super) usage: Rc<PoolUsage>,
}

impl Service<ConnectInfo<Uri>> for CheckedConnector {
    type Response = Connection<Uri, DeliveryStream>;
    type Error = ConnectError;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    always_ready!();

    fn call(&self, info: ConnectInfo<Uri>) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            match connector.connect(info.hostname(), info.port()).await {
                Ok(stream) => Ok(Connection::new(info.request().clone(), stream)),
                Err(error) => Err(ConnectError::Resolver(Box::new(error))),
            }
        })
    }
}

impl CheckedConnector {
    async fn connect(&self, host: &str, port: u16) -> Result<DeliveryStream, DialError> {
        Wire::connects(&self.budget)?;
        let stream = self.dial(host, port).await?;
        let socket = self.budget.socket();
        let io = match &self.tls {
            None => Io::Plain(stream),
            Some(tls) => {
                let name = ServerName(without_brackets(host).to_owned());
                let handshake = TlsConnector::service(Arc::clone(tls)).call(Connection::new(name, stream));
                let (stream, _) = handshake.await.map_err(DialError::Tls)?.into_parts();
                Io::Tls(Box::new(stream))
            }
        };
        Ok(DeliveryStream::new(io, socket, Rc::clone(&self.usage)))
    }

    async fn dial(&self, host: &str, port: u16) -> Result<TcpStream, DialError> {
        let addresses = self.allowed_addresses(host, port).await?;
        let share = self.connect_timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        let mut last_error = DialError::Timeout;
        for address in addresses {
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Head and body go out in one write; nothing is gained by waiting for more.
                    stream.set_nodelay(true).map_err(DialError::Connect)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => last_error = DialError::Connect(error),
                Err(_) => last_error = DialError::Timeout,
            }
        }
        Err(last_error)
    }

    /// At least one address, each of them allowed.
    async fn allowed_addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
        let addresses = match parse_literal(host) {
            Some(address) => [address].into(),
            None => self.resolver.resolve(host).await?,
        };
        let allowed: Vec<_> = addresses
            .iter()
            .filter(|address| self.policy.allows(**address))
            .take(MAX_ADDRESSES)
            .map(|address| SocketAddr::new(*address, port))
            .collect();
        match addresses.first() {
            Some(refused) if allowed.is_empty() => Err(DialError::Refused(*refused)),
            _ => Ok(allowed),
        }
    }
}

/// The name, or the address, that the service's certificate must be for.
struct ServerName(String);

impl Host for ServerName {
    fn hostname(&self) -> &str {
        &self.0
    }
}

/// An address written in the URL.
fn parse_literal(host: &str) -> Option<IpAddr> {
    without_brackets(host).parse().ok()
}

/// An IPv6 address stands in brackets in a URL, and nowhere else.
fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host)
}

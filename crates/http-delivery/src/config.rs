//! What all external clients share.

use std::{sync::Arc, time::Duration};

use awc::http::header::HeaderValue;
use ipnet::IpNet;
use pointsman_clock::Clock;

use crate::{budget::ConnectionBudget, resolver::BoundedResolver, tls::tls_config};

/// The limit where none is set.
const DEFAULT_CONNECTIONS: usize = 4096;

/// What all external clients share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ExternalClientConfig {
    /// From the name look-up to the complete head of the answer.
    pub timeout: Duration,
    /// Networks beyond the public Internet that deliveries may reach.
    pub allow_networks: Arc<[IpNet]>,
    pub resolver: Arc<BoundedResolver>,
    pub budget: ConnectionBudget,
    pub tls: Arc<rustls::ClientConfig>,
    pub user_agent: HeaderValue,
}

impl ExternalClientConfig {
    /// With the system's resolver, the public certificate authorities, 4,096 connections at most and
    /// Pointsman's own `User-Agent`.
    pub fn new(timeout: Duration, allow_networks: Arc<[IpNet]>, clock: Clock) -> Self {
        Self {
            timeout,
            allow_networks,
            resolver: Arc::new(BoundedResolver::system(clock)),
            budget: ConnectionBudget::new(DEFAULT_CONNECTIONS),
            tls: tls_config(),
            user_agent: HeaderValue::from_static(concat!("Pointsman/", env!("CARGO_PKG_VERSION"))),
        }
    }
}

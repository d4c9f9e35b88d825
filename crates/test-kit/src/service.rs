//! External services that events are delivered to.

use std::{io, net::SocketAddr, ops::Deref};

use pointsman_domain::signing::SigningSecret;
use pointsman_receive::{Behavior, Received, Receiver, ReceiverOptions, SignatureCheck};
use tokio::{net::TcpSocket, time::timeout};

use super::eventually::PATIENCE;

/// A [`Receiver`] whose waits end: a delivery that never comes fails the test.
pub struct Service {
    receiver: Receiver,
    /// Holds the port of one that was down before.
    _reserved: Option<TcpSocket>,
}

impl Deref for Service {
    type Target = Receiver;

    fn deref(&self) -> &Receiver {
        &self.receiver
    }
}

impl Service {
    /// Takes everything.
    pub async fn start() -> Self {
        Self::behaving(Behavior::default()).await
    }

    pub async fn behaving(behavior: Behavior) -> Self {
        let options = ReceiverOptions {
            behavior,
            ..ReceiverOptions::default()
        };
        Self::with(options, None).await
    }

    async fn with(options: ReceiverOptions, reserved: Option<TcpSocket>) -> Self {
        let receiver = Receiver::start_with(options).await;
        Self {
            receiver: receiver.expect("the port can be listened on"),
            _reserved: reserved,
        }
    }

    /// The deliveries so far, in the order of their arrival, once there are `count` or more.
    #[track_caller]
    pub fn received(&self, count: u64) -> impl Future<Output = Vec<Received>> + '_ {
        let place = std::panic::Location::caller();
        async move {
            match timeout(PATIENCE, self.receiver.received(count)).await {
                Ok(received) => received,
                Err(_) => panic!("{place}: {} deliveries instead of {count}", self.count()),
            }
        }
    }

    /// The ids of the events so far, in the order of their arrival, repeats included, once there are `count`
    /// or more.
    #[track_caller]
    pub fn event_ids(&self, count: u64) -> impl Future<Output = Vec<String>> + '_ {
        let received = self.received(count);
        async move {
            let ids = received.await;
            ids.iter()
                .map(|received| received.event_id().unwrap_or("none").to_owned())
                .collect()
        }
    }

    /// As [`Service::event_ids`], sorted: several deliveries in flight arrive in any order.
    #[track_caller]
    pub fn sorted_event_ids(&self, count: u64) -> impl Future<Output = Vec<String>> + '_ {
        let ids = self.event_ids(count);
        async move {
            let mut ids = ids.await;
            ids.sort();
            ids
        }
    }

    /// From now on checks signatures with the secret as the API has shown it.
    pub fn knows_secret(&self, secret: &str) {
        self.expect_signed_with(&SigningSecret::parse(secret).expect("the API shows a usable secret"));
    }
}

/// Whether the delivery's signature was checked and found good.
pub fn is_signed(received: &Received) -> bool {
    received.signature == SignatureCheck::Valid
}

/// The address of a service that is down: connections are refused, and nobody else can take the port.
pub struct DownService {
    reserved: TcpSocket,
    address: SocketAddr,
}

impl DownService {
    pub fn reserve() -> io::Result<Self> {
        let reserved = TcpSocket::new_v4()?;
        // Lets the service listen on the port while it is still reserved: a port that is released first may be taken by
        // another process.
        reserved.set_reuseaddr(true)?;
        reserved.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = reserved.local_addr()?;
        Ok(Self { reserved, address })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Comes up, takes everything, and records.
    pub async fn come_up(self) -> Service {
        let options = ReceiverOptions {
            address: self.address,
            ..ReceiverOptions::default()
        };
        Service::with(options, Some(self.reserved)).await
    }
}
